//! The state words of the locks, without data and guards.
//!
//! Each file lists the bit patterns of its words in a table, changes them only by named
//! transitions, and numbers the invariants on which its orderings and the guards in `sync` rely.
//! Nothing here is unsafe: access to the data is the guards' part.

mod barrier;
mod condvar;
mod mutex;
mod once;
mod pi_mutex;
mod rwlock;
mod semaphore;

pub(crate) use barrier::RawBarrier;
pub(crate) use condvar::RawCondvar;
pub(crate) use mutex::RawMutex;
pub(crate) use once::{Begin, InitGuard, RawOnce};
pub(crate) use pi_mutex::RawPiMutex;
pub(crate) use rwlock::RawRwLock;
pub(crate) use semaphore::{MAX_PERMITS, RawSemaphore};
