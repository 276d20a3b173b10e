//! One word: how far an initialisation is, and whether somebody sleeps on it.
//!
//! | stage (low 2 bits) | meaning | with `AWAITED` |
//! |---|---|---|
//! | `FRESH` | nobody has begun | sleepers that wait for others to do it |
//! | `POISONED` | the last attempt panicked | the same |
//! | `RUNNING` | one thread runs the closure | sleepers, and whoever ends it wakes all |
//! | `DONE` | for good | never |
//!
//! * ONCE-1. One thread at a time has the [`Turn`], from `begin` to `end`.
//! * ONCE-2. `DONE` is final, and reached only from ONCE-1's thread after its closure returned.
//! * ONCE-3. Where a thread sleeps, the word has `AWAITED`, or it was `end`ed and the wake is on its
//!   way. `begin` keeps the bit and `end` clears it.
//!
//! Orderings: `end` is Release and every look that can answer `DONE` is Acquire, so whoever sees
//! `DONE` sees what the closure did. `begin` is Acquire too: it may follow a later `POISONED` than
//! the look saw, and reads what that attempt left behind. `mark` only says that someone sleeps:
//! Relaxed; being a read-modify-write it does not cut an earlier Release off from a later Acquire.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::const_fn;
use crate::sync::futex;

const FRESH: u32 = 0;
const POISONED: u32 = 1;
const RUNNING: u32 = 2;
const DONE: u32 = 3;
const AWAITED: u32 = 4;

/// What a thread that came for the initialisation is told.
#[must_use]
pub(crate) enum Verdict<'a> {
    /// It is done.
    Done,
    /// It is this thread's to do.
    Yours(Turn<'a>),
    /// The last attempt panicked, and the caller did not ask for another.
    Poisoned,
}

/// The right to run the closure (ONCE-1). Dropped without [`Turn::done`], as a panic does, it poisons.
#[must_use]
pub(crate) struct Turn<'a> {
    once: &'a RawOnce,
    after_panic: bool,
    stage: u32,
}

impl Turn<'_> {
    /// Whether the attempt before this one panicked.
    pub(crate) fn after_panic(&self) -> bool {
        self.after_panic
    }

    /// The closure has returned.
    pub(crate) fn done(mut self) {
        self.stage = DONE;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.once.end(self.stage) {
            futex::wake_all(&self.once.word);
        }
    }
}

pub(crate) struct RawOnce {
    word: AtomicU32,
}

impl RawOnce {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { word: AtomicU32::new(FRESH) }
        }
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Acquire) == DONE
    }

    /// `FRESH` or `POISONED` to `RUNNING`.
    fn begin(&self, seen: u32) -> Option<Turn<'_>> {
        let running = RUNNING | seen & AWAITED;
        self.word
            .compare_exchange(seen, running, Acquire, Relaxed)
            .ok()?;
        Some(Turn {
            once: self,
            after_panic: seen & !AWAITED == POISONED,
            stage: POISONED,
        })
    }

    /// Adds `AWAITED`; says whether the word is now `seen` with it.
    #[must_use]
    fn mark(&self, seen: u32) -> bool {
        seen & AWAITED != 0
            || self
                .word
                .compare_exchange(seen, seen | AWAITED, Relaxed, Relaxed)
                .is_ok()
    }

    /// `RUNNING` to what came of it; says whether there may be sleepers.
    #[must_use]
    fn end(&self, stage: u32) -> bool {
        self.word.swap(stage, Release) & AWAITED != 0
    }

    /// Asks for the initialisation: waits for a running one, or gets the turn.
    #[cold]
    pub(crate) fn ask(&self, ignore_poison: bool) -> Verdict<'_> {
        loop {
            let seen = self.word.load(Acquire);
            match seen & !AWAITED {
                DONE => return Verdict::Done,
                POISONED if !ignore_poison => return Verdict::Poisoned,
                RUNNING => self.sleep(seen),
                _ => {
                    if let Some(turn) = self.begin(seen) {
                        return Verdict::Yours(turn);
                    }
                }
            }
        }
    }

    /// Sleeps until others have done it; `false` says that it is poisoned.
    #[cold]
    #[must_use]
    pub(crate) fn wait(&self, ignore_poison: bool) -> bool {
        loop {
            let seen = self.word.load(Acquire);
            match seen & !AWAITED {
                DONE => return true,
                POISONED if !ignore_poison => return false,
                _ => self.sleep(seen),
            }
        }
    }

    /// One sleep at most: the caller looks again.
    fn sleep(&self, seen: u32) {
        if self.mark(seen) {
            futex::wait(&self.word, seen | AWAITED);
        }
    }
}
