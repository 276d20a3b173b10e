//! The end of an identity: its memory back to the system, its TCB out of libc's lists.
//!
//! libc laid the TCB out and only libc can take it down, at the end of the thread that it believes
//! the seed still to be. So one last raw thread takes the TCB over, gives libc's clear-tid word
//! back to the kernel, and continues in the seed's saved frame: the seed returns into libc, which
//! runs its ordinary end, and `pthread_join` frees the rest.
#![allow(unsafe_code, reason = "continues on another thread's frames")]

use core::ptr;
use core::sync::atomic::Ordering;

use super::{Hosted, Identity};
use crate::flags::{CloneFlags, Preset};
use crate::runtime::{Runtime, Slot};
use crate::stack::slot::OCCUPIED;
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, clone, task};

/// As a thread, but without a clear-tid word of ours: libc's takes its place.
const FLAGS: CloneFlags = Preset::RAWTHREAD
    .flags
    .difference(CloneFlags::CHILD_CLEARTID);

/// Takes the identity off a slot; false, and nothing changed, where that cannot be done now.
///
/// # Safety
/// The slot is the caller's alone, vacant, and has an identity.
pub(super) unsafe fn retire(slot: Slot) -> bool {
    // SAFETY: SLOT-1: the slot is the caller's.
    let (pthread, frame, libc_clear_tid) = unsafe {
        let identity = &*slot.identity();
        (identity.pthread, identity.frame, identity.libc_clear_tid)
    };
    if frame != 0 {
        if libc_clear_tid.is_null() {
            // A kernel that does not tell the word (no CHECKPOINT_RESTORE): join would wait for
            // ever.
            return false;
        }
        // SAFETY: passed on.
        if !unsafe { revive(slot) } {
            return false;
        }
    }
    // A guest's seed has ended long ago; a revived one is ending now.
    // SAFETY: the seed was never joined or detached.
    let joined = unsafe { libc::pthread_join(pthread, ptr::null_mut()) };
    debug_assert_eq!(joined, 0);
    // SAFETY: the slot is the caller's, and no identity is on it any more.
    unsafe { (&raw mut (*slot.identity()).thread_pointer).write(ptr::null_mut()) };
    slot.clear_tid().store(0, Ordering::Release);
    true
}

/// Sends a thread onto the slot that continues as the seed.
///
/// # Safety
/// As `retire`; the identity has a saved frame.
unsafe fn revive(slot: Slot) -> bool {
    // SAFETY: passed on.
    let words = unsafe { Hosted::prepare(slot) };
    let stack = slot.region().stack().0 as usize;
    let request = clone::CloneArgs {
        flags: FLAGS.bits(),
        stack,
        stack_size: words.stack_top - stack,
        tls: words.tls,
        parent_tid: words.parent_tid,
        ..clone::CloneArgs::default()
    };
    slot.clear_tid().store(OCCUPIED, Ordering::Relaxed);
    // The seed had the application's signals blocked, and its end expects no handlers.
    let mask = signal::block(SigSet::ALL_BUT_LIBC);
    let argument = ptr::from_ref(slot).cast_mut().cast();
    // SAFETY: the stack below the seed's frames is unused, the slot outlives the thread.
    let cloned = unsafe { clone::clone_onto_stack(&request, continue_as_seed, argument) };
    signal::set_mask(mask);
    if cloned.is_err() {
        slot.clear_tid().store(0, Ordering::Relaxed);
        // SAFETY: `prepare` was called and no thread came to be.
        unsafe { Hosted::abandon(slot) };
    }
    cloned.is_ok()
}

/// # Safety
/// `argument` is the slot that this thread was cloned onto, whose identity has a saved frame.
unsafe extern "C" fn continue_as_seed(argument: *mut u8) -> ! {
    // SAFETY: `revive` passed the slot's permanent cell.
    let slot: Slot = unsafe { &*argument.cast() };
    let identity: *const Identity = slot.identity();
    // SAFETY: libc's word lies in the TCB, which `pthread_join` frees after the kernel cleared it;
    // the frame was saved by the seed and is resumed this once.
    unsafe {
        task::set_tid_address((*identity).libc_clear_tid);
        arch::restore_context((*identity).frame)
    }
}
