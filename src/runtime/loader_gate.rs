//! Keeps forks and readers of the loader's modules apart (`hosted::modules`), by two words, so that a
//! loom model can run it.
//!
//! | word | counts |
//! |---|---|
//! | `readers` | threads that are inside of a walk, or look whether they may enter: fewer than the kernel has tasks, 2^22 |
//! | `forking` | threads that are in `fork`: as few |
//!
//! * GATE-1: A reader adds itself to `readers`, then looks at `forking` by a read-modify-write; a fork
//!   adds itself to `forking`, then looks at `readers`. Of the reader's look and the fork's addition one
//!   comes first. If the look does, the addition (Acquire) reads what it left (Release), so the fork,
//!   which looks next, finds the reader. If the addition does, the look finds the fork, and the reader
//!   steps back. The same holds for the look of a reader that leaves: it finds the fork and wakes it, or
//!   the fork finds that it has left.
//!
//! A load in the place of the reader's read-modify-write would need a total order of all four steps.
//! No data hangs on the words: the loader's own lock orders that.

use core::time::Duration;

use crate::primitive::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitive::atomic::{AtomicU32, maybe_const_fn};
use crate::primitive::futex;
use crate::sys::futex::Deadline;

pub(crate) struct LoaderGate {
    readers: AtomicU32,
    forking: AtomicU32,
}

impl LoaderGate {
    maybe_const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                readers: AtomicU32::new(0),
                forking: AtomicU32::new(0),
            }
        }
    }

    /// Announces a reader; false, and none announced, if a fork is under way.
    #[must_use]
    pub(crate) fn try_enter(&self) -> bool {
        self.readers.fetch_add(1, AcqRel);
        // GATE-1.
        if self.forking.fetch_add(0, AcqRel) == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// Announces a reader, which waits for forks, but for `limit` at most: then it goes on beside them.
    pub(crate) fn enter(&self, limit: Option<Duration>) {
        if self.try_enter() {
            return;
        }
        let deadline = limit.and_then(Deadline::after);
        loop {
            let over = !await_none(&self.forking, deadline);
            if over || deadline.is_some_and(|deadline| deadline.has_passed()) {
                self.readers.fetch_add(1, AcqRel);
                return;
            }
            if self.try_enter() {
                return;
            }
        }
    }

    /// A reader is done.
    pub(crate) fn leave(&self) {
        if self.readers.fetch_sub(1, AcqRel) == 1 && self.forking.fetch_add(0, AcqRel) != 0 {
            futex::wake_all(&raw const self.readers);
        }
    }

    /// Before a fork: announces it and waits for readers, for `limit` at most.
    pub(crate) fn begin_fork(&self, limit: Option<Duration>) {
        // GATE-1.
        self.forking.fetch_add(1, AcqRel);
        if self.readers.load(Acquire) != 0 {
            await_none(&self.readers, limit.and_then(Deadline::after));
        }
    }

    /// After a fork, in the parent.
    pub(crate) fn end_fork(&self) {
        self.forking.fetch_sub(1, AcqRel);
        futex::wake_all(&raw const self.forking);
    }

    /// After a fork, in the child, whose one thread neither reads nor forks. Relaxed: there is no other.
    pub(crate) fn reset(&self) {
        self.readers.store(0, Relaxed);
        self.forking.store(0, Relaxed);
    }
}

/// Waits until the word is 0; false if the deadline came first.
fn await_none(word: &AtomicU32, deadline: Option<Deadline>) -> bool {
    loop {
        let now = word.load(Acquire);
        if now == 0 {
            return true;
        }
        if futex::wait_until(word, now, deadline).is_err() {
            return false;
        }
    }
}
