//! The numbers of the calls that make tasks, on every machine whose programs may be traced.

/// A set of call numbers.
#[derive(Debug)]
pub(super) struct Machine {
    name: &'static str,
    /// What `uname` calls it, in the words of `std::env::consts::ARCH`.
    arch: &'static str,
    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    pub(super) audit: u32,
    /// Bits of the number that select another set of the same machine (x32), with its name.
    pub(super) variant: Option<(u32, &'static str)>,
    /// Number and name of each call.
    pub(super) calls: &'static [(u32, &'static str)],
    /// The numbers of seccomp and prctl, which install filters.
    pub(super) seccomp: u32,
    pub(super) prctl: u32,
}

/// The calls of the two 32-bit machines: their numbers agree.
const CALLS_32: &[(u32, &str)] = &[(2, "fork"), (120, "clone"), (190, "vfork"), (435, "clone3")];

/// Every machine. A 64-bit kernel runs programs of its own and of its 32-bit relative.
pub(super) const MACHINES: [Machine; 4] = [
    Machine {
        name: "x86-64",
        arch: "x86_64",
        audit: 0xc000_003e,
        variant: Some((0x4000_0000, "x32")),
        calls: &[(56, "clone"), (57, "fork"), (58, "vfork"), (435, "clone3")],
        seccomp: 317,
        prctl: 157,
    },
    Machine {
        name: "i386",
        arch: "x86",
        audit: 0x4000_0003,
        variant: None,
        calls: CALLS_32,
        seccomp: 354,
        prctl: 172,
    },
    Machine {
        name: "AArch64",
        arch: "aarch64",
        audit: 0xc000_00b7,
        variant: None,
        calls: &[(220, "clone"), (435, "clone3")],
        seccomp: 277,
        prctl: 167,
    },
    Machine {
        name: "AArch32",
        arch: "arm",
        audit: 0x4000_0028,
        variant: None,
        calls: CALLS_32,
        seccomp: 383,
        prctl: 172,
    },
];

/// The call that makes a task under this number, and the machine if it is not the lab's own.
pub(super) fn find(audit: u32, number: u64) -> Option<(&'static str, Option<&'static str>)> {
    let machine = MACHINES.iter().find(|machine| machine.audit == audit)?;
    let number = u32::try_from(number).ok()?;
    let (number, name) = match machine.variant {
        Some((bit, variant)) if number & bit != 0 => (number & !bit, Some(variant)),
        _ if machine.arch == std::env::consts::ARCH => (number, None),
        _ => (number, Some(machine.name)),
    };
    let call = machine.calls.iter().find(|(call, _)| *call == number)?;
    Some((call.1, name))
}

/// A call that puts a seccomp filter in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filtering {
    /// In the calling thread.
    Thread,
    /// In every thread of the process.
    Process,
    /// Strict mode, which allows four system calls.
    Strict,
}

/// The filter that the call of this number and these arguments asks for.
pub(super) fn filtering(audit: u32, number: u64, arguments: [u64; 3]) -> Option<Filtering> {
    let machine = MACHINES.iter().find(|machine| machine.audit == audit)?;
    let number = u32::try_from(number).ok()? & !machine.variant.map_or(0, |(bit, _)| bit);
    let [first, second, _] = arguments.map(|word| word as u32);
    // The operation, and the flags that come with it.
    let (operation, flags) = match number {
        number if number == machine.seccomp => (first, second),
        // prctl's modes are those operations plus 1.
        number if number == machine.prctl && first == libc::PR_SET_SECCOMP as u32 => {
            (second.wrapping_sub(1), 0)
        }
        _ => return None,
    };
    match operation {
        libc::SECCOMP_SET_MODE_STRICT => Some(Filtering::Strict),
        libc::SECCOMP_SET_MODE_FILTER
            if u64::from(flags) & libc::SECCOMP_FILTER_FLAG_TSYNC != 0 =>
        {
            Some(Filtering::Process)
        }
        libc::SECCOMP_SET_MODE_FILTER => Some(Filtering::Thread),
        _ => None,
    }
}

/// Whether a machine of this name has a `vfork` of its own.
pub(super) fn has_vfork(name: Option<&str>) -> bool {
    MACHINES
        .iter()
        .find(|machine| match name {
            None => machine.arch == std::env::consts::ARCH,
            Some(name) => {
                machine.name == name || machine.variant.is_some_and(|(_, variant)| variant == name)
            }
        })
        .is_some_and(|machine| machine.calls.iter().any(|(_, call)| *call == "vfork"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_machine() {
        assert_eq!(find(0x4000_0003, 120).unwrap().0, "clone");
        assert_eq!(find(0x4000_0003, 56), None, "close of i386 is no clone");
        assert_eq!(find(0xc000_003e, 0x4000_0038), Some(("clone", Some("x32"))));
        assert_eq!(find(0xc000_00b7, 435).unwrap().0, "clone3");
        assert_eq!(find(0x1234, 56), None);
        let own = MACHINES
            .iter()
            .find(|machine| machine.arch == std::env::consts::ARCH)
            .expect("the lab runs here");
        let clone = u64::try_from(libc::SYS_clone).unwrap();
        assert_eq!(find(own.audit, clone), Some(("clone", None)));
    }

    #[test]
    fn filters_are_told_from_other_uses_of_their_calls() {
        let own = MACHINES
            .iter()
            .find(|machine| machine.arch == std::env::consts::ARCH)
            .expect("the lab runs here");
        let seccomp = libc::SYS_seccomp as u64;
        let prctl = libc::SYS_prctl as u64;
        let filter = |number, words| filtering(own.audit, number, words);
        assert_eq!(filter(seccomp, [1, 0, 9]), Some(Filtering::Thread));
        assert_eq!(filter(seccomp, [1, 1, 9]), Some(Filtering::Process));
        assert_eq!(filter(seccomp, [0, 0, 0]), Some(Filtering::Strict));
        // SECCOMP_GET_ACTION_AVAIL.
        assert_eq!(filter(seccomp, [2, 0, 9]), None);
        assert_eq!(filter(prctl, [22, 2, 9]), Some(Filtering::Thread));
        assert_eq!(filter(prctl, [22, 1, 0]), Some(Filtering::Strict));
        // PR_SET_NAME.
        assert_eq!(filter(prctl, [15, 2, 9]), None);
    }
}
