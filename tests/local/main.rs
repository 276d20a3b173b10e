//! `local!` in a process with a libc: the same on threads of this crate, of std and of libc.

mod aligned;
#[path = "../common/support.rs"]
mod support;

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the destructors of one thread saw, in their order.
type Log = Vec<(u32, &'static str)>;

static LOG: Mutex<Log> = Mutex::new(Vec::new());

struct Loud(Cell<u32>, &'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        let first = FIRST.try_with(|first| first.0.get());
        let own = match self.1 {
            "first" => FIRST.try_with(|_| ()),
            _ => SECOND.try_with(|_| ()),
        };
        assert!(own.is_err(), "a value that goes is not to be had");
        assert_eq!(first.is_ok(), self.1 != "first", "an older one still is");
        // A value that the first destructor makes is dropped before the second runs.
        let _ = LATE.try_with(|_| ());
        LOG.lock().unwrap().push((self.0.get(), self.1));
    }
}

struct Late;

impl Drop for Late {
    fn drop(&mut self) {
        LATE_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

static LATE_DROPPED: AtomicU32 = AtomicU32::new(0);

rawthread::local! {
    static FIRST: Loud = Loud(Cell::new(0), "first");
    static SECOND: Loud = Loud(Cell::new(0), "second");
    static LATE: Late = const { Late };
    static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["one".to_owned()]);
    static DEEP: u32 = if DEEP_ONCE.replace(true) { 1 } else { DEEP.with(|deep| deep + 1) };
    static DEEP_ONCE: Cell<bool> = const { Cell::new(false) };
}

/// Makes both values; fails if the thread is not fresh.
fn touch(number: u32) {
    FIRST.with(|first| assert_eq!(first.0.replace(number), 0));
    SECOND.with(|second| assert_eq!(second.0.replace(number), 0));
    WORDS.with_borrow_mut(|words| words.push(number.to_string()));
    assert_eq!(WORDS.take().len(), 2);
}

fn log_of(number: u32) -> Vec<&'static str> {
    let log = LOG.lock().unwrap();
    let own = log.iter().filter(|(of, _)| *of == number);
    own.map(|(_, name)| *name).collect()
}

#[test]
fn raw_threads_drop_the_newest_first_before_the_join() {
    // Later rounds run on slots that were used before.
    for number in 1..50 {
        rawthread::spawn(move || touch(number)).join().unwrap();
        assert_eq!(log_of(number), ["second", "first"]);
    }
    assert!(LATE_DROPPED.load(Ordering::Relaxed) >= 49);
}

#[test]
fn warm_threads_are_fresh_for_each_task() {
    for number in 100..150 {
        rawthread::warm::spawn(move || touch(number))
            .join()
            .unwrap();
        assert_eq!(log_of(number), ["second", "first"]);
    }
}

#[test]
fn threads_that_libc_made_drop_theirs_too() {
    for number in 200..220 {
        std::thread::spawn(move || touch(number)).join().unwrap();
        assert_eq!(log_of(number), ["second", "first"]);
    }
}

#[test]
fn std_locals_and_ours_may_ask_for_each_other() {
    struct Asks;
    impl Drop for Asks {
        fn drop(&mut self) {
            // Ours are gone by now; a fresh one is made, and dropped as well.
            WORDS.with_borrow(|words| assert_eq!(words.len(), 1));
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
    }
    static ASKED: AtomicU32 = AtomicU32::new(0);
    thread_local!(static STD: Asks = const { Asks });
    for _ in 0..20 {
        let thread = rawthread::spawn(|| {
            STD.with(|_| ());
            WORDS.with_borrow_mut(|words| words.push("two".to_owned()));
        });
        thread.join().unwrap();
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 20);
}

#[test]
fn an_initialiser_may_ask_for_its_own_value() {
    assert_eq!(
        rawthread::spawn(|| DEEP.with(|deep| *deep)).join().unwrap(),
        2
    );
}

#[test]
fn a_value_survives_a_panic_and_is_dropped_once() {
    let panicked = rawthread::spawn(|| {
        touch(300);
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert_eq!(log_of(300), ["second", "first"]);
}

std::thread_local! {
    /// More than musl lays out on a stack that it is given: all of this program's control blocks lie elsewhere.
    static LARGE: [Cell<u8>; 16 << 10] = const { [const { Cell::new(0) }; 16 << 10] };
}

#[test]
fn large_thread_locals_are_fresh_in_each_thread() {
    let use_up = || {
        LARGE.with(|bytes| {
            bytes
                .iter()
                .all(|byte| byte.replace(u8::MAX) == 0 && byte.get() == u8::MAX)
        })
    };
    for stack in [0, 64 << 10, 2 << 20] {
        for _ in 0..3 {
            let builder = rawthread::Builder::new().stack_size(stack);
            assert!(builder.spawn(use_up).unwrap().join().unwrap());
        }
    }
    assert!(rawthread::warm::spawn(use_up).join().unwrap());
    rawthread::trim();
    assert!(rawthread::spawn(use_up).join().unwrap());
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
