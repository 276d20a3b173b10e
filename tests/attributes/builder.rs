use std::error::Error as StdError;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::{Builder, CpuSet, Error, ErrorKind, Policy, Signal, SignalSet};

/// Counts the drops of what a closure owned.
struct Counted(Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn affinity_is_in_force_and_the_spawners_is_untouched() {
    let mine = CpuSet::current().unwrap();
    for cpu in mine.iter() {
        let one: CpuSet = [cpu].into_iter().collect();
        let seen = Builder::new()
            .affinity(one.clone())
            .spawn(|| CpuSet::current().unwrap());
        assert_eq!(seen.unwrap().join().unwrap(), one);
    }
    assert_eq!(CpuSet::current().unwrap(), mine);
}

#[test]
fn a_failed_setting_is_spawns_error_and_nothing_is_left() {
    let drops = Arc::new(AtomicU32::new(0));
    let ran = Arc::new(AtomicU32::new(0));
    for round in 1..=200 {
        let (owned, ran) = (Counted(drops.clone()), ran.clone());
        // No machine of this kind has this processor.
        let builder = Builder::new().affinity([8191].into_iter().collect());
        let error = builder
            .try_spawn(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                drop(owned);
            })
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::Os, Some("sched_setaffinity"))
        );
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert_eq!(
            drops.load(Ordering::SeqCst),
            round,
            "the closure is dropped once"
        );
    }
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert!(tasks() < 100, "the threads are gone");
}

#[test]
fn unusable_sets_are_refused_before_anything_happens() {
    for cpus in [CpuSet::new(), [1_000_000].into_iter().collect()] {
        let error = Builder::new().affinity(cpus).try_spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn policies_are_in_force() {
    let policy = || unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) as i32 };
    let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, libc::gettid() as u32) };
    for (scheduling, expected) in [
        (Policy::Other { nice: 5 }, (libc::SCHED_OTHER, 5)),
        (Policy::Batch { nice: 7 }, (libc::SCHED_BATCH, 7)),
    ] {
        let thread = Builder::new()
            .scheduling(scheduling)
            .spawn(move || (policy(), nice()));
        assert_eq!(thread.unwrap().join().unwrap(), expected, "{scheduling:?}");
    }
    let idle = Builder::new().scheduling(Policy::Idle).spawn(policy);
    assert_eq!(idle.unwrap().join().unwrap(), libc::SCHED_IDLE);
    for (scheduling, expected) in [
        (Policy::Fifo { priority: 3 }, libc::SCHED_FIFO),
        (Policy::RoundRobin { priority: 4 }, libc::SCHED_RR),
    ] {
        match Builder::new().scheduling(scheduling).try_spawn(policy) {
            Ok(thread) => assert_eq!(thread.join().unwrap(), expected),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                println!("SKIP: no right to {scheduling:?}: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(policy(), libc::SCHED_OTHER);
}

#[test]
fn deadline_threads_are_made_where_the_right_is_there() {
    use std::time::Duration;
    let scheduling = Policy::Deadline {
        runtime: Duration::from_millis(1),
        deadline: Duration::from_millis(10),
        period: Duration::from_millis(20),
    };
    match Builder::new()
        .scheduling(scheduling)
        .spawn(|| unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) as i32 })
    {
        Ok(thread) => assert_eq!(thread.join().unwrap(), 6),
        Err(error) => println!("SKIP: {error}"),
    }
}

#[test]
fn the_mask_is_in_force_from_the_first_instruction() {
    extern "C" fn count(_: i32) {
        HANDLED.with(|handled| handled.set(handled.get() + 1));
    }
    thread_local!(static HANDLED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let usr1 = Signal::new(libc::SIGUSR1).unwrap();
    // SAFETY: the handler touches a thread-local without destructor.
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as libc::sighandler_t) };
    // A storm of process-directed signals while threads that mask them are spawned.
    let stop = Arc::new(AtomicU32::new(0));
    let storm = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while stop.load(Ordering::Relaxed) == 0 {
                unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
                std::thread::yield_now();
            }
        })
    };
    for _ in 0..500 {
        let masked: SignalSet = [usr1].into_iter().collect();
        let thread = Builder::new().signal_mask(masked).spawn(|| {
            let mut set = unsafe { std::mem::zeroed() };
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
            let is_masked = unsafe { libc::sigismember(&set, libc::SIGUSR1) } == 1;
            (is_masked, HANDLED.with(std::cell::Cell::get))
        });
        assert_eq!(thread.unwrap().join().unwrap(), (true, 0));
    }
    stop.store(1, Ordering::Relaxed);
    storm.join().unwrap();
    // And the spawner's own mask is as before.
    let mut set = unsafe { std::mem::zeroed() };
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
    assert_eq!(unsafe { libc::sigismember(&set, libc::SIGUSR1) }, 0);
}

#[test]
fn before_start_runs_in_the_thread_after_the_settings_and_in_order() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (first, second, third) = (log.clone(), log.clone(), log.clone());
    let thread = Builder::new()
        .scheduling(Policy::Batch { nice: 3 })
        .before_start(move || {
            let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) as i32 };
            first
                .lock()
                .unwrap()
                .push(("first", unsafe { libc::gettid() }, policy));
            Ok::<(), Error>(())
        })
        .before_start(move || {
            second
                .lock()
                .unwrap()
                .push(("second", unsafe { libc::gettid() }, 0));
            Ok::<(), std::io::Error>(())
        })
        .spawn(move || {
            third
                .lock()
                .unwrap()
                .push(("closure", unsafe { libc::gettid() }, 0))
        })
        .unwrap();
    let tid = thread.tid();
    // `spawn` returns when the steps have run.
    assert!(log.lock().unwrap().len() >= 2);
    thread.join().unwrap();
    let expected = [
        ("first", tid, libc::SCHED_BATCH),
        ("second", tid, 0),
        ("closure", tid, 0),
    ];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn errors_and_panics_of_before_start_are_spawns_errors() {
    let drops = Arc::new(AtomicU32::new(0));
    let owned = Counted(drops.clone());
    let error = Builder::new()
        .before_start(|| Err(std::io::Error::from_raw_os_error(libc::EDOM)))
        .try_spawn(move || drop(owned))
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EDOM));
    assert_eq!(error.operation(), Some("before_start"));
    let owned = Counted(drops.clone());
    let error = Builder::new()
        .before_start(|| -> Result<(), Error> { panic!("expected in this test") })
        .try_spawn(move || drop(owned))
        .unwrap_err();
    assert_eq!(error.operation(), Some("before_start"));
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

/// Of any type that a function may return: its text, itself, and what it knows of errno, kind and limit.
#[test]
fn the_cause_of_a_failed_before_start_is_kept() {
    #[derive(Debug)]
    struct Own(u32);
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "own error {}", self.0)
        }
    }
    impl StdError for Own {}
    fn refused<E>(step: impl FnOnce() -> Result<(), E> + Send + 'static) -> Error
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let error = Builder::new().before_start(step).try_spawn(|| ());
        error.unwrap_err()
    }
    fn source<E: StdError + 'static>(error: &Error) -> &E {
        error.source().unwrap().downcast_ref().unwrap()
    }

    let error = refused(|| Err(Own(7)));
    assert_eq!(error.to_string(), "before_start: own error 7");
    assert_eq!(source::<Own>(&error).0, 7);
    assert_eq!(
        (error.kind(), error.raw_os_error()),
        (ErrorKind::Other, None)
    );
    assert_eq!(source::<Own>(&error.clone()).0, 7);
    let io = io::Error::from(error);
    assert_eq!(io.kind(), io::ErrorKind::Other);
    assert_eq!(io.to_string(), "before_start: own error 7");
    let inside = Error::from_io(&io).unwrap();
    assert_eq!(source::<Own>(inside).0, 7);
    assert_eq!(inside.operation(), Some("before_start"));

    // Strings, literals and made ones.
    assert_eq!(refused(|| Err("text")).to_string(), "before_start: text");
    assert_eq!(
        refused(|| Err(format!("{}", 5))).to_string(),
        "before_start: 5"
    );

    // An io::Error with an errno, with a kind alone, and with an error of this crate's inside.
    let error = refused(|| Err(io::Error::from_raw_os_error(libc::EDOM)));
    assert_eq!(
        (error.kind(), error.raw_os_error()),
        (ErrorKind::Os, Some(libc::EDOM))
    );
    assert_eq!(source::<io::Error>(&error).raw_os_error(), Some(libc::EDOM));
    let error = refused(|| Err(io::Error::new(io::ErrorKind::TimedOut, "late")));
    assert_eq!(error.to_string(), "before_start: late");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    let huge = || Builder::new().stack_size(usize::MAX);
    let error = refused(move || huge().spawn(|| ()).map(drop));
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));

    // One of this crate's: kind, limit and errno are the cause's; a nested step's, too.
    let error = refused(move || huge().try_spawn(|| ()).map(drop));
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(
        error
            .to_string()
            .starts_with("before_start: the stack or guard size")
    );
    assert_eq!(source::<Error>(&error).kind(), ErrorKind::InvalidInput);
    let error = refused(|| Err(refused(|| Err("inner"))));
    assert_eq!(error.to_string(), "before_start: before_start: inner");

    // The error may be caught, shared and sent, as before.
    fn shared<T: Send + Sync + UnwindSafe + RefUnwindSafe + Clone + 'static>(_: &T) {}
    shared(&error);
}

#[test]
fn thread_locals_of_a_failed_set_up_are_destroyed_before_spawn_returns() {
    static DROPS: AtomicU32 = AtomicU32::new(0);
    struct Local;
    impl Drop for Local {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local!(static LOCAL: Local = const { Local });
    for round in 1..=50 {
        let refused = Builder::new()
            .before_start(|| {
                LOCAL.with(|_| ());
                Err(Error::from_raw_os_error(libc::EIO))
            })
            .spawn(|| ());
        assert!(refused.is_err());
        assert_eq!(DROPS.load(Ordering::SeqCst), round);
    }
}
