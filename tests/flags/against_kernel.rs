//! Every verdict against the running kernel: each call is predicted, then made.

use rawthread::flags::{Call, Caller, CloneFlags, Fact, KernelVersion, Rule};

use crate::random::{Draws, draws};
use crate::trial_call::{Props, SIGCHLD, Trial};
use crate::worker::{State, Tally, run, to_be_seen};

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

/// Rules that no trial here can bring about, and why. Every other rule of the running kernel must
/// decide some trial, and some trial must come out wrong without it.
const NOT_TRIED: [(&str, &str); 16] = [
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
        caller: Caller::current().with_fact(Fact::ArgumentsTooShort),
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
    Caller::current().has_fact(Fact::ExemptFromProcessLimit)
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
            tally.caller.has_fact(*fact),
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

/// For `ci/fuzz.sh`: other draws than those of every run.
fn further_seed() -> u64 {
    let seed = std::env::var("RAWTHREAD_FUZZ_SEED").ok();
    seed.and_then(|text| text.parse().ok()).unwrap_or(0)
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
        let out_of_reach = match id {
            "D2" => !is_root() && !restricted.is_empty(),
            // The root of a user namespace has the right for lack of which the rule refuses.
            "F1" => !is_root() && Caller::current().has_fact(Fact::SysAdmin),
            _ => false,
        };
        assert!(
            needed[index] > 0 || out_of_reach,
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
            (State::CgroupFull, 1500),
            (State::Sandboxed, 1500),
            (State::Clone3Forbidden, 1500),
        ]
    } else {
        println!("SKIP: without root, only this user's own state is tried");
        &[(State::AsIs, 6000)]
    };
    let mut needed = [0u32; 128];
    let mut excused: Vec<&str> = NOT_TRIED.iter().map(|(id, _)| *id).collect();
    if cfg!(not(target_arch = "x86_64")) {
        // The other architectures take any thread pointer.
        excused.push("G1");
    }
    for (place, (state, count)) in states.iter().enumerate() {
        let mut without = uncertain;
        if state.is_rightless() || !is_root() {
            without |= restricted;
        }
        if *state == State::CgroupFull {
            // Another cgroup may have capacity.
            without |= CloneFlags::INTO_CGROUP;
        }
        let plan = Draws {
            count: *count,
            seed: 0x9e37_79b9_7f4a_7c15 + place as u64 + 1000 * further_seed(),
            without,
            forbidden: state.is_rightless(),
        };
        let tally = run(*state, |tally, caller, props| {
            tally.has_cgroups = props.cgroup >= 0;
            draws(&plan, tally, caller, props);
        });
        if !judge(*state, &tally) {
            excused.extend(state.alone_tries());
        }
        if !tally.has_cgroups {
            excused.extend(["I1b", "I1c", "I1d"]);
        }
        needed
            .iter_mut()
            .zip(&tally.needed)
            .for_each(|(sum, n)| *sum += n);
    }
    if !is_root() {
        return;
    }
    let kernel = Caller::current().kernel();
    for (rule, needed) in Rule::ALL.iter().zip(needed) {
        println!("{:5} needed {needed:5} times: {rule}", rule.id);
        assert!(
            needed > 0 || excused.contains(&rule.id) || !rule.exists_in(kernel),
            "rule {} could be dropped unseen",
            rule.id
        );
    }
}
