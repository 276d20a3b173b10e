//! What a forked child waits for must not be a lock that another thread of the parent held.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rawthread::{Builder, warm};

use super::common::{in_subprocess, poll_until, watchdog};

/// Forks; the child runs `child` and ends. Returns whether it ended well, and in time.
fn child_does(child: fn()) -> bool {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(20);
        let code = i32::from(std::panic::catch_unwind(child).is_err());
        unsafe { libc::_exit(code) };
    }
    assert!(pid > 0);
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status == 0
}

/// Idle threads waited in a queue of parking_lot_core, whose locks are the process's. Here one of
/// them is held at each fork, another each time.
#[test]
fn idle_threads_need_no_lock_of_the_parents() {
    if !in_subprocess("warm_after_fork::idle_threads_need_no_lock_of_the_parents") {
        return;
    }
    static HELD: AtomicBool = AtomicBool::new(false);
    static FREE: AtomicBool = AtomicBool::new(false);
    // With a handful of threads the queues are few: each is held in some of the rounds.
    for round in 1..=64 {
        HELD.store(false, Ordering::SeqCst);
        FREE.store(false, Ordering::SeqCst);
        let holder = std::thread::spawn(move || {
            let hold = || {
                HELD.store(true, Ordering::SeqCst);
                poll_until("the fork is over", || FREE.load(Ordering::SeqCst));
                false
            };
            let token = parking_lot_core::DEFAULT_PARK_TOKEN;
            // SAFETY: no other code parks at these addresses; nothing here panics or parks.
            unsafe { parking_lot_core::park(round << 12, hold, || {}, |_, _| {}, token, None) };
        });
        poll_until("the lock is held", || HELD.load(Ordering::SeqCst));
        let good = child_does(|| {
            for number in 0..3 {
                assert_eq!(warm::spawn(move || number).join().unwrap(), number);
                // Time to become idle.
                std::thread::sleep(Duration::from_millis(1));
            }
            rawthread::trim();
        });
        FREE.store(true, Ordering::SeqCst);
        holder.join().unwrap();
        assert!(good, "round {round}");
    }
}

/// The first thread with a name wraps the panic hook. A child that was forked meanwhile waited for
/// the parent's thread to be done with it.
#[test]
fn a_thread_with_a_name_needs_no_hook_of_the_parents() {
    if !in_subprocess("warm_after_fork::a_thread_with_a_name_needs_no_hook_of_the_parents") {
        return;
    }
    static IN_HOOK: AtomicBool = AtomicBool::new(false);
    static FREE: Barrier = Barrier::new(2);
    std::panic::set_hook(Box::new(|_| {
        IN_HOOK.store(true, Ordering::SeqCst);
        FREE.wait();
    }));
    // While this thread is in the hook, no other thread may change it.
    let panicking = std::thread::spawn(|| panic!("on purpose"));
    poll_until("the hook runs", || IN_HOOK.load(Ordering::SeqCst));
    let named = || {
        let builder = Builder::new().name("named".into());
        builder.try_spawn(|| ()).unwrap().join().unwrap();
    };
    let waiting = std::thread::spawn(named);
    // There is nothing to see of a thread that waits for std's lock but that it does not end.
    std::thread::sleep(Duration::from_millis(200));
    let good = child_does(named);
    FREE.wait();
    assert!(panicking.join().is_err());
    waiting.join().unwrap();
    drop(std::panic::take_hook());
    assert!(good);
}
