//! How much memory threads may have left in the stack of an idle slot.
//!
//! Nothing says how deep a thread's frames went. But the kernel counts each thread's page faults
//! (getrusage(2), `RUSAGE_THREAD`), and a page of the stack that no thread touched before costs one. So a
//! thread that asks at its end bounds what it left; one that does not may have touched all of it. To ask
//! is a system call, less than half as dear as to discard a stack in vain, and a thread does so for a while
//! after stacks were discarded ([`Measures`]).
//!
//! What other threads write below the frames of this one is not seen: a closure is (its place is above
//! the frame that asks), a buffer that a thread lends to others before it has touched it is not.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bytes of one slot's stack, beyond its top, that threads may have left resident.
///
/// Relaxed: the slot's holder alone uses it (SLOT-1 of `slot`), and what orders the slot's other fields
/// orders this one.
///
/// | lowest bit | meaning of the rest |
/// |---|---|
/// | 0 | what was so when the slot was put on a list; after that a thread may have run that did not ask |
/// | 1 | what is so after the last thread, which asked |
pub(super) struct Touched(AtomicUsize);

const MEASURED: usize = 1;

impl Touched {
    /// What is so of an idle slot.
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed) & !MEASURED
    }

    /// What is so of a slot with `len` bytes of stack that is about to be put on a list.
    pub(super) fn after_use(&self, len: usize) -> usize {
        match self.0.load(Ordering::Relaxed) {
            bytes if bytes & MEASURED != 0 => bytes & !MEASURED,
            _ => len,
        }
    }

    /// An idle slot: as [`Touched::bytes`] from now on.
    pub(super) fn set(&self, bytes: usize) {
        self.0.store(bytes & !MEASURED, Ordering::Relaxed);
    }

    /// The slot's thread, at its end: left at most `grown` bytes more of its `len`. They count twice: the
    /// tops of stacks, which stay, count in no sum.
    #[cfg(feature = "hosted")]
    pub(super) fn add_measured(&self, grown: usize, len: usize) {
        let counted = grown.saturating_mul(2);
        let bytes = self.bytes().saturating_add(counted).min(len);
        self.0.store(bytes | MEASURED, Ordering::Relaxed);
    }
}

/// How many threads are still to ask at their end. Relaxed, and updates may be lost: a thread more or less
/// asks.
#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only with a libc is idle memory bounded here")
)]
pub(super) struct Measures(AtomicU32);

#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only with a libc is idle memory bounded here")
)]
impl Measures {
    /// After stacks were discarded. Of so many threads at most 8 leave a stack behind that counts in full.
    const AFTER_DISCARD: u32 = 1024;

    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(super) fn begin(&self) {
        self.0.store(Self::AFTER_DISCARD, Ordering::Relaxed);
    }

    /// The end of a thread: whether it is to ask.
    pub(super) fn take(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }
}

#[cfg(all(test, feature = "hosted", not(loom)))]
mod tests {
    use super::*;

    const LEN: usize = 1 << 21;

    /// Twice, for the kernel may count a fault for two pages that it maps at once.
    #[test]
    fn a_thread_that_asked_leaves_twice_what_it_grew_and_one_that_did_not_all() {
        let touched = Touched(AtomicUsize::new(0));
        assert_eq!(touched.after_use(LEN), LEN, "none has asked");
        touched.add_measured(4096, LEN);
        assert_eq!((touched.bytes(), touched.after_use(LEN)), (8192, 8192));
        touched.add_measured(4096, LEN);
        assert_eq!(
            touched.after_use(LEN),
            4 * 4096,
            "what earlier ones left stays"
        );
        touched.set(touched.after_use(LEN));
        assert_eq!(touched.bytes(), 4 * 4096);
        assert_eq!(touched.after_use(LEN), LEN, "the next one has not asked");
        touched.add_measured(usize::MAX, LEN);
        assert_eq!(touched.after_use(LEN), LEN);
    }
}
