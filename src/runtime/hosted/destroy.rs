//! Takes a TCB off libc's lists. The slot's memory stays mapped: it is the cache's to unmap.
//!
//! libc laid the TCB out and only libc can take it down, at the end of the thread that it believes
//! the donor still to be. So one last clone takes the TCB over, with libc's word as the one that
//! the kernel is to clear, and continues in the donor's saved frame: the donor returns into libc,
//! which runs its ordinary end, and `pthread_join` frees the rest.
#![allow(unsafe_code, reason = "continues on another thread's frames")]

use core::ptr;
use core::sync::atomic::Ordering;

use super::tcb::{Slot, Tcb};
use super::{exit, joinstate, libc_thread, registration};
use crate::flags::{CloneFlags, Preset};
use crate::stack::slot::ALIVE;
#[cfg(not(test))]
use crate::sys::arch::has_shadow_stack;
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, clone};
#[cfg(test)]
use tests::has_shadow_stack;

/// As any thread: but the clear-tid word is libc's.
const FLAGS: CloneFlags = Preset::RAWTHREAD.flags;

/// Takes the TCB off a slot; false, and nothing changed, where that cannot be done now.
///
/// # Safety
/// The slot is the caller's alone, vacant, and has a TCB.
pub(super) unsafe fn destroy_tcb(slot: Slot) -> bool {
    // SAFETY: SLOT-1: the slot is the caller's.
    let (frame, libc_clear_tid) = unsafe {
        let tcb = slot.tcb();
        ((*tcb).frame, (*tcb).libc_clear_tid)
    };
    if frame != 0 {
        if libc_clear_tid.is_null() {
            // A kernel that does not say which word (no CHECKPOINT_RESTORE): join would not return.
            return false;
        }
        if has_shadow_stack() {
            // The donor's return addresses are on the shadow stack of a thread that is gone.
            return false;
        }
        // SAFETY: passed on.
        if !unsafe { resume_donor(slot) } {
            return false;
        }
    }
    if frame == 0 {
        // The donor has ended as a pthread, and a child on its block may not have said so of itself.
        // SAFETY: SLOT-1: the slot is the caller's, and vacant.
        unsafe { joinstate::set_ended((*slot.tcb()).thread_pointer) };
    }
    // A resumed donor is ending now. A thread that libc makes may have destructors to run yet.
    // SAFETY: SLOT-1: the slot is the caller's, and vacant.
    let joined = unsafe {
        if libc_thread::is_chosen() {
            libc_thread::join_soon(slot)
        } else {
            libc_thread::join(slot)
        }
    };
    if !joined {
        return false;
    }
    slot.clear_tid().store(0, Ordering::Release);
    true
}

/// Sends a thread onto the slot that continues as the donor.
///
/// # Safety
/// As `destroy_tcb`; the TCB has a saved frame.
unsafe fn resume_donor(slot: Slot) -> bool {
    // SAFETY: passed on.
    let clone_tls = unsafe { exit::prepare_clone(slot) };
    let stack = slot.region().stack().0 as usize;
    let request = clone::CloneArgs {
        flags: FLAGS.bits(),
        stack,
        stack_size: clone_tls.stack_top - stack,
        tls: clone_tls.tls,
        parent_tid: clone_tls.parent_tid,
        // SAFETY: SLOT-1: the slot is the caller's.
        child_tid: unsafe { (*slot.tcb()).libc_clear_tid } as usize,
        ..clone::CloneArgs::default()
    };
    slot.clear_tid().store(ALIVE, Ordering::Relaxed);
    // The donor had the application's signals blocked, and its end expects no handlers.
    let mask = signal::block(SigSet::all_but_libc());
    let argument = ptr::from_ref(slot).cast_mut().cast();
    // SAFETY: the stack below the donor's frames is unused, the slot outlives the thread; libc's word
    // lies in the TCB, which `pthread_join` frees after the kernel cleared it.
    let cloned = unsafe { clone::clone_onto_stack(&request, donor_continue, argument) };
    signal::set_mask(mask);
    if cloned.is_err() {
        slot.clear_tid().store(0, Ordering::Relaxed);
    }
    cloned.is_ok()
}

/// # Safety
/// `argument` is the slot that this thread was cloned onto, whose TCB has a saved frame.
unsafe extern "C" fn donor_continue(argument: *mut u8) -> ! {
    // SAFETY: `resume_donor` passed the slot's permanent entry.
    let slot: Slot = unsafe { &*argument.cast() };
    let tcb: *const Tcb = slot.tcb();
    // SAFETY: the TCB is ours by TCB-1 and the calling thread runs on it. The frame was saved by the
    // donor and is resumed this once.
    unsafe {
        // libc's end runs on this thread as on any other: it may ask the area for its processor.
        registration::register_rseq((*tcb).thread_pointer);
        registration::register_robust_list((*tcb).robust_head);
        arch::restore_context((*tcb).frame)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicBool;

    use super::*;
    use crate::runtime::hosted::tcb::CACHE;
    use crate::sys::memory;

    static IN_FORCE: AtomicBool = AtomicBool::new(false);

    /// As on a processor that has one.
    pub(super) fn has_shadow_stack() -> bool {
        IN_FORCE.load(Ordering::Relaxed) || arch::has_shadow_stack()
    }

    /// Where return addresses are on a shadow stack, a slot keeps its TCB and its memory through a trim,
    /// and serves the next thread.
    #[test]
    fn no_donor_is_resumed_on_a_shadow_stack() {
        // A size of which no other test has stacks.
        let spawn = || {
            crate::Builder::new()
                .stack_size(77 << 20)
                .try_spawn(|| arch::stack_pointer() as usize)
                .unwrap()
                .join()
                .unwrap()
        };
        let address = spawn();
        let slot = CACHE
            .iter()
            .find(|slot| {
                let (base, len) = slot.region().stack();
                (base as usize..base as usize + len).contains(&address)
            })
            .unwrap();
        // SAFETY: the slot is idle, and no other test takes it.
        if unsafe { (*slot.tcb()).frame } == 0 {
            std::println!("SKIP: this libc's threads leave no frame of a donor");
            return;
        }
        IN_FORCE.store(true, Ordering::Relaxed);
        CACHE.trim(destroy_tcb);
        let page = address & !(memory::page_size() - 1);
        let is_mapped = || {
            let mut resident = 0;
            // SAFETY: the kernel writes one byte for one page, and looks at no memory of the page.
            unsafe { libc::mincore(page as *mut _, 1, &mut resident) == 0 }
        };
        assert!(is_mapped());
        // Frames of a first thread and of a later one begin at other places.
        let distance = spawn().abs_diff(address);
        assert!(distance < 1 << 16, "{distance} bytes away");
        IN_FORCE.store(false, Ordering::Relaxed);
        if !arch::has_shadow_stack() {
            CACHE.trim(destroy_tcb);
            assert!(!is_mapped(), "a donor is resumed elsewhere");
        }
    }
}
