//! What each kernel thread registers anew: rseq area, robust list, signal stack.
#![allow(
    unsafe_code,
    reason = "writes words of the calling thread's control block"
)]

use super::libc_layout;
use super::tcb::Slot;
use crate::sys::{arch, signal, task};

/// Registers the calling thread's rseq area, which the kernel does not inherit.
///
/// # Safety
/// `thread_pointer` is the calling thread's TCB.
pub(super) unsafe fn register_rseq(thread_pointer: *mut u8) {
    const CPU_ID_UNINITIALIZED: u32 = u32::MAX;
    const CPU_ID_REGISTRATION_FAILED: u32 = u32::MAX - 1;

    let Some(rseq) = libc_layout::try_get().and_then(|host| host.layout.rseq) else {
        return;
    };
    let area = thread_pointer.wrapping_offset(rseq.offset);
    // struct rseq (linux/rseq.h): cpu_id_start, cpu_id, rseq_cs.
    // SAFETY: the area is in the caller's TCB, and the kernel does not know it yet.
    unsafe {
        area.add(4)
            .cast::<u32>()
            .write_volatile(CPU_ID_UNINITIALIZED);
        area.add(8).cast::<u64>().write_volatile(0);
        if task::register_rseq(area, rseq.len, arch::RSEQ_SIGNATURE).is_err() {
            // Readers of cpu_id then ask the kernel instead.
            area.add(4)
                .cast::<u32>()
                .write_volatile(CPU_ID_REGISTRATION_FAILED);
        }
    }
}

/// # Safety
/// The slot belongs to the calling thread.
pub(super) unsafe fn install_signal_stack(slot: Slot) {
    let (base, len) = slot.region().signal_stack();
    // SAFETY: the signal stack is this slot's and unused (REGION-1 of `stack::region`).
    // Where a filter refuses, an overflow ends the process without a report.
    let _ = unsafe { signal::set_alternate_stack(base, len) };
}

/// Gives a thread of libc's the slot's signal stack, unless it has one already, as a sanitizer gives it.
/// The thread keeps it to its end, which comes before any other use of the slot's memory (LIBC-1).
///
/// # Safety
/// As [`install_signal_stack`].
pub(super) unsafe fn install_first_signal_stack(slot: Slot) {
    let (base, len) = slot.region().signal_stack();
    // SAFETY: as in `install_signal_stack`; there, too, a filter may refuse.
    let _ = unsafe { signal::set_first_alternate_stack(base, len) };
}

/// Empties the TCB's robust-mutex list and registers it: the kernel starts every thread without
/// one, and a thread that dies with a robust mutex must be found by its waiters.
///
/// # Safety
/// `head` is null or the list head in the calling thread's TCB.
pub(super) unsafe fn register_robust_list(head: *mut u8) {
    if head.is_null() {
        return;
    }
    // struct robust_list_head: next, futex_offset, list_op_pending (linux/futex.h). The offset is
    // libc's constant and stays. glibc keeps the list doubly linked: the word before the head is
    // its `prev`, which glibc does not read on the head.
    // SAFETY: the head is ours while this thread lives.
    unsafe {
        head.cast::<*mut u8>().write(head);
        head.add(16).cast::<*mut u8>().write(core::ptr::null_mut());
        // Where a filter refuses, waiters for a robust mutex do not learn of the owner's end; libc's
        // own threads go on as well.
        let _ = task::set_robust_list(head);
    }
}

/// Whether the calling thread holds no robust mutex, for which the kernel must see the owner die.
///
/// # Safety
/// As [`register_robust_list`].
pub(super) unsafe fn holds_no_robust_mutex(head: *mut u8) -> bool {
    // An empty list points at its head.
    // SAFETY: the head is ours while this thread lives.
    head.is_null() || unsafe { head.cast::<*mut u8>().read() } == head
}
