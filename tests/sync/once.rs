use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use rawthread::sync::{Barrier, LazyLock, Once, OnceLock};

use super::{blocks_until, panics};

#[test]
fn runs_once_and_all_see_it() {
    for _ in 0..200 {
        let once = Once::new();
        let runs = AtomicU32::new(0);
        let start = Barrier::new(4);
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    start.wait();
                    once.call_once(|| {
                        thread::yield_now();
                        runs.fetch_add(1, SeqCst);
                    });
                    assert_eq!(runs.load(SeqCst), 1);
                    assert!(once.is_completed());
                });
            }
        });
    }
}

#[test]
fn latecomers_wait_for_the_running_closure() {
    let once = Once::new();
    let (start, go_on) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            once.call_once(|| {
                start.wait();
                go_on.wait();
            });
        });
        start.wait();
        assert!(!once.is_completed());
        blocks_until(
            || once.call_once(|| panic!("a second closure ran")),
            || {
                go_on.wait();
            },
        );
    });
}

#[test]
fn a_panic_poisons_a_once() {
    let once = Once::new();
    panics(|| once.call_once(|| panic!("first")));
    assert!(!once.is_completed());
    panics(|| once.call_once(|| ()));
    panics(|| once.wait());
    // Poisoned again, then mended.
    panics(|| once.call_once_force(|_| panic!("second")));
    let mut told = false;
    once.call_once_force(|state| told = state.is_poisoned());
    assert!(told && once.is_completed());
    once.call_once(|| panic!("a second closure ran"));
    once.wait();
}

#[test]
fn a_first_force_is_not_told_of_poison() {
    let once = Once::new();
    once.call_once_force(|state| assert!(!state.is_poisoned()));
    assert!(once.is_completed());
}

#[test]
fn a_sleeper_learns_of_the_panic() {
    let once = Once::new();
    let start = Barrier::new(2);
    thread::scope(|s| {
        s.spawn(|| {
            panics(|| {
                once.call_once(|| {
                    start.wait();
                    thread::sleep(super::A_WHILE);
                    panic!("while others wait");
                });
            });
        });
        start.wait();
        panics(|| once.call_once(|| ()));
    });
}

#[test]
fn wait_begins_before_the_closure() {
    let once = Once::new();
    blocks_until(|| once.wait(), || once.call_once(|| ()));
}

#[test]
fn wait_force_waits_through_a_panic() {
    let once = Once::new();
    panics(|| once.call_once(|| panic!("first")));
    blocks_until(|| once.wait_force(), || once.call_once_force(|_| ()));
}

#[test]
fn once_lock_is_written_once() {
    for _ in 0..200 {
        let cell = OnceLock::new();
        let start = Barrier::new(4);
        let won = AtomicU32::new(0);
        thread::scope(|s| {
            for i in 0..4 {
                let (cell, start, won) = (&cell, &start, &won);
                s.spawn(move || {
                    start.wait();
                    let mut mine = false;
                    let value = *cell
                        .get_or_init(|| {
                            mine = true;
                            Box::new(i)
                        })
                        .as_ref();
                    if mine {
                        won.fetch_add(1, SeqCst);
                        assert_eq!(value, i);
                    }
                    assert_eq!(cell.set(Box::new(9)), Err(Box::new(9)));
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn once_lock_begins_afresh_after_a_panic() {
    let cell = OnceLock::new();
    panics(|| {
        cell.get_or_init(|| panic!("no value"));
    });
    assert_eq!(cell.get(), None);
    assert_eq!(*cell.get_or_init(|| 2), 2);
}

#[test]
fn once_lock_wait() {
    let cell = OnceLock::new();
    blocks_until(|| assert_eq!(*cell.wait(), 5), || cell.set(5).unwrap());
}

#[test]
fn once_lock_drops_its_value_once() {
    let data = Arc::new(());
    drop(OnceLock::<Arc<()>>::new());
    drop(OnceLock::from(data.clone()));
    assert_eq!(Arc::strong_count(&data), 1);
    let mut cell = OnceLock::from(data.clone());
    let copy = cell.clone();
    assert_eq!(copy, cell);
    assert_eq!(Arc::strong_count(&data), 3);
    assert!(cell.get_mut().is_some());
    drop(cell.take());
    assert_eq!(cell.get(), None);
    assert_eq!(copy.into_inner(), Some(data.clone()));
    assert_eq!(Arc::strong_count(&data), 1);
    assert!(cell.set(data.clone()).is_ok());
    drop(cell);
    assert_eq!(Arc::strong_count(&data), 1);
}

#[test]
fn lazy_lock_makes_its_value_once() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    static LAZY: LazyLock<u32> = LazyLock::new(|| {
        thread::yield_now();
        MADE.fetch_add(1, SeqCst) + 10
    });
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| assert_eq!(*LAZY, 10));
        }
    });
    assert_eq!(MADE.load(SeqCst), 1);
}

#[test]
fn a_panic_poisons_a_lazy_lock() {
    let lazy: LazyLock<u32> = LazyLock::new(|| panic!("no value"));
    panics(|| assert_eq!(*lazy, 0));
    panics(|| assert_eq!(*lazy, 0));
}

#[test]
fn show_themselves() {
    let once = Once::new();
    assert_eq!(format!("{once:?}"), "Once { completed: false, .. }");
    assert_eq!(format!("{:?}", OnceLock::<u8>::new()), "OnceLock(<uninit>)");
    assert_eq!(format!("{:?}", OnceLock::from(1)), "OnceLock(1)");
    let lazy = LazyLock::new(|| 1);
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    assert_eq!(*lazy, 1);
    assert_eq!(format!("{lazy:?}"), "LazyLock(1)");
}
