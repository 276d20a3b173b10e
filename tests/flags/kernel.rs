//! Every verdict against the running kernel: each call is foretold, then made.

use rawthread::flags::{Call, Caller, CloneFlags, Fact, KernelVersion, Rule};

use crate::trial::{Props, Trial};
use crate::workplace::{State, Tally, run, to_be_seen};

/// The flags of which every subset is tried. Without `CLEAR_SIGHAND` they are clone's.
const TRIED: [CloneFlags; 14] = [
    CloneFlags::VM,
    CloneFlags::FS,
    CloneFlags::FILES,
    CloneFlags::SIGHAND,
    CloneFlags::THREAD,
    CloneFlags::SYSVSEM,
    CloneFlags::PARENT,
    CloneFlags::VFORK,
    CloneFlags::NEWNS,
    CloneFlags::NEWUSER,
    CloneFlags::NEWPID,
    CloneFlags::NEWIPC,
    CloneFlags::PIDFD,
    CloneFlags::CLEAR_SIGHAND,
];

const SIGCHLD: u32 = 17;

/// Rules that no trial here can bring about, and why. Every other rule of the running kernel must
/// decide some trial, and some trial must come out wrong without it.
const NOT_TRIED: [(&str, &str); 19] = [
    ("S1", "would need a sandbox"),
    ("S2", "would need a sandbox"),
    (
        "C2",
        "stable kernels before 7.1 have it too, so its absence cannot be foretold",
    ),
    ("B2b", "left out where a kernel may have it"),
    ("D2b", "a distribution's patch"),
    (
        "D10",
        "no machine with Linux 7.1 was at hand to see how often the draws hit it",
    ),
    ("D10b", "as D10"),
    ("D11", "needs a caller made with CLONE_AUTOREAP"),
    ("D12", "as D10"),
    ("D13", "as D10"),
    ("D13b", "as D10"),
    ("D14", "as D10"),
    ("E3b", "would keep the whole machine from making threads"),
    ("E5", "lasts for a moment inside another task's execve"),
    ("E5b", "would need a machine without memory"),
    ("H3b", "would take every tid of a namespace"),
    ("I2", "needs the pids controller"),
    ("I3", "the caller does not live to see the answer"),
    ("A6b", "gives way to C2"),
];

/// The kernel below which nothing here is tried: what the facts read (capabilities, links) is
/// complete from there on.
const OLDEST: KernelVersion = KernelVersion::new(5, 10, 0);

/// Why nothing can be tried here, if so.
fn obstacle() -> Option<String> {
    let kernel = Caller::current().kernel();
    if kernel < OLDEST {
        return Some(format!("Linux {kernel} is older than {OLDEST}"));
    }
    let sane = Trial {
        call: Call::Clone3,
        flags: CloneFlags::empty(),
        exit_signal: SIGCHLD,
        caller: Caller::current().with(Fact::ArgumentsTooShort),
    };
    let mut props = Props {
        cgroup: -1,
        removed_cgroup: -1,
        not_a_cgroup: -1,
        next_tid: 0,
    };
    match sane.ask(&mut props) {
        libc::EINVAL => None,
        errno => Some(format!(
            "clone3 is kept from us by a sandbox or an emulator (errno {errno})"
        )),
    }
}

fn is_root() -> bool {
    Caller::current().is(Fact::ExemptFromProcessLimit)
}

/// Flags whose answer the release number does not tell: stable kernels took the mending of B2b.
fn uncertain() -> CloneFlags {
    if Caller::current().kernel() < KernelVersion::new(6, 3, 0) {
        println!("SKIP: this kernel's release does not tell whether it takes CLONE_NEWTIME");
        CloneFlags::NEWTIME
    } else {
        CloneFlags::empty()
    }
}

/// Flags whose answer a security module may change for users without rights.
fn left_out() -> CloneFlags {
    let restricted =
        std::fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    if restricted.is_ok_and(|text| text.trim() == "1") {
        println!("SKIP: AppArmor restricts user namespaces here, so CLONE_NEWUSER is left out");
        CloneFlags::NEWUSER
    } else {
        CloneFlags::empty()
    }
}

/// Judges a worker's tally; false if its state could not be reached.
fn judge(state: State, tally: &Tally) -> bool {
    if let Some((errno, line)) = tally.obstacle {
        assert!(
            errno != 0,
            "{state:?}: not seen by Caller::current (workplace.rs:{line})"
        );
        println!("SKIP: {state:?} cannot be reached: errno {errno} at workplace.rs:{line}");
        return false;
    }
    for mismatch in tally.first_mismatches.iter().flatten() {
        let Trial {
            call,
            flags,
            exit_signal,
            caller,
        } = mismatch.trial;
        println!(
            "{state:?}: {call:?}({flags}, exit signal {exit_signal}) by {:?}: errno {}, foretold {}",
            caller.facts().collect::<Vec<_>>(),
            mismatch.errno,
            mismatch
                .foretold
                .map_or("accepted".to_owned(), |rule| rule.to_string()),
        );
    }
    assert!(
        tally.finished,
        "{state:?}: the worker died after {} calls",
        tally.calls
    );
    assert_eq!(tally.mismatches, 0, "{state:?}: of {} calls", tally.calls);
    println!(
        "{state:?}: {} calls as foretold, {} accepted",
        tally.calls, tally.accepted
    );
    let (facts, exhausted) = to_be_seen(state);
    for fact in facts {
        assert!(
            tally.caller.is(*fact),
            "{state:?}: Caller::current does not see {fact:?}"
        );
    }
    assert!(
        tally.caller.exhausted().contains(exhausted),
        "{state:?}: {:?}",
        tally.caller
    );
    true
}

fn subset(index: u32) -> CloneFlags {
    let chosen = |bit: &usize| index >> bit & 1 == 1;
    (0..TRIED.len())
        .filter(chosen)
        .map(|bit| TRIED[bit])
        .collect()
}

/// Every subset, with and without a signal, by both calls.
fn every_subset(tally: &mut Tally, caller: Caller, mut props: Props, without: CloneFlags) {
    for index in 0..1 << TRIED.len() {
        let flags = subset(index);
        if flags.intersects(without) {
            continue;
        }
        for exit_signal in [0, SIGCHLD] {
            for call in [Call::Clone3, Call::Clone] {
                if call == Call::Clone3 || flags.fits_legacy() {
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
        }
    }
}

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
    Fact::ArgumentsUnreadable,
    Fact::ArgumentsFromTheFuture,
    Fact::SetTidMismatch,
    Fact::SetTidUnreadable,
    Fact::SetTid,
    Fact::SetTidOutOfRange,
    Fact::SetTidInUse,
    Fact::StackHalfGiven,
    Fact::StackOutOfReach,
    Fact::PidfdOverTid,
    Fact::PidfdUnwritable,
    Fact::ThreadPointerOutOfReach,
    Fact::CgroupNotGiven,
    Fact::CgroupNotV2,
    Fact::CgroupRemoved,
];

/// Trials with any flags, signals and arguments.
struct Draws {
    count: u32,
    seed: u64,
    /// Flags never drawn.
    without: CloneFlags,
    /// Whether the worker has given up the rights with which the cgroups were made.
    forbidden: bool,
}

fn draws(plan: &Draws, tally: &mut Tally, caller: Caller, mut props: Props) {
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
        if props.cgroup < 0 && !caller.is(Fact::CgroupNotGiven) {
            caller = caller.with(Fact::CgroupNotV2).without(Fact::CgroupRemoved);
        } else {
            caller = caller.with(Fact::CgroupOfOtherDomain);
            if plan.forbidden {
                caller = caller.with(Fact::CgroupForbidden);
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
        caller = caller.with(draw.of(&FAULTS));
    }
    // A tid is asked for in the innermost namespace, which a new one has free; and where children
    // belong to another namespace, ours says nothing.
    let elsewhere = flags.contains(CloneFlags::NEWPID)
        || caller.is(Fact::PendingPidNamespace)
        || caller.is(Fact::InitOfPidNamespace);
    let tid_faults = [Fact::SetTid, Fact::SetTidOutOfRange, Fact::SetTidInUse];
    if elsewhere {
        tid_faults
            .iter()
            .for_each(|fact| caller = caller.without(*fact));
    } else if tid_faults.iter().any(|fact| caller.is(*fact)) {
        caller = caller.with(Fact::SetTid);
        if caller.is(Fact::SetTidOutOfRange) {
            caller = caller.without(Fact::SetTidInUse);
        }
    }
    if cfg!(not(target_arch = "x86_64")) {
        caller = caller.without(Fact::ThreadPointerOutOfReach);
    }
    for (kept, dropped) in [
        (Fact::StackHalfGiven, Fact::StackOutOfReach),
        (Fact::ArgumentsTooShort, Fact::ArgumentsFromTheFuture),
        (Fact::CgroupNotGiven, Fact::CgroupNotV2),
        (Fact::CgroupNotGiven, Fact::CgroupRemoved),
        (Fact::CgroupNotV2, Fact::CgroupRemoved),
    ] {
        if caller.is(kept) {
            caller = caller.without(dropped);
        }
    }
    caller
}

#[test]
fn every_subset_is_answered_as_foretold() {
    if let Some(why) = obstacle() {
        return println!("SKIP: {why}");
    }
    let mut states = vec![State::AsIs];
    if is_root() {
        states.push(State::Unprivileged);
    } else {
        println!("SKIP: without root, rights are tried for this user alone");
    }
    let restricted = left_out();
    let mut needed = [0u32; 128];
    for state in states {
        let rightless = state == State::Unprivileged || !is_root();
        let without = if rightless {
            restricted
        } else {
            CloneFlags::empty()
        };
        let tally = run(state, |tally, caller, props| {
            every_subset(tally, caller, props, without)
        });
        assert!(judge(state, &tally));
        assert!(
            !without.is_empty() || tally.calls == 49_152,
            "{} calls",
            tally.calls
        );
        needed
            .iter_mut()
            .zip(&tally.needed)
            .for_each(|(sum, n)| *sum += n);
    }
    // Without any one of these the foretelling would have been wrong.
    for id in ["B3", "B4", "D1", "D2", "D3", "D4", "D6", "F1", "F2"] {
        let index = Rule::ALL
            .iter()
            .position(|rule| rule.id == id)
            .expect("a rule");
        assert!(
            needed[index] > 0 || (id == "D2" || id == "D6") && !restricted.is_empty(),
            "rule {id} could be dropped unseen"
        );
    }
}

#[test]
fn draws_of_anything_in_any_state_are_answered_as_foretold() {
    if let Some(why) = obstacle() {
        return println!("SKIP: {why}");
    }
    let restricted = left_out();
    let uncertain = uncertain();
    let states: &[(State, u32)] = if is_root() {
        &[
            (State::AsIs, 6000),
            (State::Unprivileged, 6000),
            (State::Chrooted, 1500),
            (State::ChrootedUnprivileged, 1500),
            (State::Init, 1500),
            (State::PendingPid, 1500),
            (State::PendingPidDead, 1500),
            (State::PendingTime, 1500),
            (State::Unmapped, 1500),
            (State::OutOfNamespaces, 1500),
            (State::NoProcesses, 1500),
            (State::Deadline, 300),
            (State::NoDescriptors, 1500),
        ]
    } else {
        println!("SKIP: without root, only this user's own state is tried");
        &[(State::AsIs, 6000)]
    };
    let mut needed = [0u32; 128];
    let mut all_reached = true;
    for (place, (state, count)) in states.iter().enumerate() {
        let plan = Draws {
            count: *count,
            seed: 0x9e37_79b9_7f4a_7c15 + place as u64,
            without: restricted | uncertain,
            forbidden: matches!(
                state,
                State::Unprivileged | State::ChrootedUnprivileged | State::NoProcesses
            ),
        };
        let tally = run(*state, |tally, caller, props| {
            draws(&plan, tally, caller, props)
        });
        all_reached &= judge(*state, &tally);
        needed
            .iter_mut()
            .zip(&tally.needed)
            .for_each(|(sum, n)| *sum += n);
    }
    if !is_root() || !all_reached || !restricted.is_empty() {
        return println!("SKIP: not every state was reached, so rules may not have been tried");
    }
    let kernel = Caller::current().kernel();
    for (rule, needed) in Rule::ALL.iter().zip(needed) {
        println!("{:5} needed {needed:5} times: {rule}", rule.id);
        let excused = NOT_TRIED.iter().any(|(id, _)| *id == rule.id);
        assert!(
            needed > 0 || excused || !rule.is_known_to(kernel),
            "rule {} could be dropped unseen",
            rule.id
        );
    }
}
