//! Models of `sync`, through its public types.

use super::explore::{RaceCell, explore};
use crate::sync::raw::{Begin, RawOnce};
use crate::sync::{
    Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, RwLockWriteGuard, Semaphore,
};
use core::time::Duration;
use loom::sync::Arc;
use loom::thread;
use std::boxed::Box;
use std::vec::Vec;

fn in_threads<T: Send + Sync + 'static>(
    count: usize,
    shared: &Arc<T>,
    f: fn(&T),
) -> Vec<thread::JoinHandle<()>> {
    (0..count)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || f(&shared))
        })
        .collect()
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// RAWMUTEX-1 and RAWMUTEX-2: three threads, so that one sleeps while two meet.
#[test]
fn mutex() {
    explore(3, || {
        let lock = Arc::new(Mutex::new(RaceCell::new(0)));
        let others = in_threads(2, &lock, |lock| lock.lock().add(1));
        lock.lock().add(1);
        join(others);
        assert_eq!(lock.lock().get(), 3);
    });
}

#[test]
fn mutex_try_lock() {
    explore(3, || {
        let lock = Arc::new(Mutex::new(RaceCell::new(0)));
        let others = in_threads(2, &lock, |lock| {
            if let Ok(data) = lock.try_lock() {
                data.add(1);
            }
        });
        lock.lock().add(1);
        join(others);
        assert!((1..=3).contains(&lock.lock().get()));
    });
}

/// CONDVAR-1 and CONDVAR-2: the notification comes before, while or after the waiter falls asleep.
#[test]
fn condvar_notify_one() {
    explore(3, || {
        let pair = Arc::new((Mutex::new(RaceCell::new(0)), Condvar::new()));
        let others = in_threads(1, &pair, |(lock, changed)| {
            lock.lock().add(1);
            changed.notify_one();
        });
        let (lock, changed) = &*pair;
        let data = changed.wait_while(lock.lock(), |data| data.get() == 0);
        assert_eq!(data.get(), 1);
        drop(data);
        join(others);
    });
}

/// Two waiters, one notification for both.
#[test]
fn condvar_notify_all() {
    explore(2, || {
        let pair = Arc::new((Mutex::new(RaceCell::new(0)), Condvar::new()));
        let others = in_threads(2, &pair, |(lock, changed)| {
            drop(changed.wait_while(lock.lock(), |data| data.get() == 0));
        });
        let (lock, changed) = &*pair;
        lock.lock().add(1);
        changed.notify_all();
        join(others);
    });
}

/// Two waiters, two notifications for one each: a waiter that times out takes none of them along.
#[test]
fn condvar_timeout() {
    explore(2, || {
        let pair = Arc::new((Mutex::new(RaceCell::new(0)), Condvar::new()));
        let patient = in_threads(1, &pair, |(lock, changed)| {
            drop(changed.wait_while(lock.lock(), |data| data.get() == 0));
        });
        let hasty = in_threads(1, &pair, |(lock, changed)| {
            drop(changed.wait_timeout(lock.lock(), Duration::ZERO));
        });
        let (lock, changed) = &*pair;
        lock.lock().add(1);
        changed.notify_one();
        changed.notify_one();
        join(patient);
        join(hasty);
    });
}

/// RAWRWLOCK-1 to RAWRWLOCK-4 with two writers and a reader.
#[test]
fn rwlock_writers() {
    explore(2, || {
        let lock = Arc::new(RwLock::new(RaceCell::new(0)));
        let writers = in_threads(2, &lock, |lock| lock.write().add(1));
        assert!(lock.read().get() <= 2);
        join(writers);
        assert_eq!(lock.read().get(), 2);
    });
}

/// RAWRWLOCK-1 to RAWRWLOCK-5 with two readers and a writer.
#[test]
fn rwlock_readers() {
    explore(2, || {
        let lock = Arc::new(RwLock::new(RaceCell::new(0)));
        let readers = in_threads(2, &lock, |lock| assert!(lock.read().get() <= 1));
        lock.write().add(1);
        join(readers);
    });
}

/// The readers that a writer shut out come in with its downgrade.
#[test]
fn rwlock_downgrade() {
    explore(2, || {
        let lock = Arc::new(RwLock::new(RaceCell::new(0)));
        let reader = in_threads(1, &lock, |lock| assert!(lock.read().get() <= 3));
        let writer = in_threads(1, &lock, |lock| lock.write().add(2));
        let own = lock.write();
        let before = own.get();
        own.add(1);
        let own = RwLockWriteGuard::downgrade(own);
        assert_eq!(own.get(), before + 1);
        drop(own);
        join(reader);
        join(writer);
    });
}

/// A reader that a downgrade should let in, while the former writer waits for it.
#[test]
fn rwlock_downgrade_lets_readers_in() {
    explore(3, || {
        let pair = Arc::new((RwLock::new(RaceCell::new(0)), Semaphore::new(0)));
        let reader = in_threads(1, &pair, |(lock, came_in)| {
            drop(lock.read());
            came_in.release(1);
        });
        let (lock, came_in) = &*pair;
        let own = lock.write();
        own.add(1);
        let own = RwLockWriteGuard::downgrade(own);
        came_in.acquire().forget();
        drop(own);
        join(reader);
    });
}

/// ONCE-1 to ONCE-3: of three threads one initialises, all see it.
#[test]
fn once() {
    explore(3, || {
        let shared = Arc::new((Once::new(), RaceCell::new(0)));
        fn visit((once, data): &(Once, RaceCell)) {
            once.call_once(|| data.add(1));
            assert_eq!(data.get(), 1);
        }
        let others = in_threads(2, &shared, visit);
        visit(&shared);
        join(others);
    });
}

/// ONCE-3: a thread that waits without offering a closure, before and during the run.
#[test]
fn once_wait() {
    explore(3, || {
        let shared = Arc::new((Once::new(), RaceCell::new(0)));
        let others = in_threads(2, &shared, |(once, data)| {
            once.wait();
            assert_eq!(data.get(), 1);
        });
        shared.0.call_once(|| shared.1.add(1));
        join(others);
    });
}

/// ONCE-1 after a failure: every attempt sees what the failed ones before it left behind. A turn that
/// is dropped poisons, as a panic would.
#[test]
fn once_poisoned() {
    explore(3, || {
        let shared = Arc::new((RawOnce::new(), RaceCell::new(0)));
        fn fail((once, data): &(RawOnce, RaceCell)) {
            if let Begin::Run(guard) = once.begin_or_wait(true) {
                data.add(1);
                drop(guard);
            }
        }
        let others = in_threads(2, &shared, fail);
        fail(&shared);
        join(others);
        assert_eq!(shared.1.get(), 3);
    });
}

#[test]
fn once_lock() {
    explore(3, || {
        let cell = Arc::new(OnceLock::new());
        let setters = in_threads(2, &cell, |cell: &OnceLock<RaceCell>| {
            let _ = cell.set(RaceCell::new(1));
        });
        if let Some(value) = cell.get() {
            assert_eq!(value.get(), 1);
        }
        assert_eq!(cell.wait().get(), 1);
        join(setters);
    });
}

#[test]
fn lazy_lock() {
    type Lazy = LazyLock<RaceCell, Box<dyn FnOnce() -> RaceCell + Send>>;
    explore(3, || {
        let lazy: Arc<Lazy> = Arc::new(LazyLock::new(Box::new(|| RaceCell::new(5))));
        let others = in_threads(2, &lazy, |lazy: &Lazy| assert_eq!(lazy.get(), 5));
        assert_eq!(lazy.get(), 5);
        join(others);
    });
}

/// BARRIER-1: what was done before the barrier is seen behind it, and one thread leads.
#[test]
fn barrier() {
    explore(3, || {
        let shared = Arc::new((
            Barrier::new(2),
            [RaceCell::new(0), RaceCell::new(0)],
            Mutex::new(0),
        ));
        fn visit((barrier, data, leaders): &(Barrier, [RaceCell; 2], Mutex<u32>), mine: usize) {
            data[mine].add(1);
            if barrier.wait().is_leader() {
                *leaders.lock() += 1;
            }
            assert_eq!(data[1 - mine].get(), 1);
        }
        let other = in_threads(1, &shared, |shared| visit(shared, 1));
        visit(&shared, 0);
        join(other);
        assert_eq!(*shared.2.lock(), 1);
    });
}

/// BARRIER-1 again: two rounds.
#[test]
fn barrier_again() {
    explore(2, || {
        let shared = Arc::new((Barrier::new(2), RaceCell::new(0)));
        fn visit((barrier, data): &(Barrier, RaceCell)) {
            if barrier.wait().is_leader() {
                data.add(1);
            }
            barrier.wait();
            assert_eq!(data.get(), 1);
        }
        let other = in_threads(1, &shared, visit);
        visit(&shared);
        join(other);
    });
}

/// BARRIER-2: four threads on a barrier for two, so that two rounds overlap. Every thread passes.
#[test]
fn barrier_overlap() {
    explore(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let others = in_threads(3, &barrier, |barrier| {
            barrier.wait();
        });
        barrier.wait();
        join(others);
    });
}

/// SEMAPHORE-1: one permit, as a lock.
#[test]
fn semaphore_as_lock() {
    explore(3, || {
        let shared = Arc::new((Semaphore::new(1), RaceCell::new(0)));
        fn visit((semaphore, data): &(Semaphore, RaceCell)) {
            let _permit = semaphore.acquire();
            data.add(1);
        }
        let others = in_threads(2, &shared, visit);
        visit(&shared);
        join(others);
        let _permit = shared.0.acquire();
        assert_eq!(shared.1.get(), 3);
    });
}

/// SEMAPHORE-2: two sleepers, two permits, released together and one by one.
#[test]
fn semaphore_two_sleepers() {
    fn take(semaphore: &Semaphore) {
        semaphore.acquire().forget();
    }
    explore(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let takers = in_threads(2, &semaphore, take);
        semaphore.release(2);
        join(takers);
    });
    explore(3, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let takers = in_threads(2, &semaphore, take);
        semaphore.release(1);
        semaphore.release(1);
        join(takers);
    });
}

/// SEMAPHORE-1 with a sleeper that gives up: the other one still gets its permit.
#[test]
fn semaphore_timeout() {
    explore(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let patient = in_threads(1, &semaphore, |semaphore| semaphore.acquire().forget());
        let hasty = in_threads(1, &semaphore, |semaphore| {
            drop(semaphore.acquire_timeout(Duration::ZERO));
        });
        semaphore.release(1);
        join(patient);
        join(hasty);
    });
}
