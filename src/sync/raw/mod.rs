//! The words: one lock, one file, one state; no data, no guards.
//!
//! Each file names its bit patterns in a table, changes them only by named transitions, and
//! numbers the invariants that its orderings and the guards above lean on. Nothing here is
//! unsafe: what a lock protects is the business of the guards in the room around.

mod barrier;
mod condvar;
mod mutex;
mod once;
mod rwlock;
mod semaphore;

pub(crate) use barrier::RawBarrier;
pub(crate) use condvar::RawCondvar;
pub(crate) use mutex::RawMutex;
pub(crate) use once::{Begin, InitGuard, RawOnce};
pub(crate) use rwlock::RawRwLock;
pub(crate) use semaphore::{MAX_PERMITS, RawSemaphore};
