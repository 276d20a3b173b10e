//! One word: how far an initialisation is, and whether a thread sleeps on it.
//!
//! | stage (low 2 bits) | meaning | with `WAITERS` |
//! |---|---|---|
//! | `INCOMPLETE` | no attempt yet | threads in `wait` sleep |
//! | `POISONED` | the last attempt panicked | the same |
//! | `RUNNING` | one thread runs the closure | threads sleep; the end of the closure wakes all |
//! | `COMPLETE` | final | never |
//!
//! * ONCE-1. One thread at a time has the [`InitGuard`], from `begin` to `complete`.
//! * ONCE-2. `COMPLETE` is final, and reached only from ONCE-1's thread after its closure returned.
//! * ONCE-3. Where a thread sleeps, the word has `WAITERS`, or it was `complete`d and the wake is
//!   under way. `begin` keeps the bit and `complete` clears it.
//!
//! Orderings: `complete` is Release and every load that can return `COMPLETE` is Acquire, so a
//! thread that reads `COMPLETE` sees what the closure did. `begin` is Acquire too: it may follow a
//! later `POISONED` than the load saw, and reads what that attempt left behind. `set_waiters` only
//! says that a thread sleeps: Relaxed; being a read-modify-write it does not cut an earlier Release
//! off from a later Acquire.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;

const INCOMPLETE: u32 = 0;
const POISONED: u32 = 1;
const RUNNING: u32 = 2;
const COMPLETE: u32 = 3;
const WAITERS: u32 = 4;

/// The outcome of [`RawOnce::begin_or_wait`].
#[must_use]
pub(crate) enum Begin<'a> {
    /// The initialisation is complete.
    Complete,
    /// This thread must run the closure.
    Run(InitGuard<'a>),
    /// The last attempt panicked, and the caller did not ask for another.
    Poisoned,
}

/// The right to run the closure (ONCE-1). Dropped without [`InitGuard::done`], as a panic does, it
/// poisons.
#[must_use]
pub(crate) struct InitGuard<'a> {
    once: &'a RawOnce,
    after_panic: bool,
    stage: u32,
}

impl InitGuard<'_> {
    /// Whether the attempt before this one panicked.
    pub(crate) fn after_panic(&self) -> bool {
        self.after_panic
    }

    /// The closure has returned.
    pub(crate) fn done(mut self) {
        self.stage = COMPLETE;
    }
}

impl Drop for InitGuard<'_> {
    fn drop(&mut self) {
        if self.once.complete(self.stage) {
            futex::wake_all(&self.once.word);
        }
    }
}

pub(crate) struct RawOnce {
    word: AtomicU32,
}

impl RawOnce {
    maybe_const_fn! {
        pub(crate) fn new() -> Self {
            Self { word: AtomicU32::new(INCOMPLETE) }
        }
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Acquire) == COMPLETE
    }

    /// `INCOMPLETE` or `POISONED` to `RUNNING`.
    fn begin(&self, seen: u32) -> Option<InitGuard<'_>> {
        let running = RUNNING | seen & WAITERS;
        self.word
            .compare_exchange(seen, running, Acquire, Relaxed)
            .ok()?;
        Some(InitGuard {
            once: self,
            after_panic: seen & !WAITERS == POISONED,
            stage: POISONED,
        })
    }

    /// Adds `WAITERS`; returns whether the word is now `seen` with it.
    #[must_use]
    fn set_waiters(&self, seen: u32) -> bool {
        seen & WAITERS != 0
            || self
                .word
                .compare_exchange(seen, seen | WAITERS, Relaxed, Relaxed)
                .is_ok()
    }

    /// `RUNNING` to the outcome; returns whether there may be sleepers.
    #[must_use]
    fn complete(&self, stage: u32) -> bool {
        self.word.swap(stage, Release) & WAITERS != 0
    }

    /// Waits for an initialisation that runs, or starts one.
    #[cold]
    pub(crate) fn begin_or_wait(&self, ignore_poison: bool) -> Begin<'_> {
        loop {
            let seen = self.word.load(Acquire);
            match seen & !WAITERS {
                COMPLETE => return Begin::Complete,
                POISONED if !ignore_poison => return Begin::Poisoned,
                RUNNING => self.sleep(seen),
                _ => {
                    if let Some(guard) = self.begin(seen) {
                        return Begin::Run(guard);
                    }
                }
            }
        }
    }

    /// Sleeps until another thread has completed it; returns `false` if it is poisoned.
    #[cold]
    #[must_use]
    pub(crate) fn wait(&self, ignore_poison: bool) -> bool {
        loop {
            let seen = self.word.load(Acquire);
            match seen & !WAITERS {
                COMPLETE => return true,
                POISONED if !ignore_poison => return false,
                _ => self.sleep(seen),
            }
        }
    }

    /// Sleeps at most once: the caller reads the word again.
    fn sleep(&self, seen: u32) {
        if self.set_waiters(seen) {
            futex::wait(&self.word, seen | WAITERS);
        }
    }
}
