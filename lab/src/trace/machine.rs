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
    },
    Machine {
        name: "i386",
        arch: "x86",
        audit: 0x4000_0003,
        variant: None,
        calls: CALLS_32,
    },
    Machine {
        name: "AArch64",
        arch: "aarch64",
        audit: 0xc000_00b7,
        variant: None,
        calls: &[(220, "clone"), (435, "clone3")],
    },
    Machine {
        name: "AArch32",
        arch: "arm",
        audit: 0x4000_0028,
        variant: None,
        calls: CALLS_32,
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
}
