//! Where a thread sleeps until it has a token: a word of its own, or std's parker of that thread.
//!
//! A thread that std knows has two parkers: this crate's and std's. Two tokens would add up, and a
//! token given to the one would not wake a thread that sleeps on the other. So one of them has the
//! token at a time, and the word says which:
//!
//! | word | the token | the thread |
//! |---|---|---|
//! | `EMPTY` | there is none | does not sleep here |
//! | `NOTIFIED` | is there | does not sleep here |
//! | `PARKED` | there is none | sleeps, or is about to, until the word changes |
//! | `HANDED_OVER` | is `handle`'s: it is given there, and the thread sleeps there | does not sleep here |
//!
//! | transition | by | name |
//! |---|---|---|
//! | `EMPTY` -> `PARKED` | the thread | `park` begins to sleep |
//! | `NOTIFIED` -> `EMPTY` | the thread | `park` takes the token |
//! | `PARKED` -> `EMPTY` | the thread | the time of `park` is over |
//! | `EMPTY`, `NOTIFIED`, `PARKED` -> `NOTIFIED` | any | `unpark`, which wakes if it was `PARKED` |
//! | `EMPTY`, `NOTIFIED`, `PARKED` -> `HANDED_OVER` | the thread | `hand_over`, which passes a token on; `PARKED` only in a signal handler |
//! | `HANDED_OVER` -> `NOTIFIED` | the thread | `take_back`, before std's parker is lost to the thread |
//!
//! No token is lost:
//! * `hand_over` finds the token in the word that it swaps out, or a later `unpark` finds
//!   `HANDED_OVER`.
//! * `take_back` cannot ask whether std's parker has a token, so it leaves one: `park` may return
//!   without cause. An `unpark` that saw `HANDED_OVER` gives the token to `handle`, and then finds by
//!   a read-modify-write whether the word still says so; if not, it gives the token to the word, too.
//!   If it does, `take_back` comes later in the word's order, and the token that it leaves stands for
//!   that one.
//! * After `take_back` the thread may sleep in either: in this crate's `park` on the word, in std's on
//!   `handle`, which std may still have. An `unpark` gives the token to both, so one of the two parks may
//!   return without cause later.
//!
//! Orderings. What was written before an `unpark` is visible after the `park` that it ends:
//! `unpark`'s changes of the word are Release, also the one that changes nothing, and the changes by
//! which `park`, `hand_over` and `take_back` learn of it are Acquire. `hand_over` is a Release, too:
//! an `unpark` that reads `HANDED_OVER` (Acquire) sees `handle`. `take_back` stores `TAKEN_BACK`
//! (Release) before it changes the word: an `unpark` that reads what the word became then, or anything
//! later, sees `TAKEN_BACK`, and with it (Acquire) `handle`.
#![allow(unsafe_code, reason = "shares a handle that is written once")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::primitive::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::primitive::futex;
use crate::sys::futex::Deadline;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const HANDED_OVER: u32 = 2;
const PARKED: u32 = u32::MAX;

/// Another parker of the same thread, by which the thread sleeps itself.
pub(crate) trait ParkHandle {
    /// Leaves the token and wakes the thread if it sleeps there.
    fn unpark(&self);
}

/// std's handle of the thread.
#[cfg(feature = "std")]
pub(crate) struct StdHandle(pub(super) std::thread::Thread);

#[cfg(feature = "std")]
impl ParkHandle for StdHandle {
    fn unpark(&self) {
        self.0.unpark();
    }
}

/// Without std a thread has no other parker.
#[cfg(not(feature = "std"))]
pub(crate) enum StdHandle {}

#[cfg(not(feature = "std"))]
impl ParkHandle for StdHandle {
    fn unpark(&self) {
        match *self {}
    }
}

/// One thread's parker; zero bytes are one without a token.
///
/// Invariants:
/// * PARKER-1: `handle` is written once between two calls of [`Parker::reset`], by the thread, while
///   `stage` is `BEGUN`; it is there from `stage` `WRITTEN` on, `TAKEN_BACK` included, until `reset`.
/// * PARKER-2: [`Parker::reset`] is called while no other thread reaches the parker.
pub(crate) struct Parker<H> {
    word: AtomicU32,
    /// How far `hand_over` is, or `TAKEN_BACK`, the only one that others look for. Relaxed but for that one.
    stage: AtomicU8,
    handle: UnsafeCell<MaybeUninit<H>>,
}

const NONE: u8 = 0;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "as below"))]
const BEGUN: u8 = 1;
const WRITTEN: u8 = 2;
const TAKEN_BACK: u8 = 3;

#[cfg_attr(
    not(feature = "std"),
    allow(dead_code, reason = "without std there is no other parker")
)]
impl<H: ParkHandle> Parker<H> {
    /// A parker of its own, for a model.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
            stage: AtomicU8::new(NONE),
            handle: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// For the next thread: no token, and no handle.
    ///
    /// # Safety
    /// No other thread reaches the parker (PARKER-2).
    pub(super) unsafe fn reset(&self) {
        self.word.store(EMPTY, Ordering::Relaxed);
        // A handle of no size is one that cannot be: there is no other parker.
        if size_of::<H>() > 0 {
            if self.stage.load(Ordering::Relaxed) >= WRITTEN {
                // SAFETY: PARKER-1; the caller alone uses it.
                unsafe { (*self.handle.get()).assume_init_drop() };
            }
            self.stage.store(NONE, Ordering::Relaxed);
        }
    }

    /// Thread: whether the token is the other parker's, in which it then sleeps.
    pub(crate) fn is_handed_over(&self) -> bool {
        // Relaxed: the thread's own change.
        self.word.load(Ordering::Relaxed) == HANDED_OVER
    }

    /// Thread: hands the token over to the other parker, whose handle `make` returns; false if that
    /// was done before, or is being done: `make` may call what calls this. Once it has returned `None`
    /// there is no other parker.
    pub(crate) fn hand_over(&self, make: impl FnOnce() -> Option<H>) -> bool {
        if self.stage.load(Ordering::Relaxed) != NONE {
            return false;
        }
        self.stage.store(BEGUN, Ordering::Relaxed);
        let Some(handle) = make() else {
            return false;
        };
        // SAFETY: PARKER-1: the thread's to write, and not read before the swap.
        let handle = unsafe { (*self.handle.get()).write(handle) };
        self.stage.store(WRITTEN, Ordering::Relaxed);
        if self.word.swap(HANDED_OVER, Ordering::AcqRel) == NOTIFIED {
            handle.unpark();
        }
        true
    }

    /// Thread: takes the token back from the other parker, if it has it: the thread may not be able to
    /// sleep there any more.
    pub(crate) fn take_back(&self) {
        if !self.is_handed_over() {
            return;
        }
        self.stage.store(TAKEN_BACK, Ordering::Release);
        // Failure: it was not handed over.
        let _ =
            self.word
                .compare_exchange(HANDED_OVER, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Thread: sleeps on the word until there is a token, and takes it. Where the token is the other
    /// parker's it returns at once.
    pub(crate) fn park(&self, deadline: Option<Deadline>) {
        if self.take_token() || !self.change(EMPTY, PARKED) {
            // The second is false where an `unpark` has come between, whose token is taken here, or a
            // signal handler on this thread.
            self.take_token();
            return;
        }
        loop {
            let timed_out = futex::wait_until(&self.word, PARKED, deadline).is_err();
            if self.take_token() || timed_out && self.change(PARKED, EMPTY) {
                return;
            }
            // A token that comes at the end of the time is taken in the next round, not lost. What a
            // signal handler left here ends the park.
            if !matches!(self.word.load(Ordering::Relaxed), PARKED | NOTIFIED) {
                return;
            }
        }
    }

    /// NOTIFIED -> EMPTY.
    fn take_token(&self) -> bool {
        self.word
            .compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Relaxed: it carries no data of the thread's, and brings none.
    fn change(&self, from: u32, to: u32) -> bool {
        self.word
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Leaves a token and wakes the thread if it sleeps. Async-signal-safe.
    pub(crate) fn unpark(&self) {
        self.leave_token();
        if size_of::<H>() > 0 && self.stage.load(Ordering::Acquire) == TAKEN_BACK {
            // SAFETY: TAKEN_BACK was read with Acquire: the handle is there (PARKER-1), and stays while the
            // caller's reference to the record exists (PARKER-2).
            unsafe { (*self.handle.get()).assume_init_ref() }.unpark();
        }
    }

    /// Leaves a token in the parker that has it.
    fn leave_token(&self) {
        let mut now = self.word.load(Ordering::Acquire);
        loop {
            let next = if now == HANDED_OVER {
                // SAFETY: HANDED_OVER was read with Acquire: the handle is there (PARKER-1), and stays
                // while the caller's reference to the record exists (PARKER-2).
                unsafe { (*self.handle.get()).assume_init_ref() }.unpark();
                HANDED_OVER
            } else {
                NOTIFIED
            };
            match self
                .word
                .compare_exchange(now, next, Ordering::Release, Ordering::Acquire)
            {
                Ok(PARKED) => {
                    futex::wake_one(&raw const self.word);
                    return;
                }
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use core::time::Duration;

    struct Count(&'static AtomicUsize);
    impl ParkHandle for Count {
        fn unpark(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(100, Ordering::Relaxed);
        }
    }

    fn parker() -> Parker<Count> {
        Parker {
            word: AtomicU32::new(EMPTY),
            stage: AtomicU8::new(NONE),
            handle: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[test]
    fn the_token_is_in_one_parker_at_a_time() {
        static GIVEN: AtomicUsize = AtomicUsize::new(0);
        let parker = parker();
        parker.unpark();
        parker.unpark();
        // What `make` calls may come here again.
        assert!(parker.hand_over(|| {
            assert!(!parker.hand_over(|| unreachable!("it has begun")));
            Some(Count(&GIVEN))
        }));
        assert_eq!(GIVEN.load(Ordering::Relaxed), 1, "the token is passed on");
        parker.unpark();
        assert_eq!(GIVEN.load(Ordering::Relaxed), 2);
        parker.park(None); // returns: the thread sleeps there
        assert!(parker.is_handed_over());
        parker.take_back();
        parker.take_back();
        parker.park(None); // the token that stands for the other parker's
        parker.park(Deadline::after(Duration::ZERO));
        parker.unpark();
        assert_eq!(
            GIVEN.load(Ordering::Relaxed),
            3,
            "the thread may sleep in either"
        );
        parker.park(None);
        assert!(!parker.hand_over(|| unreachable!("once in a life")));
        // SAFETY: the parker is this test's.
        unsafe { parker.reset() };
        assert_eq!(GIVEN.load(Ordering::Relaxed), 103, "the handle is dropped");
        parker.park(Deadline::after(Duration::ZERO));
    }
}
