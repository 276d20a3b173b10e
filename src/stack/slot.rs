//! A slot: one thread's memory with its control words.
//!
//! # Holders
//!
//! Invariants, cited elsewhere:
//! * SLOT-1: A slot is in one of four states at a time. Its plain fields are written in the second by
//!   the holder and a donor that it has made, each its own; in the third by the thread and the last
//!   user.
//!   1. On one list of the cache, perhaps while its last thread still leaves it (SLOT-3).
//!   2. Held by the one caller that took it from there or mapped it: a spawner, a child's stack, a
//!      trim.
//!   3. In use by one thread and its handle.
//!   4. Abandoned: no later thread runs on it.
//! * SLOT-2: A slot in use goes back to the cache at most once, by the last of thread and handle to
//!   use it (`runtime::state` knows which). The thread may then still be on its way out.
//! * SLOT-3: The cache gives a slot out, and touches its memory, only when its `clear_tid` word is 0:
//!   until then the ending thread still runs on it. The kernel clears the word as the last thing it
//!   does with that memory (kernel/fork.c, `mm_release`), by a plain
//!   store, but after an atomic with the order of a full barrier (kernel/exit.c, `do_exit`:
//!   `signal->live`): a thread that loads the 0 with Acquire sees all that the ended one wrote, also
//!   on AArch64.
//! * SLOT-4: A slot belongs to one process of a line of forks: the one that mapped it, or the child
//!   whose only thread ran on it at the fork. The cache never offers another process's slot: in
//!   the child of a fork its thread does not exist, and libc does not know its TCB.
#![allow(unsafe_code, reason = "shares plain fields under the invariants above")]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::region::Region;
use super::touched::Touched;
use crate::arena::{ArenaEntry, Zeroable};
use crate::sys::sched;

/// The control words of one slot, in memory that outlasts the slot's mapping.
pub(crate) struct Slot<T> {
    /// The `CLONE_CHILD_CLEARTID` word.
    ///
    /// | value | meaning |
    /// |---|---|
    /// | 0 | no kernel thread runs on this slot; if it is lost (`Runtime::is_lost`), a thread that stored this itself may still be about to exit, and no later one runs on it |
    /// | `ALIVE` | a thread or donor was or is being cloned onto it, or is on its way out; or a `CLONE_VM` child is or may be on it (`process::child_stack`), or libc's end of its TCB (`hosted::destroy`) |
    /// | `LEAVING`, 2 | the donor that makes its TCB is on its way out, and the kernel will not clear this word |
    /// | `REFUSED`, 3 | the same of a donor that leaves no TCB |
    /// | `AWAITED`, 4 | as `ALIVE`, of a thread that libc made, and a waiter sleeps |
    ///
    /// The kernel stores the 0 after a thread and after a donor whose word this is. The party that
    /// holds the slot stores it: after a clone that failed; after `LEAVING` and `REFUSED`, when the
    /// donor is gone; when it has joined libc's end of the TCB; when the child has left. A thread that libc
    /// made stores it itself, and wakes whom it finds with `AWAITED` (`hosted::libc_thread`).
    pub(super) clear_tid: AtomicU32,
    /// The record of the thread on it, for the overflow report; null when idle.
    pub(super) current_record: AtomicPtr<()>,
    /// The process that it belongs to (SLOT-4), as `Cache::fork_generation` counts. Relaxed: written before
    /// the slot is first offered, or by the only thread of a forked child.
    pub(super) fork_generation: AtomicU32,
    pub(super) region: UnsafeCell<Region>,
    /// What threads may have left in the region's stack.
    pub(super) touched: Touched,
    tcb: UnsafeCell<T>,
}

/// See [`Slot`]'s truth table.
pub(crate) const ALIVE: u32 = 1;
/// See [`Slot`]'s truth table.
#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only a libc makes threads")
)]
pub(crate) const AWAITED: u32 = 4;

// SAFETY: the plain fields are shared under SLOT-1; `T` holds addresses that may move between threads
// with the slot (each runtime's TCB says so).
unsafe impl<T: Zeroable> Sync for Slot<T> {}
// SAFETY: a zero slot has null addresses, a zero layout and nothing touched; nothing dereferences them.
unsafe impl<T: Zeroable> Zeroable for Slot<T> {}

impl<T: Zeroable> Slot<T> {
    pub(crate) fn clear_tid(&self) -> &AtomicU32 {
        &self.clear_tid
    }

    /// For `runtime::occupant` alone, as [`Slot::set_current_record`].
    pub(crate) fn current_record(&self) -> *mut () {
        self.current_record.load(Ordering::Acquire)
    }

    pub(crate) fn set_current_record(&self, record: *mut ()) {
        self.current_record.store(record, Ordering::Release);
    }

    /// The slot's memory. Written before the slot is offered, each time it is mapped.
    pub(crate) fn region(&self) -> Region {
        // SAFETY: by SLOT-1 it is written only by a caller of the cache that holds the unmapped slot.
        unsafe { *self.region.get() }
    }

    /// The TCB that the runtime keeps on the slot.
    pub(crate) fn tcb(&self) -> *mut T {
        self.tcb.get()
    }

    /// Whether the kernel is done with the last thread on this slot. Acquire: what that thread
    /// wrote is visible.
    pub(crate) fn has_exited(&self) -> bool {
        self.clear_tid.load(Ordering::Acquire) == 0
    }
}

/// A slot's permanent entry, in whichever state of SLOT-1.
pub(crate) type SlotRef<T> = &'static ArenaEntry<Slot<T>>;

/// Waits a bounded time for a leaving thread to be gone; false if it still is not.
pub(crate) fn spin_until_exited(clear_tid: &AtomicU32) -> bool {
    for _ in 0..64 {
        for _ in 0..32 {
            if clear_tid.load(Ordering::Acquire) == 0 {
                return true;
            }
            core::hint::spin_loop();
        }
        // It may wait for this very processor.
        sched::yield_now();
    }
    false
}
