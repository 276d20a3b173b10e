//! Two words: the holders and whether threads sleep; and a sequence on which writers sleep.
//!
//! `state`, from its parts:
//!
//! | `COUNT` (low 30 bits) | holders |
//! |---|---|
//! | 0 | none |
//! | 1 to `MAX_READERS` | that many readers |
//! | `WRITER` (all ones) | one writer |
//!
//! | `WRITERS_SLEEP` | `READERS_SLEEP` | meaning |
//! |---|---|---|
//! | 0 | 0 | no thread sleeps, or a wake is under way |
//! | 1 | 0 | a writer may sleep on `writer_notify` |
//! | 0 | 1 | readers may sleep on `state` |
//! | 1 | 1 | both; the next wake is a writer's |
//!
//! A sleep bit with `COUNT` 0 is transient: the thread that made the count 0 is about to wake, or has
//! woken a writer, whose unlock will clear `READERS_SLEEP`.
//!
//! `writer_notify` counts the wakes meant for writers, wrapping. Writers sleep on it and readers on
//! `state`, so that waking one writer does not wake the readers.
//!
//! * RAWRWLOCK-1. `COUNT` goes up only from a value that admits it, and down only by a holder.
//! * RAWRWLOCK-2. Only a holder's arrival at `COUNT` 0 and [`RawRwLock::wake`] (and a downgrade, for
//!   readers) clear sleep bits; the thread that clears one makes the wake.
//! * RAWRWLOCK-3. A reader sleeps only while `state` is exactly what it saw, with `READERS_SLEEP`.
//! * RAWRWLOCK-4. A writer reads `writer_notify` before it checks that `WRITERS_SLEEP` stands; a
//!   waker clears the bit before it changes `writer_notify`. So the writer sees the bit gone or the
//!   kernel sees `writer_notify` changed. A writer that slept keeps `WRITERS_SLEEP` when it takes
//!   the lock: it cannot know whether it was the last.
//! * RAWRWLOCK-5. No reader acquires the lock past a sleeper: writers are not starved by a stream
//!   of readers. Writers do come in past sleepers: otherwise the lock would idle until the woken
//!   thread runs.
//!
//! Orderings: the ways in are Acquire and the ways out Release, all read-modify-writes of `state`,
//! so a writer happens after all that left before it, and a reader after the last writer. Sleep
//! bits carry no data: Relaxed. `writer_notify` is Release and Acquire for RAWRWLOCK-4: a writer
//! that reads the new value sees the bit cleared.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;
use crate::primitive::spin::Spin;

const WRITERS_SLEEP: u32 = 1 << 31;
const READERS_SLEEP: u32 = 1 << 30;
const COUNT: u32 = READERS_SLEEP - 1;
const WRITER: u32 = COUNT;
const MAX_READERS: u32 = WRITER - 1;

/// A value of `state` that was loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Snapshot(u32);

impl Snapshot {
    fn is_free(self) -> bool {
        self.0 & COUNT == 0
    }

    fn is_written(self) -> bool {
        self.0 & COUNT == WRITER
    }

    fn is_full(self) -> bool {
        self.0 & COUNT == MAX_READERS
    }

    fn readers_sleep(self) -> bool {
        self.0 & READERS_SLEEP != 0
    }

    fn writers_sleep(self) -> bool {
        self.0 & WRITERS_SLEEP != 0
    }

    fn has_waiters(self) -> bool {
        self.readers_sleep() || self.writers_sleep()
    }

    /// RAWRWLOCK-1 and RAWRWLOCK-5.
    fn admits_reader(self) -> bool {
        self.0 < MAX_READERS
    }
}

pub(crate) struct RawRwLock {
    state: AtomicU32,
    writer_notify: AtomicU32,
}

impl RawRwLock {
    maybe_const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU32::new(0),
                writer_notify: AtomicU32::new(0),
            }
        }
    }

    fn load(&self) -> Snapshot {
        Snapshot(self.state.load(Relaxed))
    }

    /// `seen` to one reader more. The caller has seen that it is admitted.
    #[inline]
    #[must_use]
    fn add_reader(&self, seen: Snapshot) -> bool {
        self.state
            .compare_exchange(seen.0, seen.0 + 1, Acquire, Relaxed)
            .is_ok()
    }

    /// `seen`, which is free, to written, with `sleepers` besides those it has.
    #[must_use]
    fn add_writer(&self, seen: Snapshot, sleepers: u32) -> bool {
        self.state
            .compare_exchange(seen.0, seen.0 | WRITER | sleepers, Acquire, Relaxed)
            .is_ok()
    }

    /// Adds a sleep bit; returns whether `state` is now `seen` with it.
    #[must_use]
    fn set_waiting(&self, seen: Snapshot, bit: u32) -> bool {
        seen.0 & bit != 0
            || self
                .state
                .compare_exchange(seen.0, seen.0 | bit, Relaxed, Relaxed)
                .is_ok()
    }

    /// Clears a sleep bit of a free lock, which is `seen`.
    #[must_use]
    fn clear_waiting(&self, seen: Snapshot, bit: u32) -> bool {
        self.state
            .compare_exchange(seen.0, seen.0 & !bit, Relaxed, Relaxed)
            .is_ok()
    }

    #[inline]
    #[must_use]
    pub(crate) fn try_read(&self) -> bool {
        let mut seen = self.load();
        while seen.admits_reader() {
            if self.add_reader(seen) {
                return true;
            }
            seen = self.load();
        }
        false
    }

    #[inline]
    #[must_use]
    pub(crate) fn try_write(&self) -> bool {
        let mut seen = self.load();
        while seen.is_free() {
            if self.add_writer(seen, 0) {
                return true;
            }
            seen = self.load();
        }
        false
    }

    /// Panics if there are `MAX_READERS` already.
    #[inline]
    #[track_caller]
    pub(crate) fn read(&self) {
        let seen = self.load();
        if !(seen.admits_reader() && self.add_reader(seen)) {
            self.read_slow();
        }
    }

    #[cold]
    #[track_caller]
    fn read_slow(&self) {
        let mut seen = self.spin(|seen| !seen.is_written());
        loop {
            if seen.admits_reader() {
                if self.add_reader(seen) {
                    return;
                }
            } else {
                assert!(
                    !seen.is_full(),
                    "RwLock: too many readers: the limit is 2^30 - 2 at a time; were guards forgotten?"
                );
                if self.set_waiting(seen, READERS_SLEEP) {
                    // RAWRWLOCK-3.
                    futex::wait(&self.state, seen.0 | READERS_SLEEP);
                    seen = self.spin(|seen| !seen.is_written());
                    continue;
                }
            }
            seen = self.load();
        }
    }

    #[inline]
    pub(crate) fn write(&self) {
        if self
            .state
            .compare_exchange(0, WRITER, Acquire, Relaxed)
            .is_err()
        {
            self.write_slow();
        }
    }

    #[cold]
    fn write_slow(&self) {
        let mut seen = self.spin(Snapshot::is_free);
        let mut sleepers = 0;
        loop {
            if seen.is_free() {
                if self.add_writer(seen, sleepers) {
                    return;
                }
            } else if self.set_waiting(seen, WRITERS_SLEEP) {
                sleepers = WRITERS_SLEEP;
                let writer_notify = self.writer_notify.load(Acquire);
                seen = self.load();
                if seen.is_free() || !seen.writers_sleep() {
                    continue;
                }
                futex::wait(&self.writer_notify, writer_notify);
                seen = self.spin(Snapshot::is_free);
                continue;
            }
            seen = self.load();
        }
    }

    /// Spins until `good` holds or a thread sleeps, or the spin limit is reached.
    fn spin(&self, good: impl Fn(Snapshot) -> bool) -> Snapshot {
        let mut spin = Spin::new();
        loop {
            let seen = self.load();
            if good(seen) || seen.has_waiters() || !spin.spin() {
                return seen;
            }
        }
    }

    /// Unlocks for one reader. Only a reader may call this (RAWRWLOCK-1).
    #[inline]
    pub(crate) fn unlock_read(&self) {
        let left = Snapshot(self.state.fetch_sub(1, Release) - 1);
        if left.is_free() && left.has_waiters() {
            self.wake(left);
        }
    }

    /// Unlocks for the writer. Only the writer may call this (RAWRWLOCK-1).
    #[inline]
    pub(crate) fn unlock_write(&self) {
        let left = Snapshot(self.state.fetch_sub(WRITER, Release) - WRITER);
        if left.has_waiters() {
            self.wake(left);
        }
    }

    /// Turns the writer into a reader. Only the writer may call this (RAWRWLOCK-1).
    pub(crate) fn downgrade(&self) {
        let before = Snapshot(self.state.fetch_sub(WRITER - 1, Release));
        // With a writer asleep they would not be admitted (RAWRWLOCK-5). Without one, this holder
        // is the only thread that may clear the bit (RAWRWLOCK-2), for the count is not 0.
        if before.readers_sleep() && !before.writers_sleep() {
            self.state.fetch_and(!READERS_SLEEP, Relaxed);
            futex::wake_all(&self.state);
        }
    }

    /// Wakes a writer, or if there is none all readers. `seen` was free and had sleepers.
    ///
    /// Where a transition fails, the lock has been acquired meanwhile, and its unlock makes the wake,
    /// or another waker was faster; after the first step a wake may still be left to this thread.
    #[cold]
    fn wake(&self, mut seen: Snapshot) {
        if seen == Snapshot(WRITERS_SLEEP) {
            if self.clear_waiting(seen, WRITERS_SLEEP) {
                self.wake_writer();
                return;
            }
            // A reader may have marked itself behind the writer.
            seen = self.load();
        }
        if seen == Snapshot(WRITERS_SLEEP | READERS_SLEEP) {
            if !self.clear_waiting(seen, WRITERS_SLEEP) {
                return;
            }
            if self.wake_writer() {
                // It will acquire the lock, and its unlock wakes the readers.
                return;
            }
            seen = Snapshot(READERS_SLEEP);
        }
        if seen == Snapshot(READERS_SLEEP) && self.clear_waiting(seen, READERS_SLEEP) {
            futex::wake_all(&self.state);
        }
    }

    /// The second half of RAWRWLOCK-4; returns whether a writer was asleep.
    fn wake_writer(&self) -> bool {
        self.writer_notify.fetch_add(1, Release);
        futex::wake_one(&self.writer_notify)
    }

    #[cfg(all(feature = "lock_api", not(all(test, loom))))]
    pub(crate) fn is_locked(&self) -> bool {
        !self.load().is_free()
    }

    #[cfg(all(feature = "lock_api", not(all(test, loom))))]
    pub(crate) fn is_written(&self) -> bool {
        self.load().is_written()
    }
}

#[cfg(all(test, feature = "std", not(loom)))]
mod tests {
    use super::*;

    /// One more reader is an error and changes nothing, whether readers or writers sleep.
    #[test]
    fn the_greatest_number_of_readers_is_kept() {
        for sleepers in [
            0,
            WRITERS_SLEEP,
            READERS_SLEEP,
            WRITERS_SLEEP | READERS_SLEEP,
        ] {
            let lock = RawRwLock::new();
            lock.state.store((MAX_READERS - 1) | sleepers, Relaxed);
            assert_eq!(lock.try_read(), sleepers == 0);
            lock.state.store(MAX_READERS | sleepers, Relaxed);
            assert!(!lock.try_read() && !lock.try_write());
            assert!(std::panic::catch_unwind(|| lock.read()).is_err());
            assert_eq!(lock.state.load(Relaxed), MAX_READERS | sleepers);
        }
    }
}
