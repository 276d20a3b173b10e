//! Barrier and semaphore.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use rawthread::sync::{Barrier, Semaphore};

use super::{A_WHILE, blocks_until, panics};

#[test]
fn barrier_rounds() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 2_000;
    let barrier = Barrier::new(THREADS);
    let (arrived, led) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, SeqCst);
                    if barrier.wait().is_leader() {
                        led.fetch_add(1, SeqCst);
                    }
                    let seen = arrived.load(SeqCst);
                    // All of this round, and none of the next.
                    assert!(seen >= round * THREADS && seen < (round + 1) * THREADS);
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!(led.into_inner(), ROUNDS);
}

#[test]
fn barrier_with_more_threads_than_its_size() {
    // An even number of visits in all, by whichever thread: every one finds its partner.
    const VISITS: usize = 6_000;
    let barrier = Barrier::new(2);
    let (begun, led) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|s| {
        for _ in 0..6 {
            s.spawn(|| {
                while begun.fetch_add(1, SeqCst) < VISITS {
                    led.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
                }
            });
        }
    });
    assert_eq!(led.into_inner(), VISITS / 2);
}

#[test]
fn barrier_waits_and_small_ones_do_not() {
    let barrier = Barrier::new(2);
    blocks_until(
        || {
            barrier.wait();
        },
        || {
            barrier.wait();
        },
    );
    assert!(Barrier::new(0).wait().is_leader());
    assert!(Barrier::new(1).wait().is_leader());
}

#[test]
fn semaphore_limits() {
    const SEATS: u32 = 3;
    let semaphore = Semaphore::new(SEATS);
    let inside = AtomicU32::new(0);
    thread::scope(|s| {
        for i in 0..6 {
            let (semaphore, inside) = (&semaphore, &inside);
            s.spawn(move || {
                for round in 0..3_000 {
                    let permit = semaphore.acquire();
                    assert!(inside.fetch_add(1, SeqCst) < SEATS);
                    if (round + i) % 64 == 0 {
                        thread::yield_now();
                    }
                    inside.fetch_sub(1, SeqCst);
                    drop(permit);
                }
            });
        }
    });
    assert_eq!(semaphore.available_permits(), SEATS);
}

#[test]
fn semaphore_loses_no_wake_among_timeouts() {
    // Every permit released is taken and kept by some thread, though others give up all the time.
    const PERMITS: u32 = 5_000;
    let semaphore = Semaphore::new(0);
    let taken = AtomicU32::new(0);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while taken.load(SeqCst) < PERMITS {
                    if let Some(permit) = semaphore.acquire_timeout(Duration::from_micros(30)) {
                        permit.forget();
                        taken.fetch_add(1, SeqCst);
                    }
                }
                semaphore.release(1); // for the one below, should it sleep
            });
        }
        s.spawn(|| {
            while taken.load(SeqCst) < PERMITS {
                semaphore.acquire().forget();
                taken.fetch_add(1, SeqCst);
            }
        });
        for _ in 0..PERMITS {
            semaphore.release(1);
        }
    });
}

#[test]
fn semaphore_release_of_many_wakes_many() {
    let semaphore = Semaphore::new(0);
    let held = AtomicU32::new(0);
    thread::scope(|s| {
        for _ in 0..5 {
            s.spawn(|| {
                semaphore.acquire().forget();
                held.fetch_add(1, SeqCst);
            });
        }
        thread::sleep(A_WHILE);
        assert_eq!(held.load(SeqCst), 0);
        semaphore.release(5);
    });
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn semaphore_waits_and_times_out() {
    let semaphore = Semaphore::new(0);
    blocks_until(|| semaphore.acquire().forget(), || semaphore.release(1));
    let start = Instant::now();
    assert!(semaphore.acquire_timeout(A_WHILE).is_none());
    assert!(start.elapsed() >= A_WHILE);
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_none());
    assert!(semaphore.try_acquire().is_none());
    semaphore.release(2);
    assert!(semaphore.acquire_timeout(Duration::MAX).is_some());
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn semaphore_permits_travel() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.acquire();
    thread::scope(|s| {
        s.spawn(move || drop(permit));
    });
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn semaphore_limits_are_checked() {
    panics(|| {
        assert_eq!(
            Semaphore::new(Semaphore::MAX_PERMITS + 1).available_permits(),
            0
        )
    });
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    panics(|| semaphore.release(1));
    panics(|| semaphore.release(u32::MAX));
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert!(format!("{semaphore:?}").contains("available_permits: 2147483647"));
}
