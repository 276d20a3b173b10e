//! Which packet's closure runs on the calling thread: what a panic that does not unwind needs to
//! know (feature `panic-thread`). Without the feature nothing is noted.
#![cfg_attr(
    feature = "panic-thread",
    allow(unsafe_code, reason = "writes a link into the task's packet")
)]

use core::ptr::NonNull;

use super::packet::PacketHeader;
#[cfg(feature = "panic-thread")]
use crate::runtime::freestanding;

/// Notes that the closure in this packet begins on the calling thread.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) fn set_running(head: NonNull<PacketHeader>) {
    freestanding::set_running(head.as_ptr().cast());
}

/// Notes that the closure of this task begins on the calling thread, whose own packet is `worker`.
///
/// # Safety
/// `task` is the packet of a task that the calling thread is about to run.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) unsafe fn set_running_task(
    task: NonNull<PacketHeader>,
    worker: Option<NonNull<PacketHeader>>,
) {
    // SAFETY: by the contract the packet is there.
    unsafe { task.as_ref() }.set_worker(worker);
    set_running(task);
}

/// Returns the packet whose closure runs on the calling thread, if any.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) fn running() -> Option<NonNull<PacketHeader>> {
    NonNull::new(freestanding::running().cast())
}

/// Notes that the closure has returned.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) fn clear_running() {
    freestanding::set_running(core::ptr::null_mut());
}

/// Notes nothing: only a panic that does not unwind asks.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn set_running(_head: NonNull<PacketHeader>) {}

/// Notes nothing.
///
/// # Safety
/// None is needed.
#[cfg(not(feature = "panic-thread"))]
#[allow(unsafe_code, reason = "has the contract of its twin")]
pub(in crate::thread) unsafe fn set_running_task(
    _task: NonNull<PacketHeader>,
    _worker: Option<NonNull<PacketHeader>>,
) {
}

/// Returns `None`: nothing was noted.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn running() -> Option<NonNull<PacketHeader>> {
    None
}

/// Does nothing.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn clear_running() {}
