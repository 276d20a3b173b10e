//! One word, three values.
//!
//! | value | holder | sleepers |
//! |---|---|---|
//! | `FREE` | none | none, or a wake is under way (RAWMUTEX-2) |
//! | `HELD` | one | none, or a wake is under way (RAWMUTEX-2) |
//! | `CONTENDED` | one | perhaps: the unlock must wake one |
//!
//! * RAWMUTEX-1. Only the transition out of `FREE` makes a holder, and only the holder makes `FREE`.
//! * RAWMUTEX-2. Where a thread sleeps, the word is `CONTENDED`, or a wake is under way: the
//!   unlocking thread has not made it yet, or the woken thread has not yet read the word. A thread
//!   that has slept takes the lock as `CONTENDED`, or sets `CONTENDED` and sleeps again, because it
//!   cannot know whether it was the last sleeper.
//! * RAWMUTEX-3. Values, transitions and futexes (private) are those of glibc's low-level lock
//!   (sysdeps/nptl/lowlevellock.h): the two may share a word.
//!
//! Orderings: every way out of `FREE` is Acquire and every way into it is Release, on the one
//! word; so what a holder did happens before what the next holder does. The mark `CONTENDED`
//! carries no data, but is set by the same swap that might take the lock, hence Acquire. A
//! failed attempt learns nothing and is Relaxed.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;
use crate::primitive::spin::Spin;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// What an unlock has to do after the word is `FREE`.
#[must_use]
enum Unlock {
    NoWaiters,
    WakeOne,
}

#[repr(transparent)]
pub(crate) struct RawMutex {
    word: AtomicU32,
}

impl RawMutex {
    maybe_const_fn! {
        pub(crate) fn new() -> Self {
            Self { word: AtomicU32::new(FREE) }
        }
    }

    /// `FREE` to `HELD`.
    #[inline]
    #[must_use]
    pub(crate) fn try_lock(&self) -> bool {
        self.word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    /// Anything to `CONTENDED`; returns whether that acquired the lock.
    #[must_use]
    fn swap_contended(&self) -> bool {
        self.word.swap(CONTENDED, Acquire) == FREE
    }

    /// The holder's transition to `FREE`.
    #[inline]
    fn release(&self) -> Unlock {
        match self.word.swap(FREE, Release) {
            CONTENDED => Unlock::WakeOne,
            _ => Unlock::NoWaiters,
        }
    }

    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_slow();
        }
    }

    #[cold]
    fn lock_slow(&self) {
        if self.spin() == FREE && self.try_lock() {
            return;
        }
        while !self.swap_contended() {
            futex::wait(&self.word, CONTENDED);
            self.spin();
        }
    }

    /// Spins until the lock is free or has sleepers, or the spin limit is reached. A lock with
    /// sleepers is not worth a spin: its holder will make a system call to wake one.
    fn spin(&self) -> u32 {
        let mut spin = Spin::new();
        loop {
            let seen = self.word.load(Relaxed);
            if seen != HELD || !spin.spin() {
                return seen;
            }
        }
    }

    /// Unlocks. Only the holder may call this (RAWMUTEX-1), which the guards ensure.
    #[inline]
    pub(crate) fn unlock(&self) {
        if let Unlock::WakeOne = self.release() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        futex::wake_one(&self.word);
    }

    #[cfg(all(feature = "lock_api", not(all(test, loom))))]
    pub(crate) fn is_locked(&self) -> bool {
        self.word.load(Relaxed) != FREE
    }
}
