//! `rawthread::sync` behaves as `std::sync` does, under load too.

mod barrier_semaphore;
mod beside_std;
#[path = "../common/mod.rs"]
mod common;
mod condvar;
#[path = "../common/filter.rs"]
mod filter;
mod mutex;
mod once;
mod pi_mutex;
mod rwlock;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Long enough that a thread that has not moved by then sleeps. Tests that use it can only err to
/// the side of passing.
const A_WHILE: Duration = Duration::from_millis(50);

/// Runs `blocked` in a thread; checks that it is still at it after a while, and that it ends
/// after `release`.
fn blocks_until(blocked: impl FnOnce() + Send, release: impl FnOnce()) {
    let ended = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            blocked();
            ended.store(true, SeqCst);
        });
        thread::sleep(A_WHILE);
        assert!(!ended.load(SeqCst), "did not wait");
        release();
    });
}

/// A panic inside `f`, caught and kept quiet about.
fn panics(f: impl FnOnce()) {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    assert!(caught.is_err(), "did not panic");
}

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

#[test]
fn bounds_are_those_of_std() {
    use rawthread::sync::*;
    use std::cell::Cell;
    // Send is enough for exclusion; readers need Sync too; guards only share.
    is_send::<Mutex<Cell<u8>>>();
    is_sync::<Mutex<Cell<u8>>>();
    is_sync::<MutexGuard<'_, u8>>();
    is_send::<RwLock<Cell<u8>>>();
    is_sync::<RwLock<u8>>();
    is_sync::<RwLockReadGuard<'_, u8>>();
    is_sync::<RwLockWriteGuard<'_, u8>>();
    is_send::<OnceLock<Cell<u8>>>();
    is_sync::<OnceLock<u8>>();
    is_send::<LazyLock<u8, Box<dyn FnOnce() -> u8 + Send>>>();
    is_sync::<LazyLock<u8, Box<dyn FnOnce() -> u8 + Send>>>();
    is_send::<PiMutex<Cell<u8>>>();
    is_sync::<PiMutex<Cell<u8>>>();
    is_sync::<PiMutexGuard<'_, u8>>();
    is_sync::<Condvar>();
    is_sync::<Once>();
    is_sync::<Barrier>();
    is_sync::<Semaphore>();
    is_send::<SemaphorePermit<'_>>();
}

#[test]
fn sizes_are_as_documented() {
    use rawthread::sync::*;
    assert_eq!(size_of::<Mutex<()>>(), 4);
    assert_eq!(size_of::<Condvar>(), 8);
    assert_eq!(size_of::<RwLock<()>>(), 8);
    assert_eq!(size_of::<Once>(), 4);
    assert_eq!(size_of::<OnceLock<u32>>(), 4 + size_of::<Option<u32>>());
    assert_eq!(size_of::<OnceLock<Box<u32>>>(), 8 + size_of::<usize>());
    assert_eq!(size_of::<Semaphore>(), 4);
    assert_eq!(size_of::<PiMutex<()>>(), 8);
}
