//! The two counts of a [`JoinSet`](crate::thread::JoinSet): the users of its memory, and the owners of
//! an entry.

use crate::primitive::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitive::atomic::{AtomicBool, AtomicU32};

/// Counts the set, and each thread that has not entered the queue yet.
///
/// Release and Acquire: all uses come before the memory's next use.
pub(crate) struct Users(AtomicU32);

impl Users {
    /// For a model; in a set it begins as zero bytes.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// A set without threads.
    pub(crate) fn reset(&self) {
        self.0.store(1, Relaxed);
    }

    /// Set: one thread more. Relaxed: the set's own use keeps the count above 0.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less; whether it was the last, which frees the memory.
    #[must_use]
    pub(crate) fn remove(&self) -> bool {
        self.0.fetch_sub(1, AcqRel) == 1
    }
}

/// Whether one of an entry's two owners, the set and the thread, has released its half.
///
/// | value | meaning |
/// |---|---|
/// | false | both use it, or it is free |
/// | true | one has released it; the other frees it |
pub(crate) struct Halves(AtomicBool);

impl Halves {
    /// For a model; in a set it begins as zero bytes.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// An entry for a new thread.
    pub(crate) fn reset(&self) {
        self.0.store(false, Relaxed);
    }

    /// An owner does not use the entry any more; whether it was the second, which frees it. Release and
    /// Acquire as for [`Users`].
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        self.0.swap(true, AcqRel)
    }

    /// Set: whether the thread has released its half.
    pub(crate) fn is_left(&self) -> bool {
        // Acquire: what the thread did before.
        self.0.load(Acquire)
    }
}
