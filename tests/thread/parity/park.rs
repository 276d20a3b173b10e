// Promises of `park`, `park_timeout` and `Thread::unpark`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[test]
fn a_token_given_before_makes_the_park_return() {
    // In a thread of its own: the test harness parks too.
    let handle = thread::spawn(|| {
        thread::current().unpark();
        thread::park();
    });
    handle.join().unwrap();
}

#[test]
fn an_unpark_wakes_a_parked_thread() {
    let ready = Arc::new(AtomicBool::new(false));
    let seen = ready.clone();
    let handle = thread::spawn(move || {
        while !seen.load(Relaxed) {
            thread::park();
        }
    });
    thread::sleep(Duration::from_millis(5));
    ready.store(true, Relaxed);
    handle.thread().unpark();
    handle.join().unwrap();
}

#[test]
fn what_happened_before_the_unpark_is_seen_after_the_park() {
    for round in 0..200 {
        let data = Arc::new(AtomicUsize::new(usize::MAX));
        let shared = data.clone();
        let handle = thread::spawn(move || {
            loop {
                thread::park();
                let value = shared.load(Relaxed);
                if value != usize::MAX {
                    return value;
                }
            }
        });
        data.store(round, Relaxed);
        handle.thread().unpark();
        assert_eq!(handle.join().unwrap(), round);
    }
}

#[test]
fn tokens_do_not_add_up() {
    let handle = thread::spawn(|| {
        thread::current().unpark();
        thread::current().unpark();
        thread::park();
        let start = Instant::now();
        thread::park_timeout(Duration::from_millis(20));
        start.elapsed()
    });
    // Both park without spurious wakes, though neither promises it.
    assert!(handle.join().unwrap() >= Duration::from_millis(20));
}

#[test]
fn a_timed_park_returns_without_a_token() {
    let handle = thread::spawn(|| {
        thread::park_timeout(Duration::from_millis(5));
        #[allow(deprecated, reason = "programs still use it")]
        thread::park_timeout_ms(5);
    });
    handle.join().unwrap();
}

#[test]
fn a_timed_park_takes_a_token_however_long_it_might_wait() {
    for limit in [Duration::ZERO, Duration::from_secs(1000), Duration::MAX] {
        let handle = thread::spawn(move || {
            thread::current().unpark();
            thread::park_timeout(limit);
            // The token is gone: this one waits.
            let start = Instant::now();
            thread::park_timeout(Duration::from_millis(10));
            start.elapsed()
        });
        assert!(handle.join().unwrap() >= Duration::from_millis(10));
    }
}

#[test]
fn a_thread_that_has_ended_can_be_unparked() {
    let handle = thread::spawn(thread::current);
    let ended = handle.join().unwrap();
    ended.unpark();
    ended.clone().unpark();
}
