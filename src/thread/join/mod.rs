//! Waiting for a thread's end.
//!
//! * [`handle`]: joins or detaches one thread.
//! * [`exit_observer`]: what a finishing thread notifies beside its handle.
//! * [`completion_queue`]: the threads of a set that have ended.
//! * [`spin`]: adaptive spinning before a blocking join.

pub(crate) mod completion_queue;
pub(super) mod exit_observer;
pub(super) mod handle;
pub(super) mod spin;
