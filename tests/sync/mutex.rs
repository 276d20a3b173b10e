use std::fmt::Debug;
use std::sync::Arc;
use std::thread;

use rawthread::sync::{Mutex, WouldBlock};

use super::{blocks_until, panics};

#[test]
fn excludes() {
    const THREADS: usize = 4;
    const TIMES: usize = 50_000;
    // Not atomic: a lost update shows.
    let lock = Mutex::new((0_usize, 0_usize));
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for _ in 0..TIMES {
                    let mut pair = lock.lock();
                    assert_eq!(pair.0, pair.1);
                    pair.0 += 1;
                    pair.1 = std::hint::black_box(pair.1) + 1;
                }
            });
        }
    });
    assert_eq!(lock.into_inner(), (THREADS * TIMES, THREADS * TIMES));
}

#[test]
fn many_sleepers_are_all_woken() {
    let lock = Mutex::new(0);
    let held = lock.lock();
    thread::scope(|s| {
        for _ in 0..16 {
            s.spawn(|| *lock.lock() += 1);
        }
        thread::sleep(super::A_WHILE);
        assert_eq!(*held, 0);
        drop(held);
    });
    assert_eq!(lock.into_inner(), 16);
}

#[test]
fn waits_for_the_holder() {
    let lock = Mutex::new(());
    let held = lock.lock();
    blocks_until(|| drop(lock.lock()), || drop(held));
}

#[test]
fn try_lock_does_not_wait() {
    let lock = Mutex::new(1);
    let held = lock.lock();
    assert_eq!(lock.try_lock().unwrap_err(), WouldBlock);
    thread::scope(|s| {
        s.spawn(|| assert_eq!(lock.try_lock().unwrap_err(), WouldBlock));
    });
    drop(held);
    *lock.try_lock().unwrap() = 2;
    assert_eq!(*lock.try_lock().unwrap(), 2);
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    let lock = Mutex::new(1);
    panics(|| {
        let mut data = lock.lock();
        *data = 2;
        panic!("with the lock held");
    });
    assert_eq!(*lock.try_lock().unwrap(), 2);
}

#[test]
fn unsized_data() {
    let lock: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
    lock.lock()[0] = 4;
    assert_eq!(*lock.lock(), [4, 2, 3]);
    let lock: Arc<Mutex<dyn Debug + Send>> = Arc::new(Mutex::new("text"));
    assert_eq!(format!("{:?}", lock.lock()), "\"text\"");
}

#[test]
fn the_data_is_dropped_once() {
    let data = Arc::new(());
    let lock = Mutex::new(data.clone());
    drop(lock.lock());
    drop(lock);
    assert_eq!(Arc::strong_count(&data), 1);
}

#[test]
fn the_last_to_unlock_may_free_the_lock() {
    // The first thread's wake may come when the second has freed the mutex.
    for _ in 0..2_000 {
        let lock = Arc::new(Mutex::new(0));
        let other = lock.clone();
        let thread = thread::spawn(move || *other.lock() += 1);
        *lock.lock() += 1;
        drop(lock);
        thread.join().unwrap();
    }
}

#[test]
fn shows_itself() {
    let mut lock = Mutex::from(1);
    assert_eq!(format!("{lock:?}"), "Mutex { data: 1, .. }");
    let held = lock.lock();
    assert_eq!(
        format!("{lock:?} {held:?} {held}"),
        "Mutex { data: <locked>, .. } 1 1"
    );
    drop(held);
    *lock.get_mut() = 2;
    assert_eq!(lock.into_inner(), 2);
    assert_eq!(Mutex::<u8>::default().into_inner(), 0);
    assert!(WouldBlock.to_string().contains("would block"));
}
