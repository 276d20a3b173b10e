//! Waiting for a thread's end. From the bottom up:
//!
//! * [`result`]: what a join returns.
//! * [`spin`]: adaptive spinning before a blocking join.
//! * [`completion_queue`]: the threads of a set that are done.
//! * [`waker`], [`set_waker`]: wakers that threads call.
//! * [`scope_data`], [`set_counts`], [`set_entry`]: what a scope or a set shares with its threads.
//! * [`membership`]: whether a handle's thread belongs to a scope.
//! * [`exit_observer`]: what a finishing thread notifies beside its handle.
//! * [`handle`]: joins or detaches one thread. It uses the packet of `spawn`, which lies below it.
//! * [`future`]: waiting for a thread's end in a task of an executor.

pub(crate) mod completion_queue;
pub(super) mod exit_observer;
pub(super) mod future;
pub(super) mod handle;
pub(super) mod membership;
pub(super) mod result;
pub(crate) mod scope_data;
pub(crate) mod set_counts;
pub(super) mod set_entry;
pub(crate) mod set_waker;
pub(super) mod spin;
mod waker;
