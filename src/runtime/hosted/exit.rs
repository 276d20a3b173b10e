//! Thread exit and start, synchronised with glibc's setxid.
//!
//! glibc's setuid marks the TCB of every thread in its lists (bit 0x40, SETXID, of the
//! cancellation word), then goes round: a marked TCB's tid is sent signal 33, whose handler
//! changes the ids, clears the mark and counts down; setuid waits for the count, and goes round
//! again until it could signal no thread (nptl/nptl_setxid.c). A thread that accepts the signal and
//! ends without running the handler leaves setuid waiting without end; a thread that setuid cannot
//! see keeps its old ids.
//!
//! NPTL's own threads say EXITING in that word first. The TCB of an idle slot cannot: setuid passes
//! over a TCB that says so, and if the next thread were cloned onto it before setuid came to the
//! spawner, that thread would keep the old ids. So the order here is another, and needs no bit.
//!
//! # The way out
//!
//! 1. Leaver: while there is a mark, wait. It has its tid, so the handler runs here.
//! 2. Leaver: *tid := 0*, then look at the mark.
//! 3. setuid: *mark* first, then read the tid.
//!
//! Steps 2 and 3 touch the mark by a read-modify-write, so one of them comes first
//! ([`setxid::clear_tid_and_check`] has the orderings). If the leaver does not see the mark, setuid reads 0.
//! If it does, it takes its tid back and begins again: the handler runs here, or setuid has read 0 in its last
//! round, signals no thread and takes the mark away when it is done. In no case is a signal accepted that
//! the handler does not see.
//!
//! A setuid that begins after step 2 does not reach the thread, as it does not reach a pthread that has said
//! EXITING: its ids are of no use any more. So step 2 is the last before the exit.
//!
//! # The way in
//!
//! A spawner holds the TCB, then waits until *its own* mark is clear, then clones.
//!
//! * Its mark was set: when it is clear, the spawner has the new ids, and its child with it. This
//!   wait is needed where the TCB's last thread has answered and cleared the TCB's mark
//!   in this very setuid: setuid would not ask there again.
//! * Its mark was clear, and setuid sets it later: then no handler has run yet in that setuid, so
//!   the TCB's mark is or will be set, too, and stays until its new thread answers. The
//!   kernel copies the ids early in clone and stores the tid late; if setuid reads 0 in between,
//!   it also waits for the spawner, which answers when clone has returned and the tid is there;
//!   and as it signalled a thread it goes round again.
//! * Whether the mark was set by a setuid in which the last thread of the TCB answered is seen
//!   without a fence: that answer, that thread's end and the taking of the slot are in order.
#![allow(unsafe_code, reason = "ends threads")]

use core::sync::atomic::Ordering;

use super::tcb::{self, CACHE, Slot};
use super::{exit_lock, joinstate, libc_layout, pthread_keys, tls_reset};
use crate::runtime::api::CloneTls;
use crate::runtime::setxid::{self, SETXID};
use crate::sys::signal::{self, SigSet};

/// See [`Runtime::on_thread_exit`](crate::runtime::Runtime::on_thread_exit).
pub(super) unsafe fn on_thread_exit(slot: Slot) {
    // SAFETY: passed on.
    unsafe { reset_for_reuse(slot) };
    // SAFETY: the slot is the calling thread's.
    CACHE.measure(slot, unsafe { tcb::stack_top(slot) });
}

/// See [`Runtime::withdraw_tid`](crate::runtime::Runtime::withdraw_tid).
///
/// Last, so that no code of this crate runs with ids that `setuid` took from the other threads, on memory that
/// they write: after it comes the exit.
pub(super) unsafe fn withdraw_tid(slot: Slot) {
    // Field by field: the creator of a thread on a donor may write `pthread` only now.
    // SAFETY: the slot is the calling thread's, which wrote these fields or was cloned after it.
    let (tid_field, cancelhandling, thread_pointer) = unsafe {
        let tcb = slot.tcb();
        (
            (*tcb).tid_field,
            (*tcb).cancelhandling,
            (*tcb).thread_pointer,
        )
    };
    // SAFETY: the calling thread's, with all signals blocked but libc's own.
    unsafe {
        exit_lock::close(thread_pointer);
        joinstate::set_ended(thread_pointer);
    }
    // From here no function of libc may be called: its locks know owners by the tid.
    // SAFETY: TCB-2; the mark word is of the same TCB.
    unsafe {
        match cancelhandling.as_ref() {
            Some(cancelhandling) => setxid::leave(&*tid_field, cancelhandling),
            None => (*tid_field).store(0, Ordering::Release),
        }
    }
}

/// See [`Runtime::reset_for_reuse`](crate::runtime::Runtime::reset_for_reuse).
pub(super) unsafe fn reset_for_reuse(slot: Slot) {
    // From here no handler of the application runs on this thread, so thread-locals can be put
    // back while it runs.
    signal::block(SigSet::all_but_libc());
    // SAFETY: destructors have run and no user code follows; the slot is the calling thread's.
    unsafe {
        // A handler that ran after them may have made a thread-local: libc's list is empty now.
        tls_reset::run_destructors();
        tls_reset::reset_tls(slot);
        libc_layout::invalidate_sched_cache((*slot.tcb()).thread_pointer);
    }
    pthread_keys::reset();
    // The next task may run on this very kernel thread, without a start of its own.
    tls_reset::use_global_locale();
}

/// See [`Runtime::prepare_clone`](crate::runtime::Runtime::prepare_clone).
///
/// # Safety
/// As there.
pub(super) unsafe fn prepare_clone(slot: Slot) -> CloneTls {
    wait_setxid_before_clone();
    let tcb = slot.tcb();
    // SAFETY: the slot is the caller's alone (SLOT-1) and has a TCB.
    unsafe {
        exit_lock::open((*tcb).thread_pointer);
        joinstate::set_alive((*tcb).thread_pointer);
        CloneTls {
            tls: (*tcb).thread_pointer as usize,
            parent_tid: (*tcb).tid_field as usize,
            stack_top: tcb::stack_top(slot),
        }
    }
}

/// The wait of the way in.
fn wait_setxid_before_clone() {
    if let Some(cancelhandling) = libc_layout::current_cancelhandling() {
        setxid::wait_until_clear(cancelhandling);
    }
}

/// In the child of a fork: a setuid that ran in the parent's other threads will never come back
/// for the mark that it left on the caller.
pub(super) fn clear_setxid_after_fork() {
    if let Some(cancelhandling) = libc_layout::current_cancelhandling() {
        cancelhandling.fetch_and(!SETXID, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{sched, task};
    use core::mem;
    use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32};

    /// Keeps the calling thread on one processor, under a policy; false without the right.
    fn confine(policy: i32, priority: i32) -> bool {
        let mut mask = [0u64; 128];
        sched::get_affinity(0, &mut mask).unwrap();
        let word = mask.iter().position(|word| *word != 0).unwrap();
        let lowest = mask[word] & mask[word].wrapping_neg();
        mask.fill(0);
        mask[word] = lowest;
        sched::set_affinity(0, &mask).unwrap();
        // SAFETY: all zeroes are a valid sched_param, which the kernel reads.
        unsafe {
            let mut param: libc::sched_param = mem::zeroed();
            param.sched_priority = priority;
            libc::sched_setscheduler(0, policy, &param) == 0
        }
    }

    /// A thread that setuid has marked is one that setuid signals, however often it comes round: without a tid it
    /// would keep the old ids, and run on with them when setuid has returned.
    #[test]
    fn a_marked_thread_keeps_its_tid_until_it_has_answered() {
        static TID: AtomicI32 = AtomicI32::new(5);
        static MARK: AtomicU32 = AtomicU32::new(SETXID);
        let leaver = std::thread::spawn(|| setxid::leave(&TID, &MARK));
        for _ in 0..100 {
            assert_eq!(TID.load(Ordering::Relaxed), 5);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        MARK.store(0, Ordering::Release);
        leaver.join().unwrap();
        assert_eq!(TID.load(Ordering::Relaxed), 0);
    }

    /// A thread under SCHED_FIFO ends amid the setuid of an ordinary thread of its processor, which
    /// can only go on while the other one sleeps.
    #[test]
    fn a_real_time_thread_lets_setuid_end() {
        static TID: AtomicI32 = AtomicI32::new(1);
        static MARK: AtomicU32 = AtomicU32::new(SETXID);
        static BEGUN: AtomicBool = AtomicBool::new(false);
        let setuid = std::thread::spawn(|| {
            confine(libc::SCHED_OTHER, 0);
            while !BEGUN.load(Ordering::Acquire) {
                core::hint::spin_loop();
            }
            MARK.store(0, Ordering::Release);
        });
        let leaver = std::thread::spawn(|| {
            if !confine(libc::SCHED_FIFO, 1) {
                BEGUN.store(true, Ordering::Release);
                return None;
            }
            let before = sched::thread_cpu_time(task::tid()).unwrap();
            BEGUN.store(true, Ordering::Release);
            setxid::leave(&TID, &MARK);
            Some(sched::thread_cpu_time(task::tid()).unwrap() - before)
        });
        let used = leaver.join().unwrap();
        setuid.join().unwrap();
        match used {
            None => std::println!("SKIP: SCHED_FIFO needs a right"),
            // The kernel lets ordinary threads in after 950 ms of it.
            Some(used) => assert!(used.as_millis() < 300, "{used:?} of processor time"),
        }
    }
}
