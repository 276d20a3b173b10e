//! The waker of a set that is polled: one owner registers it, any thread of the set takes and calls it.
//!
//! A word says whose the cell with the waker is:
//!
//! | word | the cell belongs to |
//! |---|---|
//! | `IDLE` | no party |
//! | `REGISTERING` | the owner, which replaces the waker |
//! | `WAKING` | the thread that set the bit, which takes the waker |
//! | both | the owner; the thread that set `WAKING` left the wake to it |
//!
//! Transitions: *begin* (owner, `IDLE` to `REGISTERING`; refused while a thread is taking the waker: then
//! the owner wakes its task itself), *end* (owner, `REGISTERING` to `IDLE`, or from both to `IDLE` and
//! the owner wakes), *claim* (thread, sets `WAKING`; it has the cell if the word was `IDLE`), *release*
//! (that thread, clears `WAKING`).
//!
//! A fork copies the word in the middle of a transition. In the child a `WAKING` of the parent's is cleared
//! by *reset* (owner, `WAKING` to `IDLE`), before a thread of the child's can claim.
//!
//! * WAKER-1: A thread claims after it entered the queue, and the owner looks into the queue after *end*. So
//!   either the owner finds the thread there, or the thread finds the waker.
//!
//! Orderings: every transition is a read-modify-write with Acquire where it gains the cell and Release
//! where it gives the cell up; *claim* and *end* are both, for what was pushed before a claim that finds
//! the cell taken is seen by the task that is woken instead.
#![allow(unsafe_code, reason = "shares a cell by a word")]

use core::cell::UnsafeCell;
use core::task::Waker;

use super::waker;
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{AcqRel, Acquire};

const IDLE: u32 = 0;
const REGISTERING: u32 = 1;
const WAKING: u32 = 2;

/// The word alone, which a model runs.
pub(crate) struct WakerWord(AtomicU32);

impl WakerWord {
    /// For a model; in a set it begins as zero bytes.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(IDLE))
    }

    /// Owner: takes the cell; false if a thread has it.
    pub(crate) fn begin(&self) -> bool {
        self.0
            .compare_exchange(IDLE, REGISTERING, Acquire, Acquire)
            .is_ok()
    }

    /// Owner: gives the cell up; true if a thread came meanwhile: the owner still has the cell, takes the
    /// waker out, calls [`WakerWord::release`] and wakes.
    pub(crate) fn end(&self) -> bool {
        self.0
            .compare_exchange(REGISTERING, IDLE, AcqRel, Acquire)
            .is_err()
    }

    /// Thread: takes the cell; false if the owner or another thread has it, which will wake.
    pub(crate) fn claim(&self) -> bool {
        self.0.fetch_or(WAKING, AcqRel) == IDLE
    }

    /// Owner, in the child of a fork: gives up what a thread of the parent's had claimed; whether one had.
    pub(crate) fn reset(&self) -> bool {
        self.0
            .compare_exchange(WAKING, IDLE, Acquire, Acquire)
            .is_ok()
    }

    /// The party that has the cell, when it has taken the waker.
    pub(crate) fn release(&self) {
        self.0.swap(IDLE, AcqRel);
    }
}

/// The word and the waker.
pub(in crate::thread) struct SetWaker {
    word: WakerWord,
    /// Null words: none.
    waker: UnsafeCell<[*const (); 2]>,
}

impl SetWaker {
    /// Takes the waker out of the cell.
    ///
    /// # Safety
    /// The cell is the caller's.
    unsafe fn take(&self) -> Option<Waker> {
        // SAFETY: the caller's cell; the words in it were not made a waker yet, for they are replaced.
        unsafe {
            let words = self.waker.get().replace([core::ptr::null(); 2]);
            (!words[1].is_null()).then(|| waker::from_words(words))
        }
    }

    /// Owner: the set is a new one, or no thread of this process can claim, which was forked since the last
    /// registration. A thread that was taking the waker in the parent may have left half of it: the child
    /// forgets it.
    pub(in crate::thread) fn reset(&self) {
        if self.word.reset() {
            // SAFETY: IDLE, and no other party is there: the cell is the owner's.
            unsafe { self.waker.get().write([core::ptr::null(); 2]) };
        }
    }

    /// Owner: has the next thread that enters the queue wake this task. The caller looks into the queue
    /// afterwards (WAKER-1).
    pub(in crate::thread) fn register(&self, new: &Waker) {
        if !self.word.begin() {
            // A thread is about to call the waker before this one.
            return new.wake_by_ref();
        }
        // A panic of the clone would leave the word as it is.
        let guard = EndOnDrop(self);
        // SAFETY: REGISTERING: the cell is the owner's.
        let old = unsafe { self.take() };
        let same = old.as_ref().is_some_and(|old| old.will_wake(new));
        let (kept, old) = if same { (old, None) } else { (None, old) };
        let kept = kept.unwrap_or_else(|| new.clone());
        // SAFETY: as above; the cell is empty.
        unsafe { self.waker.get().write(waker::into_words(kept)) };
        drop(guard);
        drop(old);
    }

    /// Thread, after it entered the queue: wakes the task that waits, if one does.
    pub(in crate::thread) fn wake(&self) {
        if let Some(waker) = self.claim() {
            // SAFETY: a waker taken apart at once.
            unsafe { waker::wake(waker::into_words(waker)) };
        }
    }

    /// Takes the waker out of the cell, unless another party has it.
    pub(in crate::thread) fn claim(&self) -> Option<Waker> {
        if !self.word.claim() {
            return None;
        }
        // SAFETY: WAKING: the cell is this thread's.
        let waker = unsafe { self.take() };
        self.word.release();
        waker
    }
}

/// Ends the registration, and wakes where a thread came meanwhile.
struct EndOnDrop<'a>(&'a SetWaker);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        if self.0.word.end() {
            // SAFETY: both bits: the cell is the owner's.
            let waker = unsafe { self.0.take() };
            self.0.word.release();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A fork copied the word while a thread of the parent's took the waker.
    #[test]
    fn a_childs_set_takes_a_waker_though_the_parents_was_being_taken() {
        use core::sync::atomic::{AtomicUsize, Ordering};
        use std::sync::Arc;
        use std::task::Wake;

        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let woken = || count.0.load(Ordering::Relaxed);
        let set = SetWaker {
            word: WakerWord(AtomicU32::new(WAKING)),
            // Half of it is gone.
            waker: UnsafeCell::new([core::ptr::null(), core::ptr::dangling()]),
        };
        set.reset();
        set.register(&Waker::from(count.clone()));
        assert_eq!(woken(), 0, "the set has the waker");
        set.wake();
        assert_eq!(woken(), 1);
        // One that is there stays.
        set.register(&Waker::from(count.clone()));
        set.reset();
        set.wake();
        assert_eq!(woken(), 2);
    }
}
