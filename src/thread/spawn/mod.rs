//! From a builder's settings to a running thread. From the bottom up:
//!
//! * [`unwind`]: where an unwinding panic ends.
//! * [`setup`]: what the new thread does and reports before its closure.
//! * [`config`]: the settings of a thread.
//! * [`packet`]: closure and result of a thread or a task.
//! * [`raw_handle`]: what is needed to join a thread.
//! * [`dedicated`]: waiting for a thread, and its slot's way back to the cache.
//! * [`running`]: which packet's closure runs on the calling thread.
//! * [`last_thread`]: what must end before the last thread of a forked process.
//! * [`finish`]: the end of a thread and of a task.
//! * `panic_handler`: how a thread ends by a panic where nothing unwinds.
//! * [`entry`]: what the thread does, from its first instruction to its last.
//! * [`hooks`]: what a spawner does for each new thread, and has it do.
//! * [`prepare`]: takes slot and record, writes the packet, and calls clone.
//! * [`caller_stack`]: whether threads can run on memory of the caller's own.

pub(super) mod caller_stack;
pub(super) mod config;
mod dedicated;
pub(super) mod entry;
pub(super) mod finish;
#[cfg(feature = "alloc")]
pub(super) mod hooks;
#[cfg(not(feature = "alloc"))]
#[path = "no_hooks.rs"]
pub(super) mod hooks;
pub(super) mod last_thread;
pub(super) mod packet;
#[cfg(feature = "panic-thread")]
mod panic_handler;
pub(super) mod prepare;
pub(super) mod raw_handle;
pub(super) mod running;
pub(crate) mod setup;
pub(super) mod unwind;
