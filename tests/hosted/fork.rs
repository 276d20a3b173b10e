//! fork beside and from threads of this crate; threads in the child.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{in_subprocess, watchdog};
use crate::util::on_raw;

/// Forks; the child runs `child`, with a watchdog, and ends with what it returns. The parent
/// gets the wait status.
fn in_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls what the tests are about, and ends without unwinding into libtest.
    unsafe {
        match libc::fork() {
            0 => {
                watchdog(20);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
                libc::_exit(result.unwrap_or(99));
            }
            pid => {
                assert!(pid > 0);
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
                status
            }
        }
    }
}

#[track_caller]
fn assert_exit(status: i32, code: i32) {
    assert!(
        libc::WIFEXITED(status),
        "died of signal {}",
        libc::WTERMSIG(status)
    );
    assert_eq!(libc::WEXITSTATUS(status), code);
}

/// Everything a forked child should be able to do.
fn live_on() -> i32 {
    let block: Vec<u8> = vec![3; 100_000];
    let raw: Vec<_> = (0..8)
        .map(|index| rawthread::spawn(move || vec![index; 1000].len()))
        .collect();
    let std = std::thread::spawn(|| vec![1u64; 1000].len());
    let mut sum: usize = raw.into_iter().map(|thread| thread.join().unwrap()).sum();
    sum += std.join().unwrap();
    sum += on_raw(|| on_raw(|| std::thread::spawn(|| 5).join().unwrap()));
    if sum == 9005 && block[99_999] == 3 {
        17
    } else {
        18
    }
}

#[test]
fn from_main_beside_raw_threads() {
    if !in_subprocess("fork::from_main_beside_raw_threads") {
        return;
    }
    let parked: Vec<_> = (0..4).map(|_| rawthread::spawn(rawthread::park)).collect();
    for _ in 0..20 {
        assert_exit(in_child(live_on), 17);
    }
    for thread in parked {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

#[test]
fn from_a_raw_thread() {
    if !in_subprocess("fork::from_a_raw_thread") {
        return;
    }
    let parked: Vec<_> = (0..4).map(|_| rawthread::spawn(rawthread::park)).collect();
    for _ in 0..20 {
        assert_exit(on_raw(|| in_child(live_on)), 17);
    }
    // And from a thread of this crate in a child again.
    assert_exit(
        on_raw(|| in_child(|| libc::WEXITSTATUS(on_raw(|| in_child(live_on))))),
        17,
    );
    for thread in parked {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

#[test]
fn the_caller_is_itself_in_the_child() {
    if !in_subprocess("fork::the_caller_is_itself_in_the_child") {
        return;
    }
    let thread = rawthread::Builder::new().name("forker".into()).spawn(|| {
        in_child(|| {
            // SAFETY: asks.
            let tid = unsafe { libc::gettid() };
            let own = rawthread::current();
            let same = own.name() == Some("forker") && tid == std::process::id() as i32;
            // A mutex that checks its owner by the tid in the control block.
            let mutex = std::sync::Mutex::new(());
            drop(mutex.lock().unwrap());
            // The signal that setuid uses would be sent to that tid as well.
            // SAFETY: the calling thread's own handle.
            let signalled = unsafe { libc::pthread_kill(libc::pthread_self(), 0) };
            if same && signalled == 0 { 21 } else { 22 }
        })
    });
    assert_exit(thread.unwrap().join().unwrap(), 21);
}

#[test]
fn the_child_of_a_raw_thread_may_return_from_its_closure() {
    if !in_subprocess("fork::the_child_of_a_raw_thread_may_return_from_its_closure") {
        return;
    }
    // SAFETY: the child only returns.
    let pid = on_raw(|| unsafe { libc::fork() });
    assert!(pid > 0, "the child came out of join");
    let mut status = 0;
    // SAFETY: the place is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_exit(status, 0);
}

#[test]
fn while_raw_threads_start_and_end() {
    if !in_subprocess("fork::while_raw_threads_start_and_end") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let churn: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            rawthread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    on_raw(|| std::hint::black_box(vec![1u8; 64]).len());
                }
            })
        })
        .collect();
    // Whatever lock of libc or the loader a thread holds at that instant, the child must not
    // find it locked and never unlocked: its watchdog would end it.
    for _ in 0..1000 {
        assert_exit(in_child(|| on_raw(|| 23)), 23);
    }
    stop.store(true, Ordering::Relaxed);
    churn.into_iter().for_each(|thread| thread.join().unwrap());
}
