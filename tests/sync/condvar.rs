use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rawthread::sync::{Condvar, Mutex};

use super::{A_WHILE, blocks_until};

#[test]
fn waits_for_the_notification_and_unlocks_meanwhile() {
    let lock = Mutex::new(false);
    let changed = Condvar::new();
    blocks_until(
        || assert!(*changed.wait_while(lock.lock(), |ready| !*ready)),
        || {
            // Would never get the lock if the waiter had kept it.
            *lock.lock() = true;
            changed.notify_one();
        },
    );
}

#[test]
fn notify_all_wakes_all() {
    let lock = Mutex::new((0, false));
    let changed = Condvar::new();
    let arrived = Condvar::new();
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let mut state = lock.lock();
                state.0 += 1;
                arrived.notify_one();
                while !state.1 {
                    state = changed.wait(state);
                }
                state.0 -= 1;
            });
        }
        let mut state = arrived.wait_while(lock.lock(), |state| state.0 < 8);
        state.1 = true;
        drop(state);
        changed.notify_all();
    });
    assert_eq!(lock.into_inner().0, 0);
}

#[test]
fn every_notify_one_reaches_a_waiter() {
    // A queue: if a wake were lost, items would stay while consumers sleep.
    const ITEMS: u32 = 20_000;
    let queue = Mutex::new((Vec::new(), 0));
    let filled = Condvar::new();
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                loop {
                    let mut state = filled.wait_while(queue.lock(), |(items, taken)| {
                        items.is_empty() && *taken < ITEMS
                    });
                    if state.0.pop().is_none() {
                        return;
                    }
                    state.1 += 1;
                    if state.1 == ITEMS {
                        filled.notify_all();
                    }
                }
            });
        }
        for item in 0..ITEMS {
            queue.lock().0.push(item);
            filled.notify_one();
        }
    });
    assert_eq!(queue.into_inner(), (Vec::new(), ITEMS));
}

#[test]
fn wait_timeout_ends_and_holds_the_lock_again() {
    let lock = Mutex::new(());
    let never = Condvar::new();
    let start = Instant::now();
    let mut guard = lock.lock();
    loop {
        let result;
        (guard, result) = never.wait_timeout(guard, A_WHILE);
        assert!(lock.try_lock().is_err());
        if result.timed_out() {
            break;
        }
    }
    assert!(start.elapsed() >= A_WHILE);
    drop(guard);
}

#[test]
fn wait_timeout_of_nothing_and_of_everything() {
    let lock = Mutex::new(false);
    let changed = Condvar::new();
    let (guard, result) = changed.wait_timeout_while(lock.lock(), Duration::ZERO, |ready| !*ready);
    assert!(result.timed_out() && !*guard);
    drop(guard);
    // Beyond what the clock can say: no limit, and no overflow.
    blocks_until(
        || {
            let (guard, result) =
                changed.wait_timeout_while(lock.lock(), Duration::MAX, |ready| !*ready);
            assert!(!result.timed_out() && *guard);
        },
        || {
            *lock.lock() = true;
            changed.notify_one();
        },
    );
}

#[test]
fn wait_timeout_while_sees_the_change() {
    let lock = Mutex::new(0);
    let changed = Condvar::new();
    thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..3 {
                *lock.lock() += 1;
                changed.notify_one();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let (count, result) =
            changed.wait_timeout_while(lock.lock(), Duration::from_secs(600), |n| *n < 3);
        assert!(!result.timed_out());
        assert_eq!(*count, 3);
    });
}

#[test]
fn a_true_condition_at_the_end_is_no_timeout() {
    let lock = Mutex::new(());
    let never = Condvar::new();
    let mut looks = 0;
    let (_guard, result) = never.wait_timeout_while(lock.lock(), Duration::from_millis(1), |()| {
        looks += 1;
        looks == 1
    });
    assert!(!result.timed_out());
}

#[test]
fn ping_pong() {
    let turn = Mutex::new(0_u32);
    let changed = Condvar::new();
    thread::scope(|s| {
        for me in 0..2 {
            let (turn, changed) = (&turn, &changed);
            s.spawn(move || {
                for _ in 0..5_000 {
                    let mut turn = changed.wait_while(turn.lock(), |turn| *turn % 2 != me);
                    *turn += 1;
                    changed.notify_one();
                }
            });
        }
    });
    assert_eq!(turn.into_inner(), 10_000);
}

#[test]
fn a_notification_without_waiters_is_not_kept() {
    let lock = Mutex::new(());
    let changed = Condvar::new();
    changed.notify_one();
    changed.notify_all();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|s| {
        s.spawn(|| {
            let guard = changed
                .wait_timeout(lock.lock(), Duration::from_secs(600))
                .0;
            drop(guard);
            sender.send(()).unwrap();
        });
        // A wake without a reason is allowed but rare; what was notified before must not be one.
        assert!(receiver.recv_timeout(A_WHILE).is_err());
        drop(lock.lock());
        changed.notify_all();
        receiver.recv().unwrap();
    });
}
