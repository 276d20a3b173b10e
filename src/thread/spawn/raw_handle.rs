//! What `spawn` returns before a handle is made of it, and the wait for a thread's exit.
#![allow(unsafe_code, reason = "has libc join threads that it made")]

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::packet::PacketHeader;
use crate::runtime::record::ThreadRef;
use crate::runtime::{Rt, Runtime, Slot};
use crate::stack::slot::{ALIVE, AWAITED};
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

/// Sleeps until the kernel is done with the slot's thread, or a thread that libc made with its
/// destructors; false if the deadline came first.
///
/// # Safety
/// The caller is the handle of the thread, which is not detached, or its spawner; one call at a time.
pub(in crate::thread) unsafe fn wait_for_exit(slot: Slot, deadline: Option<Deadline>) -> bool {
    // One sleep, in libc.
    // SAFETY: passed on.
    if deadline.is_none() && unsafe { Rt::join_libc_thread(slot) } {
        return true;
    }
    let word = slot.clear_tid();
    loop {
        let value = word.load(Ordering::Acquire);
        if value == 0 {
            return true;
        }
        if value == ALIVE && Rt::is_served_by_libc() {
            // Relaxed: a note to wake; what the thread did comes with the 0.
            let _ = word.compare_exchange(ALIVE, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
            continue;
        }
        // The kernel's wake is a shared one, and a wake is only a hint to look again.
        if futex::wait(word, value, deadline, Sharing::Shared).is_err() {
            return slot.has_exited();
        }
    }
}
