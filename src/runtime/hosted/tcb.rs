//! What the hosted runtime keeps on each slot, and all slots.
#![allow(unsafe_code, reason = "shares addresses of thread control blocks")]

use core::sync::atomic::{AtomicI32, AtomicU32};

use crate::arena::Zeroable;
use crate::error::Error;
use crate::runtime::api::LibcThread;
use crate::stack::cache::Cache;
use crate::stack::slot::SlotRef;
use crate::sys::arch::ChildEntry;
use crate::sys::signal::SigSet;

/// A slot of the hosted runtime.
pub(super) type Slot = SlotRef<Tcb>;

/// See [`Runtime::INLINE_PACKET_MAX`](crate::runtime::Runtime::INLINE_PACKET_MAX): a packet whose
/// closure and result take up to some 400 bytes.
pub(super) const INLINE_PACKET_MAX: usize = 512;

/// What `create_tcb` leaves on a slot. All addresses lie in the slot, which outlives them.
///
/// Invariants of such a TCB:
/// * TCB-1: `thread_pointer` is a TCB that libc created on this slot and has not freed; with full
///   support libc has it in its list of threads. The kernel thread that libc created with it has
///   exited, or runs as the slot's first thread.
/// * TCB-2: `tid_field` is the word of that TCB in which libc keeps the thread's tid.
/// * TCB-3: Nothing above the donor's saved frame, with partial support above `stack_top`, is used by
///   frames of the threads that follow the donor.
#[derive(Debug)]
pub(crate) struct Tcb {
    pub(super) thread_pointer: *mut u8,
    pub(super) tid_field: *const AtomicI32,
    /// The word with libc's SETXID mark; null with partial support.
    pub(super) cancelhandling: *const AtomicU32,
    pub(super) robust_head: *mut u8,
    pub(super) stack_top: usize,
    /// The donor's saved stack pointer (see `arch::save_context`); 0 with partial support.
    pub(super) frame: usize,
    /// What libc had registered as the donor's clear-tid word; null if unknown.
    pub(super) libc_clear_tid: *mut u32,
    /// libc's handle of the donor.
    pub(super) pthread: libc::pthread_t,
    /// Whether the last thread could not reset its thread-locals: the TCB must be destroyed
    /// before another thread runs on it. See `tls_images`.
    pub(super) unrefreshed: bool,
    /// The donor's tid while it lives.
    pub(super) donor_tid: i32,
    /// What libc reported as the stack before `stack_words::set`; zeroes if that was not called.
    pub(super) libc_stack: [usize; 2],
    /// What the donor goes on to do instead of leaving at once (see `donor::create_and_run`).
    pub(super) on_donor: Option<(ChildEntry, *mut u8)>,
    /// The signal mask with which the first donor does that, if it waited for its order.
    pub(super) mask: SigSet,
    /// Where a donor that runs no thread says why there is no TCB; its creator waits.
    pub(super) refusal: *mut Option<Error>,
    /// Whether the slot is not to be used again (see
    /// [`Runtime::is_lost`](crate::runtime::Runtime::is_lost)). Written before a thread on the
    /// donor runs.
    pub(super) lost: bool,
    /// What a thread of libc's own runs on the slot (see `libc_thread`).
    pub(super) libc_thread: Option<LibcThread>,
    /// How many rounds of its destructors have passed.
    pub(super) rounds: u32,
    /// Whether libc's thread on the slot's memory was not joined yet (LIBC-1).
    pub(super) unjoined: bool,
    /// From where on LeakSanitizer was told to search the slot's stack, or null (see `libc_thread`).
    pub(super) leak_root: *const u8,
}

// SAFETY: all-zero bytes are null addresses and zeroes; access follows SLOT-1 of `stack::slot`.
unsafe impl Zeroable for Tcb {
    const BOUNDS_IDLE_MEMORY: bool = true;
}
// SAFETY: the addresses are used by the slot's holder (SLOT-1); none belongs to a particular thread.
unsafe impl Sync for Tcb {}

pub(super) static CACHE: Cache<Tcb> = Cache::new();

/// The highest address of the slot's stack that frames of its threads use; the TCB lies above.
///
/// # Safety
/// The slot is the caller's alone, vacant, and has a TCB.
pub(super) unsafe fn stack_top(slot: Slot) -> usize {
    let tcb = slot.tcb();
    // SAFETY: as the caller vouches; field by field.
    let (frame, stack_top) = unsafe { ((*tcb).frame, (*tcb).stack_top) };
    // TCB-3.
    match frame {
        0 => stack_top,
        frame => frame & !0xf,
    }
}
