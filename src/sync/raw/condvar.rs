//! A sequence to sleep on, and a count by which a notification without waiters makes no system call.
//!
//! | field | meaning |
//! |---|---|
//! | `sequence` | notifications so far, wrapping; a waiter sleeps while it is what the waiter read under the mutex |
//! | `waiters` | at least the number of threads between "about to unlock the mutex" and "woken" |
//!
//! * CONDVAR-1. A waiter counts itself and reads `sequence` while it holds the mutex.
//! * CONDVAR-2. A notifier changes `sequence` before it wakes. So a notification that comes after the
//!   waiter unlocked the mutex finds it asleep, or makes the kernel refuse the sleep.
//!
//! Orderings: all Relaxed. These words carry no data, the mutex does. A notification that must
//! reach a waiter is one that happens after the waiter unlocked the mutex (its thread locked the
//! mutex itself, or synchronised with one that did): the mutex's Release and Acquire then put the
//! count and the read of CONDVAR-1 before the notifier's load of `waiters` and its change of
//! `sequence`. The kernel orders its compare with the wake under a lock of its own.
//!
//! `sequence` wraps: a waiter that is preempted between unlocking the mutex and falling
//! asleep misses its notification if exactly 2^32 of them happen meanwhile.

use super::RawMutex;
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::Relaxed;
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;
use crate::sys::futex::{Deadline, TimedOut};

pub(crate) struct RawCondvar {
    sequence: AtomicU32,
    waiters: AtomicU32,
}

impl RawCondvar {
    maybe_const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                sequence: AtomicU32::new(0),
                waiters: AtomicU32::new(0),
            }
        }
    }

    /// Counts the calling thread, which holds the mutex (CONDVAR-1). Returns the sequence to sleep
    /// on.
    #[must_use]
    fn register(&self) -> u32 {
        self.waiters.fetch_add(1, Relaxed);
        self.sequence.load(Relaxed)
    }

    fn unregister(&self) {
        self.waiters.fetch_sub(1, Relaxed);
    }

    /// Counts a notification (CONDVAR-2) if there are waiters; returns whether it did.
    #[must_use]
    fn bump(&self) -> bool {
        if self.waiters.load(Relaxed) == 0 {
            return false;
        }
        self.sequence.fetch_add(1, Relaxed);
        true
    }

    /// Unlocks `mutex`, which the caller holds, sleeps, and locks it again.
    pub(crate) fn wait(
        &self,
        mutex: &RawMutex,
        deadline: Option<Deadline>,
    ) -> Result<(), TimedOut> {
        let sequence = self.register();
        mutex.unlock();
        let slept = futex::wait_until(&self.sequence, sequence, deadline);
        self.unregister();
        mutex.lock();
        slept
    }

    pub(crate) fn notify_one(&self) {
        if self.bump() {
            futex::wake_one(&self.sequence);
        }
    }

    pub(crate) fn notify_all(&self) {
        if self.bump() {
            futex::wake_all(&self.sequence);
        }
    }
}
