//! The first donor of a process: it examines libc, and may then run the process's first thread.
//!
//! Whether it can is known after the examination, and only its creator knows what it is to run. So the
//! donor waits for an order, as a thread of libc's that no code of the program has seen, with all
//! signals blocked but libc's own. Its creator has nothing to do meanwhile but to prepare the thread.
//!
//! | [`ORDER`] | set by | meaning |
//! |---|---|---|
//! | `NOT_WANTED` | nothing, or a child of fork before it examines libc again | the donor leaves its TCB behind and exits |
//! | `WANTED` | the creator, before it makes the donor ([`want`]) | the donor is to wait, if it can |
//! | `ASLEEP` | the donor, from `WANTED` ([`wait`]) | it waits, and wants to be woken |
//! | `GIVEN` | the creator, when the donor waits ([`give`]) | `on_donor` and `mask` of the slot's TCB say how the donor goes on |
//!
//! Release and Acquire: `on_donor`, and the thread's packet, before `GIVEN`. `WANTED` is ordered by the
//! donor's creation. The creator holds the lock of the examination until the donor waits, and after that
//! libc is not examined again: there is one such donor, and one creator.
#![allow(unsafe_code, reason = "hands a thread over between two threads")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::tcb::{CACHE, Slot};
use crate::primitive::SPIN_LIMIT;
use crate::sys::arch::ChildEntry;
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, sched};

static ORDER: AtomicU32 = AtomicU32::new(NOT_WANTED);

const NOT_WANTED: u32 = 0;
const WANTED: u32 = 1;
const ASLEEP: u32 = 2;
const GIVEN: u32 = 3;

/// The slot of the donor that waits; null while none does. Written and read by its creator, and by a child
/// that a signal handler of the creator's forked: Relaxed.
static WAITING: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Creator, under the lock of the examination: whether the donor is to wait when it has examined libc.
pub(super) fn want(wait: bool) {
    ORDER.store(if wait { WANTED } else { NOT_WANTED }, Ordering::Relaxed);
}

/// Donor: whether it is to wait.
pub(super) fn is_wanted() -> bool {
    ORDER.load(Ordering::Relaxed) == WANTED
}

/// Creator: this slot's donor waits.
pub(super) fn set_waiting(slot: Slot) {
    WAITING.store(address(slot), Ordering::Relaxed);
}

/// Creator: whether the slot's donor waits for its order.
pub(super) fn is_waiting(slot: Slot) -> bool {
    WAITING.load(Ordering::Relaxed) == address(slot)
}

fn address(slot: Slot) -> *mut () {
    ptr::from_ref(slot).cast_mut().cast()
}

/// Donor: waits for the order, and returns what it is to run. It spins where its creator is awake, and so
/// spins on another processor.
///
/// # Safety
/// The slot is the donor's, and its creator knows that it waits.
pub(super) unsafe fn wait(slot: Slot, is_creator_awake: bool) -> Option<(ChildEntry, *mut u8)> {
    let spins = if is_creator_awake { SPIN_LIMIT } else { 0 };
    for _ in 0..spins {
        if ORDER.load(Ordering::Acquire) != WANTED {
            break;
        }
        core::hint::spin_loop();
    }
    // Acquire: where it fails the order is given.
    if ORDER
        .compare_exchange(WANTED, ASLEEP, Ordering::Relaxed, Ordering::Acquire)
        .is_ok()
    {
        while ORDER.load(Ordering::Acquire) == ASLEEP {
            let _ = futex::wait(&ORDER, ASLEEP, None, Sharing::Private);
        }
    }
    let tcb = slot.tcb();
    // SAFETY: the creator wrote both before the order, and does not touch them any more.
    unsafe {
        let (run, mask) = (
            (&raw const (*tcb).on_donor).read(),
            (&raw const (*tcb).mask).read(),
        );
        if run.is_some() {
            signal::set_mask(mask);
        }
        run
    }
}

/// Creator: has the waiting donor run this, with the caller's signal mask, or leave.
///
/// # Errors
/// ECANCELED in the child of a fork, which has no such donor.
///
/// # Safety
/// [`is_waiting`], and the entry is sound to call on the new thread.
pub(super) unsafe fn give(slot: Slot, run: Option<(ChildEntry, *mut u8)>) -> Result<(), Errno> {
    // A handler of the program's that forks, between the question and the order, would have the child
    // wait for a thread that it does not have.
    let mask = signal::block(SigSet::all_but_libc());
    WAITING.store(ptr::null_mut(), Ordering::Relaxed);
    let is_here = CACHE.owns(slot);
    if is_here {
        let tcb = slot.tcb();
        // SAFETY: the donor reads them after the order.
        unsafe {
            (&raw mut (*tcb).on_donor).write(run);
            (&raw mut (*tcb).mask).write(mask);
        }
        if ORDER.swap(GIVEN, Ordering::Release) == ASLEEP {
            futex::wake(ORDER.as_ptr(), 1, Sharing::Private);
        }
    }
    signal::set_mask(mask);
    if is_here {
        Ok(())
    } else {
        Err(Errno::ECANCELED)
    }
}

/// How often the creator of a donor looks whether it has ended or waits, before it sleeps: not at all where
/// there is but one processor; for a donor that may wait, once in a process, for as long as it takes to
/// wake an idle one.
pub(super) fn creators_spins() -> u32 {
    match (sched::is_multiprocessor(), is_wanted()) {
        (false, _) => 0,
        (true, true) => SPIN_LIMIT,
        (true, false) => 200,
    }
}
