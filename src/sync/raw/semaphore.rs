//! One word: the free permits, and whether a thread sleeps.
//!
//! | `WAITERS` (bit 31) | permits (low 31 bits) | meaning |
//! |---|---|---|
//! | 0 | any | no thread sleeps, or a wake is under way (SEMAPHORE-1) |
//! | 1 | 0 | a thread may sleep: a release must wake one |
//! | 1 | more | a thread that has slept took one of several; others may sleep, one of them woken (SEMAPHORE-2) |
//!
//! * SEMAPHORE-1. Where a thread sleeps, the word has `WAITERS`, or a wake is under way: the
//!   releasing thread has not made it yet, or the woken thread has not yet read the word. A thread
//!   that has slept leaves `WAITERS` behind, whether it takes a permit or sleeps again. One that
//!   gives up does so only after a sleep that no wake ended, and leaves the bit unchanged.
//! * SEMAPHORE-2. Where there are permits and a thread sleeps, a wake is under way. A release
//!   wakes one; a thread that has slept and leaves permits behind wakes the next.
//!
//! Orderings: a release is Release and a take is Acquire, both read-modify-writes of the word: what
//! a thread did before a release happens before what a thread does after a later take. The mark is
//! Relaxed, it carries no data.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;
use crate::sys::futex::{Deadline, TimedOut};

const WAITERS: u32 = 1 << 31;
pub(crate) const MAX_PERMITS: u32 = WAITERS - 1;

pub(crate) struct RawSemaphore {
    word: AtomicU32,
}

impl RawSemaphore {
    maybe_const_fn! {
        /// At most [`MAX_PERMITS`]; the caller checks.
        pub(crate) fn new(permits: u32) -> Self {
            Self { word: AtomicU32::new(permits) }
        }
    }

    pub(crate) fn permits(&self) -> u32 {
        self.word.load(Relaxed) & !WAITERS
    }

    /// Takes a permit and adds `waiters`; returns the remaining permits, `None` if there was none.
    #[inline]
    fn take(&self, waiters: u32) -> Option<u32> {
        let mut seen = self.word.load(Relaxed);
        while seen & !WAITERS != 0 {
            match self
                .word
                .compare_exchange_weak(seen, (seen - 1) | waiters, Acquire, Relaxed)
            {
                Ok(_) => return Some((seen & !WAITERS) - 1),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Sets `WAITERS` in a word without permits; returns whether that is the word now.
    #[must_use]
    fn set_waiters(&self) -> bool {
        matches!(
            self.word.compare_exchange(0, WAITERS, Relaxed, Relaxed),
            Ok(_) | Err(WAITERS)
        )
    }

    /// Adds `count` permits and clears `WAITERS`; returns whether it was set, `None` if the permits
    /// do not fit.
    #[inline]
    fn put(&self, count: u32) -> Option<bool> {
        let mut seen = self.word.load(Relaxed);
        loop {
            let permits = (seen & !WAITERS)
                .checked_add(count)
                .filter(|sum| *sum <= MAX_PERMITS)?;
            match self
                .word
                .compare_exchange_weak(seen, permits, Release, Relaxed)
            {
                Ok(_) => return Some(seen & WAITERS != 0),
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    #[must_use]
    pub(crate) fn try_acquire(&self) -> bool {
        self.take(0).is_some()
    }

    #[cold]
    pub(crate) fn acquire_slow(&self, deadline: Option<Deadline>) -> Result<(), TimedOut> {
        let mut slept = 0;
        loop {
            if let Some(left) = self.take(slept) {
                if slept != 0 && left > 0 {
                    futex::wake_one(&self.word);
                }
                return Ok(());
            }
            if self.set_waiters() {
                futex::wait_until(&self.word, WAITERS, deadline)?;
                slept = WAITERS;
            }
        }
    }

    /// Adds `count` permits and wakes a waiter; returns `false` if the permits do not fit.
    #[must_use]
    pub(crate) fn release(&self, count: u32) -> bool {
        match self.put(count) {
            Some(true) => {
                futex::wake_one(&self.word);
                true
            }
            Some(false) => true,
            None => false,
        }
    }
}
