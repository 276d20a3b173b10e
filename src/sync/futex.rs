//! The sleep and the wake of this room: the kernel's, or the model's (`loom_models::futex`).
//!
//! All sleepers here are threads of this process, so the futexes are private ones. A sleeper
//! borrows its word, which therefore stays. A *wake* may find the word gone, since the thread that
//! was let in may have freed the lock: so wakes go by address and touch no memory.

use crate::primitive::atomic::AtomicU32;
use crate::sys::futex::Deadline;

#[cfg(all(test, loom))]
use crate::loom_models::futex as imp;

#[cfg(not(all(test, loom)))]
mod imp {
    use super::TimedOut;
    use crate::sys::futex::{self, Deadline, Sharing};
    use core::sync::atomic::AtomicU32;

    pub(super) fn wait(
        word: &AtomicU32,
        expected: u32,
        deadline: Option<Deadline>,
    ) -> Result<(), TimedOut> {
        futex::wait(word, expected, deadline, Sharing::Private).map_err(|_| TimedOut)
    }

    pub(super) fn wake(word: *const AtomicU32, count: u32) -> usize {
        futex::wake(word.cast(), count, Sharing::Private)
    }
}

/// The deadline came before a wake did.
#[derive(Debug)]
pub(crate) struct TimedOut;

/// Sleeps while `*word == expected`, until woken or `deadline`.
///
/// `Ok` says nothing about the word: it may be a wake, a signal, a value that had changed, or a
/// wake meant for an earlier owner of the address. The caller looks at the word again. `Err` says
/// that no wake was spent on this thread.
pub(crate) fn wait_until(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Deadline>,
) -> Result<(), TimedOut> {
    imp::wait(word, expected, deadline)
}

/// [`wait_until`] without a deadline, and so without an error.
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    let _never = imp::wait(word, expected, None);
}

/// Wakes one sleeper; says whether there was one.
pub(crate) fn wake_one(word: *const AtomicU32) -> bool {
    imp::wake(word, 1) > 0
}

/// Wakes every sleeper.
pub(crate) fn wake_all(word: *const AtomicU32) {
    imp::wake(word, u32::MAX);
}
