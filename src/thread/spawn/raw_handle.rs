//! What `spawn` returns before a handle is made of it, and the wait for a thread's exit.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::packet::PacketHeader;
use crate::runtime::Slot;
use crate::runtime::record::ThreadRef;
use crate::sys::futex::{self, Deadline, Sharing};
use crate::thread::join::result::Result;

/// A running thread's record, packet and result.
pub(in crate::thread) struct RawHandle<T> {
    pub(in crate::thread) record: ThreadRef,
    /// In the slot or on the heap.
    pub(in crate::thread) head: NonNull<PacketHeader>,
    /// In the packet.
    pub(in crate::thread) result: NonNull<Result<T>>,
}

/// Sleeps until the kernel is done with the slot's thread; false if the deadline came first.
pub(in crate::thread) fn wait_for_exit(slot: Slot, deadline: Option<Deadline>) -> bool {
    let word = slot.clear_tid();
    loop {
        let value = word.load(Ordering::Acquire);
        if value == 0 {
            return true;
        }
        // The kernel's wake is a shared one, and a wake is only a hint to look again.
        if futex::wait(word, value, deadline, Sharing::Shared).is_err() {
            return slot.has_exited();
        }
    }
}
