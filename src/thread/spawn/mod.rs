//! From a builder's settings to a running thread.
//!
//! * [`prepare`]: takes slot and record, writes the packet, and calls clone.
//! * [`packet`]: closure and result, in the slot's own memory.
//! * [`setup`]: what the new thread does and reports before its closure.
//! * [`entry`]: what the thread does, from its first instruction to its last.
//! * `panic_handler`: how a thread ends by a panic where nothing unwinds.

pub(super) mod entry;
pub(super) mod packet;
#[cfg(feature = "panic-thread")]
mod panic_handler;
pub(super) mod prepare;
pub(super) mod setup;
