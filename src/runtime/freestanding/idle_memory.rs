//! How much of what ended threads left in their stacks stays resident.
//!
//! All of it, until the program sets a bound: the policy comes into a program with the call that sets
//! it, and by its address alone, so one that does not call it has none of its code.
//!
//! A bound of so many bytes is spent on slots, by the sizes of their stacks: a slot that is given back
//! while some of it is left *keeps* its memory, then and whenever it is given back again. Each other slot
//! is discarded when it is given back. A spawn does nothing for it.
#![allow(unsafe_code, reason = "discards memory of ended threads")]

use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::tcb::Slot;
use crate::stack::cache::SHALLOW;
use crate::sys::arch;

/// The policy, an `unsafe fn(Slot)`; null until a bound is set. Relaxed, as the others here: a thread that
/// does not see it yet keeps its slot's memory once more, and no memory hangs on it.
static POLICY: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// The bound, in bytes of stacks.
static BOUND: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the stacks of slots that keep their memory: the sum of their TCBs' `kept`.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Bytes below the stack pointer that a function may use without moving it (128 on x86-64), and more.
const RED_ZONE: usize = 1024;

/// Sets the bound, for slots that are given back later.
pub(super) fn set(bytes: usize) {
    let policy: unsafe fn(Slot) = keep_or_discard;
    BOUND.store(bytes, Ordering::Relaxed);
    POLICY.store(policy as *mut (), Ordering::Relaxed);
}

/// Applies the policy, if there is one, to a slot that its last user gives back.
pub(super) fn apply(slot: Slot) {
    let policy = POLICY.load(Ordering::Relaxed);
    if !policy.is_null() {
        // SAFETY: `set` alone stores here, and only a function of this type. The slot is the caller's,
        // the last of thread and handle.
        unsafe { mem::transmute::<*mut (), unsafe fn(Slot)>(policy)(slot) };
    }
}

/// Takes a slot whose TCB goes out of the sum.
///
/// # Safety
/// The slot is the caller's alone (SLOT-1).
pub(super) unsafe fn forget(slot: Slot) {
    // SAFETY: passed on.
    KEPT.fetch_sub(unsafe { (*slot.tcb()).kept }, Ordering::Relaxed);
}

/// # Safety
/// The caller is the last of the slot's thread and handle, and has not given it back yet; with all signals
/// blocked if it is the thread.
unsafe fn keep_or_discard(slot: Slot) {
    let region = slot.region();
    let (base, len) = region.stack();
    // SAFETY: SLOT-1: the last user alone has the slot.
    let kept = unsafe { &mut (*slot.tcb()).kept };
    KEPT.fetch_sub(mem::take(kept), Ordering::Relaxed);
    // A sum that other threads change meanwhile may pass the bound by their slots, until those come back.
    if KEPT.load(Ordering::Relaxed).saturating_add(len) <= BOUND.load(Ordering::Relaxed) {
        *kept = len;
        KEPT.fetch_add(len, Ordering::Relaxed);
        return;
    }
    // SAFETY: `create_tcb` wrote it.
    let end = unsafe { (*slot.tcb()).stack_top }.saturating_sub(SHALLOW);
    let own = arch::stack_pointer() as usize;
    let end = if (base as usize..base as usize + len).contains(&own) {
        end.min(own - RED_ZONE)
    } else if slot.has_exited() {
        end
    } else {
        return;
    };
    // SAFETY: no thread runs on the slot, or the calling one does, and uses nothing below `end` again but
    // frames to come, which need no contents. The packet was released, and the TCB lies above.
    unsafe { region.discard_stack_below(end) };
}
