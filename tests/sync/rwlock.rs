use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::thread;

use rawthread::sync::{Barrier, RwLock, RwLockWriteGuard};

use super::{A_WHILE, blocks_until, panics};

#[test]
fn readers_or_one_writer() {
    // -1: a writer is inside; n: so many readers.
    let inside = AtomicI32::new(0);
    let lock = RwLock::new((0_u32, 0_u32));
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..20_000 {
                    let mut data = lock.write();
                    assert_eq!(inside.swap(-1, SeqCst), 0);
                    data.0 += 1;
                    data.1 += 1;
                    inside.store(0, SeqCst);
                }
            });
            s.spawn(|| {
                for _ in 0..20_000 {
                    let data = lock.read();
                    assert!(inside.fetch_add(1, SeqCst) >= 0);
                    assert_eq!(data.0, data.1);
                    inside.fetch_sub(1, SeqCst);
                }
            });
        }
        s.spawn(|| {
            for _ in 0..5_000 {
                let mut data = lock.write();
                assert_eq!(inside.swap(-1, SeqCst), 0);
                data.0 += 1;
                data.1 += 1;
                inside.store(1, SeqCst);
                let data = RwLockWriteGuard::downgrade(data);
                assert_eq!(data.0, data.1);
                inside.fetch_sub(1, SeqCst);
            }
        });
    });
    assert_eq!(lock.into_inner(), (45_000, 45_000));
}

#[test]
fn readers_are_together() {
    let lock = RwLock::new(());
    let meet = Barrier::new(4);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let _reader = lock.read();
                // Would never return if readers excluded each other.
                meet.wait();
            });
        }
    });
}

#[test]
fn writer_waits_for_readers_and_readers_for_writer() {
    let lock = RwLock::new(());
    let reader = lock.read();
    blocks_until(|| drop(lock.write()), || drop(reader));
    let writer = lock.write();
    blocks_until(|| drop(lock.read()), || drop(writer));
    let writer = lock.write();
    blocks_until(|| drop(lock.write()), || drop(writer));
}

#[test]
fn readers_queue_behind_a_waiting_writer() {
    let lock = RwLock::new(0);
    let reader = lock.read();
    thread::scope(|s| {
        s.spawn(|| *lock.write() = 1);
        // Until the writer sleeps, readers get in.
        while lock.try_read().is_ok() {
            thread::yield_now();
        }
        let late = s.spawn(|| *lock.read());
        thread::sleep(A_WHILE);
        assert!(!late.is_finished());
        assert_eq!(*reader, 0);
        drop(reader);
        assert_eq!(late.join().unwrap(), 1);
    });
}

#[test]
fn all_sleepers_are_woken() {
    let lock = RwLock::new(0);
    let held = lock.write();
    thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| assert!(*lock.read() <= 4));
        }
        for _ in 0..4 {
            s.spawn(|| *lock.write() += 1);
        }
        thread::sleep(A_WHILE);
        drop(held);
    });
    assert_eq!(lock.into_inner(), 4);
}

#[test]
fn try_does_not_wait() {
    let lock = RwLock::new(1);
    let reader = lock.read();
    assert_eq!(*lock.try_read().unwrap(), 1);
    assert!(lock.try_write().is_err());
    drop(reader);
    let writer = lock.try_write().unwrap();
    assert!(lock.try_read().is_err());
    assert!(lock.try_write().is_err());
    drop(writer);
    assert!(lock.try_write().is_ok());
}

#[test]
fn downgrade_keeps_writers_out_and_lets_readers_in() {
    let lock = RwLock::new(1);
    let mut writer = lock.write();
    *writer = 2;
    let mut reader = None;
    blocks_until(
        || assert_eq!(*lock.read(), 2),
        || reader = Some(RwLockWriteGuard::downgrade(writer)),
    );
    assert!(lock.try_write().is_err());
    drop(reader);
    assert!(lock.try_write().is_ok());
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    let lock = RwLock::new(1);
    panics(|| {
        let _writer = lock.write();
        panic!("with the lock held");
    });
    panics(|| {
        let _reader = lock.read();
        panic!("with the lock held");
    });
    assert_eq!(*lock.try_write().unwrap(), 1);
}

#[test]
fn unsized_data_and_drop() {
    let lock: &RwLock<[i32]> = &RwLock::new([1, 2]);
    lock.write()[0] = 3;
    assert_eq!(*lock.read(), [3, 2]);
    let data = Arc::new(());
    drop(RwLock::new(data.clone()));
    assert_eq!(Arc::strong_count(&data), 1);
}

#[test]
fn shows_itself() {
    let lock = RwLock::from(1);
    let reader = lock.read();
    assert_eq!(
        format!("{lock:?} {reader:?} {reader}"),
        "RwLock { data: 1, .. } 1 1"
    );
    drop(reader);
    let writer = lock.write();
    assert_eq!(
        format!("{lock:?} {writer:?} {writer}"),
        "RwLock { data: <locked>, .. } 1 1"
    );
}
