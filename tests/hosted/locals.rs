//! Thread-locals: fresh in every thread, their destructors run before join returns.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Directory, MUSL, in_subprocess};
use crate::util::{library, on_raw};

thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(41) };
    static LAZY: RefCell<Vec<u32>> = RefCell::new(vec![1, 2, 3]);
}

#[test]
fn thread_locals_are_fresh_in_every_thread() {
    NUMBER.set(7);
    for _ in 0..100 {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                rawthread::spawn(|| {
                    let first = (NUMBER.get(), LAZY.with_borrow(Vec::len));
                    NUMBER.set(99);
                    LAZY.with_borrow_mut(|list| list.push(4));
                    (first, (NUMBER.get(), LAZY.with_borrow(Vec::len)))
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), ((41, 3), (99, 4)));
        }
    }
    assert_eq!(NUMBER.get(), 7);
}

#[test]
fn destructors_run_before_join_returns_each_once() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            // Time enough for a joiner that does not wait.
            rawthread::sleep(std::time::Duration::from_millis(1));
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static COUNTS: Counts = const { Counts });
    for round in 1..=100 {
        on_raw(|| COUNTS.with(|_| ()));
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
    on_raw(|| ());
    assert_eq!(
        DROPPED.load(Ordering::Relaxed),
        100,
        "a thread that did not use it"
    );
}

#[test]
fn a_destructor_may_use_and_make_other_thread_locals() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            SEEN.fetch_add(1, Ordering::Relaxed);
        }
    }
    struct Early;
    impl Drop for Early {
        fn drop(&mut self) {
            LATE.with(|_| ());
            SEEN.fetch_add(10, Ordering::Relaxed);
        }
    }
    thread_local! {
        static LATE: Late = const { Late };
        static EARLY: Early = const { Early };
    }
    for round in 1..=20 {
        on_raw(|| EARLY.with(|_| ()));
        assert_eq!(SEEN.load(Ordering::Relaxed), round * 11);
    }
}

#[test]
fn destructors_run_after_a_panic_too() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local!(static COUNTS: Counts = const { Counts });
    let result = rawthread::spawn(|| {
        COUNTS.with(|_| ());
        std::panic::resume_unwind(Box::new("quietly"));
    })
    .join();
    assert!(result.is_err());
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
}

#[test]
fn twenty_thousand_threads_leave_nothing_behind() {
    if !in_subprocess("locals::twenty_thousand_threads_leave_nothing_behind") {
        return;
    }
    thread_local!(static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });
    let spawn_many = |count: usize| {
        for _ in 0..count / 2 {
            // Two at a time, so that slots change hands; blocks of many sizes, so that malloc's
            // cache of the thread has something in it.
            let pair = [0; 2].map(|_| {
                rawthread::spawn(|| {
                    KEPT.with_borrow_mut(|kept| kept.extend((1..40).map(|len| vec![0; len * 24])));
                    // SAFETY: a block of the thread's own, and its errno buffer.
                    unsafe { libc::free(libc::malloc(500)) };
                })
            });
            pair.into_iter().for_each(|thread| thread.join().unwrap());
        }
    };
    let look = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kib: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count();
        (kib, maps)
    };
    spawn_many(500);
    let before = look();
    spawn_many(20_000);
    let after = look();
    println!("KiB, maps: {before:?} before, {after:?} after");
    // 20,000 caches of malloc's would be 13 MiB without anything in them.
    assert!(
        after.0 < before.0 + 2048,
        "{before:?} KiB, maps before, {after:?} after"
    );
    assert!(
        after.1 <= before.1 + 4,
        "{before:?} KiB, maps before, {after:?} after"
    );
}

/// C's thread-locals in a library, and C++'s destructors as its compiler registers them.
const SOURCE: &str = r#"
#include <string.h>
static __thread int number = 5;
static __thread char zeros[300];
static __thread struct { int words[16]; } wide __attribute__((aligned(64))) = { { 1, 2, 3 } };

int take_number(void) { int was = number; number = 77; return was; }
int zeros_are_zero(void) {
    int sum = 0;
    for (int i = 0; i < 300; i++) sum += zeros[i];
    memset(zeros, 1, sizeof zeros);
    return sum == 0;
}
int wide_is_right(void) {
    int right = ((unsigned long)&wide & 63) == 0 && wide.words[0] == 1 && wide.words[15] == 0;
    memset(&wide, 0xff, sizeof wide);
    return right;
}

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;
static int destroyed;
static __thread int object = 3;
static void destroy(void *value) { destroyed += *(int *)value; }
void use_object(void) { __cxa_thread_atexit_impl(destroy, &object, &__dso_handle); }
int how_destroyed(void) { return destroyed; }
"#;

#[test]
fn c_thread_locals_are_fresh_and_cpp_destructors_run() {
    if MUSL {
        println!("SKIP: musl has no thread-local destructors");
        return;
    }
    let dir = Directory::new("locals");
    let Some(library) = library(&dir, "locals", SOURCE, &[]) else {
        return;
    };
    // SAFETY: the types are those of SOURCE.
    let (number, zeros, wide, use_object, destroyed) = unsafe {
        (
            library.function::<extern "C" fn() -> i32>("take_number"),
            library.function::<extern "C" fn() -> i32>("zeros_are_zero"),
            library.function::<extern "C" fn() -> i32>("wide_is_right"),
            library.function::<extern "C" fn()>("use_object"),
            library.function::<extern "C" fn() -> i32>("how_destroyed"),
        )
    };
    for round in 1..=50 {
        let seen = on_raw(move || {
            use_object();
            (number(), zeros(), wide())
        });
        assert_eq!(seen, (5, 1, 1), "round {round}");
        assert_eq!(destroyed(), 3 * round);
    }
}
