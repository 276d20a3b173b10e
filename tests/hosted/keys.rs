//! pthread keys: destructors in rounds, values that never reach the next thread.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::common::in_subprocess;
use crate::util::on_raw;

type Destructor = unsafe extern "C" fn(*mut c_void);

fn key(destructor: Option<Destructor>) -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: the destructors of this file take what the tests store.
    let made = unsafe { libc::pthread_key_create(&mut key, destructor) };
    assert_eq!(made, 0);
    key
}

fn set(key: libc::pthread_key_t, value: usize) {
    // SAFETY: the value is a number to the destructors here.
    let set = unsafe { libc::pthread_setspecific(key, ptr::without_provenance(value)) };
    assert_eq!(set, 0);
}

fn get(key: libc::pthread_key_t) -> usize {
    // SAFETY: asks.
    unsafe { libc::pthread_getspecific(key) }.addr()
}

fn delete(key: libc::pthread_key_t) {
    // SAFETY: made by `key`, deleted once.
    assert_eq!(unsafe { libc::pthread_key_delete(key) }, 0);
}

#[test]
fn destructors_get_the_value_before_join_returns() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn add(value: *mut c_void) {
        SUM.fetch_add(value.addr(), Ordering::Relaxed);
    }
    let key = key(Some(add));
    for round in 1..=50 {
        let seen = on_raw(move || {
            let first = get(key);
            set(key, 3);
            (first, get(key))
        });
        assert_eq!(seen, (0, 3));
        assert_eq!(SUM.load(Ordering::Relaxed), 3 * round);
    }
    delete(key);
}

#[test]
fn a_destructor_that_sets_again_runs_in_later_rounds_but_not_for_ever() {
    static KEY: AtomicU32 = AtomicU32::new(0);
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn again(value: *mut c_void) {
        RUNS.fetch_add(1, Ordering::Relaxed);
        set(KEY.load(Ordering::Relaxed), value.addr() + 1);
    }
    let key = key(Some(again));
    KEY.store(key, Ordering::Relaxed);
    for round in 1..=5 {
        let first = on_raw(move || {
            let first = get(key);
            set(key, 1);
            first
        });
        // What the last round left must not be the next thread's.
        assert_eq!(first, 0, "round {round}");
        // PTHREAD_DESTRUCTOR_ITERATIONS.
        assert_eq!(RUNS.load(Ordering::Relaxed), 4 * round);
    }
    delete(key);
}

#[test]
fn a_value_without_destructor_is_not_the_next_threads() {
    let key = key(None);
    for _ in 0..20 {
        let first = on_raw(move || {
            let first = get(key);
            set(key, 9);
            first
        });
        assert_eq!(first, 0);
    }
    delete(key);
}

#[test]
fn keys_of_the_second_level_work_too() {
    if !in_subprocess("keys::keys_of_the_second_level_work_too") {
        return;
    }
    static SUM: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn add(value: *mut c_void) {
        SUM.fetch_add(value.addr(), Ordering::Relaxed);
    }
    // glibc keeps the first 32 in the thread control block and the rest in blocks of 32.
    let keys: Vec<_> = (0..100).map(|_| key(Some(add))).collect();
    for round in 1..=10 {
        let keys = keys.clone();
        on_raw(move || {
            for (index, key) in keys.into_iter().enumerate() {
                assert_eq!(get(key), 0);
                set(key, index + 1);
            }
        });
        assert_eq!(SUM.load(Ordering::Relaxed), 5050 * round);
    }
    keys.into_iter().for_each(delete);
}

#[test]
fn a_key_that_was_deleted_before_the_end_has_no_destructor() {
    unsafe extern "C" fn never(_: *mut c_void) {
        std::process::abort();
    }
    for _ in 0..20 {
        on_raw(|| {
            let key = key(Some(never));
            set(key, 1);
            delete(key);
        });
        on_raw(|| {
            let key = key(Some(never));
            assert_eq!(get(key), 0);
            delete(key);
        });
    }
}

#[test]
fn keys_are_created_and_deleted_while_threads_end() {
    static STOP: AtomicBool = AtomicBool::new(false);
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn count(value: *mut c_void) {
        assert_eq!(value.addr(), 1);
        RUNS.fetch_add(1, Ordering::Relaxed);
    }
    unsafe extern "C" fn other(value: *mut c_void) {
        assert_eq!(value.addr(), 2, "another key's value");
    }
    let key = key(Some(count));
    let churn: Vec<_> = (0..2)
        .map(|_| {
            rawthread::spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    let keys: [_; 8] = std::array::from_fn(|_| self::key(Some(other)));
                    keys.iter().for_each(|key| set(*key, 2));
                    keys.into_iter().for_each(delete);
                }
            })
        })
        .collect();
    for _ in 0..3000 {
        on_raw(move || set(key, 1));
    }
    STOP.store(true, Ordering::Relaxed);
    churn.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(RUNS.load(Ordering::Relaxed), 3000);
    delete(key);
}

#[test]
fn a_key_destructor_may_use_thread_locals_with_destructors() {
    // libc leaks it, as the comment below says.
    if crate::support::by_libc() {
        return;
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counts(u32);
    impl Drop for Counts {
        fn drop(&mut self) {
            assert_eq!(self.0, 5, "a local of another thread");
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static COUNTS: Counts = const { Counts(5) });
    unsafe extern "C" fn uses(_: *mut c_void) {
        COUNTS.with(|_| ());
    }
    let key = key(Some(uses));
    for round in 1..=20 {
        on_raw(move || set(key, 1));
        // A pthread would leak it; here nothing may be left for the next thread to run.
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
    delete(key);
}

#[test]
fn a_destructor_may_free_what_another_thread_allocated() {
    unsafe extern "C" fn free(value: *mut c_void) {
        // SAFETY: the test stores boxes.
        drop(unsafe { Box::from_raw(value.cast::<Vec<u8>>()) });
    }
    let key = key(Some(free));
    let block = AtomicPtr::new(Box::into_raw(Box::new(vec![7u8; 100_000])));
    on_raw(move || {
        // SAFETY: the box is the destructor's now.
        unsafe { libc::pthread_setspecific(key, block.into_inner().cast()) };
    });
    delete(key);
}
