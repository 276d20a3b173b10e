//! The futex behind the loom seam: the kernel's, or the model's (`loom_models::futex`).
//!
//! All waiters here are threads of this process, so the futexes are private ones. A waiter
//! borrows its word, which therefore stays valid. A *wake* may find the word freed, since the
//! thread that acquired the lock may have freed it: so a wake takes an address and accesses no
//! memory.

use super::atomic::AtomicU32;
use crate::sys::futex::{Deadline, TimedOut};

#[cfg(all(test, loom))]
use crate::loom_models::futex as imp;

#[cfg(not(all(test, loom)))]
mod imp {
    use crate::sys::futex::{self, Deadline, Sharing, TimedOut};
    use core::sync::atomic::AtomicU32;
    use core::time::Duration;

    pub(super) fn wait(
        word: &AtomicU32,
        expected: u32,
        deadline: Option<Deadline>,
    ) -> Result<(), TimedOut> {
        futex::wait(word, expected, deadline, Sharing::Private)
    }

    pub(super) fn wait_for(
        word: &AtomicU32,
        expected: u32,
        time: Duration,
    ) -> Result<(), TimedOut> {
        futex::wait_for(word, expected, time, Sharing::Private)
    }

    pub(super) fn wake(word: *const AtomicU32, count: u32) -> usize {
        futex::wake(word.cast(), count, Sharing::Private)
    }
}

/// Sleeps while `*word == expected`, until woken or `deadline`.
///
/// `Ok` says nothing about the word: it may be a wake, a signal, a value that had changed, or a
/// wake meant for an earlier owner of the address. The caller reads the word again. `Err` says
/// that this thread has consumed no wake.
pub(crate) fn wait_until(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Deadline>,
) -> Result<(), TimedOut> {
    imp::wait(word, expected, deadline)
}

/// [`wait_until`] with the length of the sleep in the place of its end, which saves the caller a
/// look at the clock.
pub(crate) fn wait_for(
    word: &AtomicU32,
    expected: u32,
    time: core::time::Duration,
) -> Result<(), TimedOut> {
    imp::wait_for(word, expected, time)
}

/// [`wait_until`] without a deadline, and so without an error.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let _never = imp::wait(word, expected, None);
}

/// Wakes one waiter; returns whether there was one.
pub(crate) fn wake_one(word: *const AtomicU32) -> bool {
    imp::wake(word, 1) > 0
}

/// Wakes every waiter.
pub(crate) fn wake_all(word: *const AtomicU32) {
    imp::wake(word, u32::MAX);
}
