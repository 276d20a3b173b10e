//! The operations on the packet of a thread that has a kernel thread of its own: how a handle
//! waits for it, and what becomes of its slot.
#![allow(unsafe_code, reason = "gives slots back to the cache")]

use core::ptr::NonNull;

use super::packet::{PacketHeader, PacketOps};
use super::raw_handle::wait_for_exit;
use crate::runtime::{Rt, Runtime, occupant};
use crate::sys::futex::Deadline;

/// Of a thread on its slot's stack.
pub(in crate::thread) static ON_SLOT: PacketOps = PacketOps {
    wait,
    release: release_slot,
    is_pooled: false,
    must_exit: false,
};

/// Of a thread on memory of its spawner's own ([`Builder::stack`](crate::Builder::stack)).
pub(in crate::thread) static ON_CALLER_STACK: PacketOps = PacketOps {
    wait,
    release: release_slot_and_stack,
    is_pooled: false,
    must_exit: true,
};

/// Of a thread whose slot the runtime cannot use again ([`Runtime::is_lost`]).
pub(in crate::thread) static ON_LOST_SLOT: PacketOps = PacketOps {
    wait,
    release: abandon_slot,
    is_pooled: false,
    must_exit: false,
};

/// Of a thread that panicked without unwinding: other threads may refer to its frames.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) static ON_LEAKED_SLOT: PacketOps = PacketOps {
    wait,
    release: leak_slot,
    is_pooled: false,
    must_exit: true,
};

/// # Safety
/// As [`PacketOps::wait`].
unsafe fn wait(head: &PacketHeader, deadline: Option<Deadline>) -> bool {
    // SAFETY: passed on.
    unsafe { wait_for_exit(head.slot(), deadline) }
}

/// Gives the slot that the packet lies in back to the cache.
///
/// # Safety
/// As [`PacketHeader::release`].
unsafe fn release_slot(head: NonNull<PacketHeader>) {
    // SAFETY: the header is there until the slot is taken again, which is not before the call below.
    let slot = unsafe { head.as_ref() }.slot();
    Rt::put_used(slot);
}

/// # Safety
/// As [`PacketHeader::release`].
unsafe fn release_slot_and_stack(head: NonNull<PacketHeader>) {
    // SAFETY: the header is there until the slot is taken again. The caller is the last user: a handle
    // whose thread has exited, or the thread, which then notifies its observer and exits, and calls
    // no function of libc.
    unsafe {
        Rt::restore_stack(head.as_ref().slot());
        release_slot(head);
    }
}

/// Leaves a slot that the runtime has lost out of the cache, with its TCB.
///
/// # Safety
/// As [`PacketHeader::release`].
unsafe fn abandon_slot(head: NonNull<PacketHeader>) {
    // SAFETY: the slot, and the packet in it, stays.
    occupant::clear_occupant(unsafe { head.as_ref() }.slot());
}

/// Never gives the slot back: it stays mapped.
///
/// # Safety
/// None is needed; as [`PacketHeader::release`].
#[cfg(feature = "panic-thread")]
unsafe fn leak_slot(_head: NonNull<PacketHeader>) {}
