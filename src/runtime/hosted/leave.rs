//! The way out that `setuid` and its family can live with (glibc).
//!
//! glibc's setuid marks the TCB of every thread in its lists (bit 0x40, SETXID, of the
//! cancellation word), then goes round: a marked TCB's tid is sent signal 33, whose handler
//! changes the ids, clears the mark and counts down; setuid waits for the count, and goes round
//! again until it could signal nobody (nptl/nptl_setxid.c). A thread that accepts the signal and
//! ends without running the handler leaves setuid waiting for ever; a thread that setuid cannot
//! see keeps its old ids.
//!
//! NPTL's own threads say EXITING in that word first. A parked identity cannot: setuid passes over
//! a TCB that says so, and if the next thread were cloned onto it before setuid came to the
//! spawner, that thread would keep the old ids. So the order here is another, and needs no bit:
//!
//! 1. *tid := 0* (leaver), then look at the mark.
//! 2. setuid: *mark* first, then read the tid.
//!
//! Both with a full barrier between (ours is a fence; setuid's mark is a compare-and-swap). So
//! either the leaver sees the mark, and waits: the handler runs here, or setuid reads 0, signals
//! nobody and takes the mark away when it is done. Or it does not see the mark, and then setuid
//! reads 0. In no case is a signal accepted that the handler does not see.
//!
//! A mark that comes later lies on a parked TCB with tid 0, which is no obstacle; and if a spawner
//! takes the identity meanwhile it is marked as it should be, and the spawner's own tid stands in
//! it until the kernel stores the new one (`Runtime::prepare`).
#![allow(unsafe_code, reason = "ends threads")]

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering, fence};

use super::{keys, locals};
use crate::runtime::Slot;
use crate::sys::sched;
use crate::sys::signal::{self, KernelSet};

/// glibc's SETXID bit.
const SETXID: u32 = 0x40;

/// See [`Runtime::leave`](crate::runtime::Runtime::leave).
pub(super) unsafe fn leave(slot: Slot) {
    // From here no handler of the application runs on this thread, so thread-locals can be put
    // back under its feet.
    signal::block(KernelSet::APPLICATION);
    // SAFETY: the slot is the calling thread's.
    let identity = unsafe { &*slot.identity() };
    // SAFETY: destructors have run and no user code follows.
    unsafe { locals::refresh() };
    keys::set_current(core::ptr::null_mut());
    // From here no function of libc may be called: its locks know owners by the tid.
    // SAFETY: I2; the mark word is of the same TCB.
    unsafe {
        match identity.mark_word.as_ref() {
            Some(mark_word) => depart(&*identity.tid_field, mark_word),
            None => (*identity.tid_field).store(0, Ordering::Release),
        }
    }
}

/// Steps 1 and the wait of the module's protocol. Signal 33 must be open.
pub(super) fn depart(tid_field: &AtomicI32, mark_word: &AtomicU32) {
    tid_field.store(0, Ordering::Relaxed);
    // The store above and the load below must not pass each other.
    fence(Ordering::SeqCst);
    while mark_word.load(Ordering::Acquire) & SETXID != 0 {
        // The handler interrupts this very thread, or setuid ends without it: either is soon.
        sched::yield_now();
    }
}
