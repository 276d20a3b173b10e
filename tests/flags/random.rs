//! Trials drawn at random: any flags, any signals, any faults in the arguments.

use rawthread::flags::{Call, Caller, CloneFlags, Fact};

use crate::trial_call::{Props, SIGCHLD, Trial};
use crate::worker::Tally;

/// A small generator of numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn one_in(&mut self, n: u64) -> bool {
        (self.next() >> 32).is_multiple_of(n)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() >> 32) as usize % choices.len()]
    }

    /// Any flags, in the proportions that make acceptance and each refusal likely enough.
    fn flags(&mut self) -> CloneFlags {
        let mut flags = CloneFlags::from_bits_retain(self.next() & self.next() & 0xffff_ff00);
        // Each makes a network stack: dear, and no rule is about it alone.
        if !self.one_in(6) {
            flags -= CloneFlags::NEWNET;
        }
        if self.one_in(2) {
            flags -= CloneFlags::NAMESPACES;
        }
        if flags.contains(CloneFlags::THREAD) && self.one_in(2) {
            flags |= CloneFlags::SIGHAND | CloneFlags::VM;
            flags -= CloneFlags::NAMESPACES;
        }
        if !self.one_in(8) {
            flags -= CloneFlags::DETACHED;
        }
        for rare in [
            CloneFlags::CLEAR_SIGHAND,
            CloneFlags::INTO_CGROUP,
            CloneFlags::NEWTIME,
        ] {
            if self.one_in(6) {
                flags |= rare;
            }
        }
        if self.one_in(20) {
            // Those of Linux 7.1.
            flags |= CloneFlags::from_bits_retain((self.next() & 0xf) << 34);
        }
        if self.one_in(40) {
            flags |= CloneFlags::from_bits_retain(1 << (40 + self.next() % 24));
        }
        if self.one_in(60) {
            flags |= CloneFlags::from_bits_retain(1 << (self.next() % 7));
        }
        flags
    }
}

/// What may be wrong with arguments.
const FAULTS: [Fact; 17] = [
    Fact::ArgumentsBeyondPage,
    Fact::ArgumentsTooShort,
    Fact::ArgumentsEfault,
    Fact::ArgumentsNonzeroTail,
    Fact::SetTidMismatch,
    Fact::SetTidEfault,
    Fact::SetTid,
    Fact::SetTidOutOfRange,
    Fact::SetTidInUse,
    Fact::StackIncomplete,
    Fact::StackOutOfRange,
    Fact::PidfdOverTid,
    Fact::PidfdEfault,
    Fact::ThreadPointerOutOfRange,
    Fact::CgroupNotGiven,
    Fact::CgroupNotV2,
    Fact::CgroupRemoved,
];

/// Trials with any flags, signals and arguments.
pub(crate) struct Draws {
    pub(crate) count: u32,
    pub(crate) seed: u64,
    /// Flags never drawn.
    pub(crate) without: CloneFlags,
    /// Whether the worker has given up the rights with which the cgroups were made.
    pub(crate) forbidden: bool,
}

pub(crate) fn draws(plan: &Draws, tally: &mut Tally, caller: Caller, mut props: Props) {
    let mut draw = Draw(plan.seed);
    for _ in 0..plan.count {
        let call = draw.of(&[Call::Clone, Call::Clone3, Call::Clone3]);
        let mut flags = draw.flags() - plan.without;
        if call == Call::Clone {
            // There the bit belongs to the signal.
            flags -= CloneFlags::NEWTIME;
            flags = CloneFlags::from_bits_retain(flags.bits() & !0xff);
        }
        let exit_signal = match call {
            Call::Clone => draw.of(&[0, SIGCHLD, SIGCHLD, 10, 64]),
            Call::Clone3 => draw.of(&[0, 0, 0, 0, SIGCHLD, SIGCHLD, 10, 64, 65, 255, 256, 1 << 20]),
        };
        let mut caller = faulty(&mut draw, caller, flags);
        // What the props stand for.
        if props.cgroup < 0 && !caller.has_fact(Fact::CgroupNotGiven) {
            caller = caller
                .with_fact(Fact::CgroupNotV2)
                .without_fact(Fact::CgroupRemoved);
        } else {
            caller = caller.with_fact(Fact::CgroupOfOtherDomain);
            if plan.forbidden {
                caller = caller.with_fact(Fact::CgroupForbidden);
            }
        }
        tally.note(
            &Trial {
                call,
                flags,
                exit_signal,
                caller,
            },
            &mut props,
        );
    }
}

/// The caller, mostly with well-formed arguments, else with one or two faults in them.
fn faulty(draw: &mut Draw, mut caller: Caller, flags: CloneFlags) -> Caller {
    while draw.one_in(3) {
        caller = caller.with_fact(draw.of(&FAULTS));
    }
    // A tid is asked for in the innermost namespace, which a new one has free; and where children
    // belong to another namespace, ours says nothing.
    let elsewhere = flags.contains(CloneFlags::NEWPID)
        || caller.has_fact(Fact::PendingPidNamespace)
        || caller.has_fact(Fact::InitOfPidNamespace);
    let tid_faults = [Fact::SetTid, Fact::SetTidOutOfRange, Fact::SetTidInUse];
    if elsewhere {
        tid_faults
            .iter()
            .for_each(|fact| caller = caller.without_fact(*fact));
    } else if tid_faults.iter().any(|fact| caller.has_fact(*fact)) {
        caller = caller.with_fact(Fact::SetTid);
        if caller.has_fact(Fact::SetTidOutOfRange) {
            caller = caller.without_fact(Fact::SetTidInUse);
        }
    }
    if cfg!(not(target_arch = "x86_64")) {
        caller = caller.without_fact(Fact::ThreadPointerOutOfRange);
    }
    for (kept, dropped) in [
        (Fact::StackIncomplete, Fact::StackOutOfRange),
        (Fact::ArgumentsTooShort, Fact::ArgumentsNonzeroTail),
        (Fact::CgroupNotGiven, Fact::CgroupNotV2),
        (Fact::CgroupNotGiven, Fact::CgroupRemoved),
        (Fact::CgroupNotV2, Fact::CgroupRemoved),
    ] {
        if caller.has_fact(kept) {
            caller = caller.without_fact(dropped);
        }
    }
    caller
}
