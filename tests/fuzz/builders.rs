//! Builders with any settings: a thread that has what was asked for, or an error and nothing left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::{Builder, CpuSet, Error, ErrorKind, JoinSet, Policy, Retry, Signal, SignalSet};

use crate::cases::{Random, cases};

/// Dropped once, by whichever has it last.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a thread was asked to be, as far as it can tell.
#[derive(Default)]
struct Wanted {
    name: Option<String>,
    cpus: Option<CpuSet>,
    policy: Option<i32>,
    mask: Option<SignalSet>,
    stack: usize,
    steps: u32,
    /// Whether a step fails.
    fails: bool,
}

fn name(random: &mut Random) -> String {
    let letters = ['a', 'Z', '0', ' ', '/', 'ä', '\u{1f980}', ')', '\n', '%'];
    (0..random.below(80)).map(|_| random.of(&letters)).collect()
}

/// A builder and what its thread is to find.
fn builder(random: &mut Random, ran: &Arc<AtomicU32>) -> (Builder, Wanted) {
    let (mut builder, mut wanted) = (Builder::new(), Wanted::default());
    for _ in 0..random.below(6) {
        builder = match random.below(9) {
            0 => {
                let name = name(random);
                wanted.name = Some(name.clone());
                builder.name(name)
            }
            1 => {
                wanted.stack = random.of(&[
                    0,
                    1,
                    4096,
                    16_000,
                    65_536,
                    1 << 20,
                    9 << 20,
                    1 << 45,
                    1 << 60,
                    usize::MAX,
                ]);
                builder.stack_size(wanted.stack)
            }
            2 => builder.guard_size(random.of(&[0, 1, 4096, 65_536, 3 << 20, usize::MAX])),
            3 => {
                let own = CpuSet::current().unwrap();
                let cpus: Vec<usize> = own.iter().collect();
                let some: CpuSet = (0..random.below(3)).map(|_| random.of(&cpus)).collect();
                wanted.cpus = Some(some.clone());
                builder.affinity(some)
            }
            4 => {
                let (policy, number) = random.of(&[
                    (Policy::Batch { nice: 3 }, libc::SCHED_BATCH),
                    (Policy::Other { nice: 1 }, libc::SCHED_OTHER),
                    (Policy::Idle, libc::SCHED_IDLE),
                ]);
                wanted.policy = Some(number);
                builder.scheduling(policy)
            }
            5 => {
                let any: SignalSet = (0..random.below(5))
                    .filter_map(|_| Signal::new(1 + random.below(31) as i32).ok())
                    .collect();
                wanted.mask = Some(any);
                builder.signal_mask(any)
            }
            6 => builder.private_cwd(),
            7 => {
                let (ran, fails) = (ran.clone(), random.one_in(4));
                wanted.fails |= fails;
                wanted.steps += 1;
                builder.before_start(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                    match fails {
                        true => Err(Error::from_raw_os_error(libc::EDOM)),
                        false => Ok(()),
                    }
                })
            }
            _ => builder.retry(Retry::NEVER),
        };
    }
    (builder, wanted)
}

/// The calling thread's signal mask.
fn mask() -> SignalSet {
    // SAFETY: libc writes the set, and asks it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        let is_in = |signal: &Signal| libc::sigismember(&set, signal.number()) == 1;
        (1..32)
            .filter_map(|number| Signal::new(number).ok())
            .filter(is_in)
            .collect()
    }
}

/// What a thread finds of itself, as [`Wanted`] has it.
fn found() -> Wanted {
    let policy = rawthread::scheduling().unwrap();
    // SAFETY: asks for the calling thread's.
    let number = unsafe { libc::sched_getscheduler(0) };
    assert!(!format!("{policy:?}").is_empty());
    Wanted {
        name: rawthread::current().name().map(str::to_owned),
        cpus: Some(rawthread::affinity().unwrap()),
        policy: Some(number),
        mask: Some(mask()),
        ..Wanted::default()
    }
}

fn check(wanted: &Wanted, found: &Wanted) {
    assert_eq!(found.name, wanted.name);
    if wanted.cpus.is_some() {
        assert_eq!(found.cpus, wanted.cpus);
    }
    if wanted.policy.is_some() {
        assert_eq!(found.policy, wanted.policy);
    }
    if let (Some(wanted), Some(found)) = (&wanted.mask, &found.mask) {
        for signal in wanted.iter() {
            let fixed = [libc::SIGKILL, libc::SIGSTOP];
            assert!(found.contains(signal) || fixed.contains(&signal.number()));
        }
        assert!(found.iter().all(|signal| wanted.contains(signal)));
    }
}

#[test]
fn any_builder_makes_its_thread_or_is_an_error() {
    cases(150, |random| {
        let (ran, drops) = (Arc::default(), Arc::new(AtomicU32::new(0)));
        let (builder, wanted) = builder(random, &ran);
        let counted = Counted(drops.clone());
        let closure = move || {
            let _counted = counted;
            found()
        };
        let outcome = match random.below(3) {
            0 => builder
                .try_spawn(closure)
                .map(|thread| thread.join().unwrap()),
            1 => rawthread::scope(|scope| {
                let thread = builder.try_spawn_scoped(scope, closure);
                thread.map(|thread| thread.join().unwrap())
            }),
            _ => {
                let mut set = JoinSet::new();
                let spawned = set.spawn_with(builder, closure);
                spawned.map(|_| set.join_next().unwrap().unwrap())
            }
        };
        let refused = wanted.fails
            || wanted.stack > 1 << 44
            || wanted
                .cpus
                .as_ref()
                .is_some_and(|cpus| cpus.iter().next().is_none());
        match outcome {
            Ok(found) => {
                assert!(!wanted.fails, "a step failed");
                check(&wanted, &found);
                assert_eq!(ran.load(Ordering::SeqCst), wanted.steps);
            }
            Err(error) => {
                let known = [ErrorKind::InvalidInput, ErrorKind::Refused];
                assert!(refused || known.contains(&error.kind()), "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
        assert_eq!(drops.load(Ordering::SeqCst), 1, "the closure is gone");
    });
}
