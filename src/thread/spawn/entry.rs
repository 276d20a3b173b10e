//! What a thread does, from its first instruction to its last.
#![allow(unsafe_code, reason = "is called by the kernel and calls the closure")]

use core::mem;
use core::ptr::NonNull;

use super::finish::{finish_thread, give_up, set_ready};
use super::packet::PacketHeader;
use super::setup::StartupHandshake;
use super::unwind::AbortOnUnwind;
use super::{dedicated, last_thread, running};
use crate::runtime::state::ResultOwner;
use crate::runtime::{Rt, Runtime, current};
use crate::sys::arch;
use crate::sys::signal::{self, SigSet};

/// Where every thread begins.
///
/// The steps, and what each makes impossible:
/// 1. `on_thread_start`: the kernel knows the thread's rseq area, robust list and signal stack.
/// 2. Signal mask and startup actions, whose failure skips to step 4. The closure runs; a panic
///    ends here, in the packet. The closure's result is in the packet.
/// 3. `set_complete`: from here a dropped handle no longer leaves the result to this thread.
/// 4. Destructors of thread-locals. Then `set_ready`: a future may take the result, and one that waits is
///    woken by this thread, whose thread-locals are destroyed again then. After that none may be used.
///    If the thread is the last of a process that it forked, libc's `exit` follows.
/// 5. `on_thread_exit`: signals blocked, thread-locals fresh for the next thread. After it no code
///    of the program runs here, and no function of libc.
///    `current` is null.
/// 6. The thread's reference to the record is moved out of the packet, which step 7 may leave to a
///    joiner. It is dropped after step 7, when no call uses the tid.
/// 7. `set_done`: a joiner may take the result and give the slot to the cache, whose next taker
///    waits for step 10. After it the thread touches nothing of the slot but its stack and TCB; unless no
///    handle is left: then the thread is the last user and gives the slot to the cache itself.
/// 8. `observer.done`: a scope that waits for this thread may end, a set may join it.
/// 9. `withdraw_tid`: libc's setuid does not reach the thread any more. Nothing is left but the exit, so that
///    nothing runs with ids that the process has given up.
/// 10. exit: the kernel clears the tid word and wakes the threads that sleep on it.
///
/// # Safety
/// `argument` is the packet on the slot that this thread was cloned onto.
pub(in crate::thread) unsafe extern "C" fn thread_main(argument: *mut u8) -> ! {
    // SAFETY: this is the new thread's first step, on its slot, which the packet names; a packet's
    // address is not null.
    unsafe {
        let head = NonNull::new_unchecked(argument.cast::<PacketHeader>());
        Rt::on_thread_start(head.as_ref().slot());
        run_thread(head)
    }
}

/// Where a thread on a donor begins: the first on its slot, for which the runtime did step 1.
///
/// # Safety
/// As [`thread_main`].
pub(in crate::thread) unsafe extern "C" fn donor_thread_main(argument: *mut u8) -> ! {
    // SAFETY: by the contract; a packet's address is not null.
    let head = unsafe { NonNull::new_unchecked(argument.cast::<PacketHeader>()) };
    // SAFETY: the packet is there until step 7, and this function uses it before.
    let packet = unsafe { head.as_ref() };
    let slot = packet.slot();
    // The runtime's frames lie above this one; the spawner did not know how many there are.
    packet.record().set_stack(
        slot.region().stack().0 as usize,
        arch::stack_pointer() as usize,
    );
    if Rt::is_lost(slot) {
        packet.set_ops(&dedicated::ON_LOST_SLOT);
    }
    // SAFETY: passed on.
    unsafe { run_thread(head) }
}

/// What a thread of libc's own runs first ([`Runtime::create_libc_thread`]): step 1 is libc's and the
/// runtime's, steps 2 and 3 are here. Then libc runs the destructors, and what else a thread of its ends with.
///
/// # Safety
/// As [`thread_main`].
pub(in crate::thread) unsafe fn libc_thread_main(argument: *mut u8) {
    // SAFETY: by the contract; a packet's address is not null.
    let head = unsafe { NonNull::new_unchecked(argument.cast::<PacketHeader>()) };
    // SAFETY: the packet is there until `libc_thread_end`.
    let record = unsafe { head.as_ref() }.record();
    // libc's control block and frames lie above.
    record.set_stack(record.stack().0, arch::stack_pointer() as usize);
    let guard = AbortOnUnwind;
    // SAFETY: passed on.
    let _ = unsafe { run_closure(head) };
    mem::forget(guard);
}

/// What it does when libc has run its destructors: steps 6 to 8. The runtime clears the slot's word.
///
/// # Safety
/// `argument` is the packet that [`libc_thread_main`] had; called once.
pub(in crate::thread) unsafe fn libc_thread_end(argument: *mut u8) {
    // SAFETY: by the contract; a packet's address is not null.
    let head = unsafe { NonNull::new_unchecked(argument.cast::<PacketHeader>()) };
    // SAFETY: the packet is there until `set_done`, which `give_up` calls.
    let packet = unsafe { head.as_ref() };
    let started = packet.record().state().is_complete();
    // SAFETY: libc has run the destructors, and the others of this round may still come.
    unsafe { set_ready(packet) };
    let observer = started.then(|| packet.observer.after_fork(packet.process));
    // SAFETY: passed on.
    unsafe { give_up(head, observer) };
}

/// Steps 2 to 10.
///
/// # Safety
/// As [`thread_main`], after step 1.
unsafe fn run_thread(head: NonNull<PacketHeader>) -> ! {
    let guard = AbortOnUnwind;
    // SAFETY: by the contract; the packet stays until step 7, which is in `finish_thread`.
    let packet = unsafe { head.as_ref() };
    let (slot, observer, process) = (packet.slot(), packet.observer, packet.process);
    // SAFETY: passed on.
    let start = unsafe { run_closure(head) };
    // SAFETY: the closure has ended; the destructors have run before `on_thread_exit`.
    unsafe {
        Rt::run_destructors(slot);
        if set_ready(packet) {
            Rt::run_destructors(slot);
        }
        Rt::exit_if_last(slot, last_thread::end_idle_workers);
        Rt::on_thread_exit(slot);
    }
    mem::forget(guard);
    // SAFETY: the packet and observer of this thread, which has done step 5.
    unsafe { finish_thread(head, start.then_some(observer.after_fork(process))) }
}

/// Steps 2 and 3; whether the closure was run.
///
/// # Safety
/// As [`thread_main`], after step 1.
unsafe fn run_closure(head: NonNull<PacketHeader>) -> bool {
    // SAFETY: by the contract; the packet stays until step 7.
    let packet = unsafe { head.as_ref() };
    let (observer, process) = (packet.observer, packet.process);
    // SAFETY: the packet's reference (PACKET-2), which ends with the thread.
    unsafe { current::install_at_start(packet.record().as_raw()) };
    // The spawner stores it too, perhaps later than this thread asks.
    packet.record().set_tid(Rt::tid());
    if let Some(comm) = &packet.comm {
        Rt::set_name(comm);
    }
    // SAFETY: PACKET-3.
    let start = unsafe { apply_startup(packet.startup, packet.mask) };
    // A closure that is not to run stays in the packet for the spawner.
    if start {
        running::set_running(head);
        // SAFETY: the packet holds its closure, and later its result, which is this thread's where
        // `set_complete` says so. The observer is notified of the end later.
        unsafe {
            let panicked = (packet.vtable.run)(head);
            running::clear_running();
            if panicked {
                observer.after_fork(process).panicked();
            }
            match packet.record().state().set_complete() {
                ResultOwner::Handle => {}
                ResultOwner::Thread => (packet.vtable.drop_result)(head),
            }
        }
    }
    start
}

/// Sets the signal mask and runs the startup actions; false if the closure is not to run.
///
/// # Safety
/// `startup` is the waiting spawner's (PACKET-3).
unsafe fn apply_startup(
    startup: Option<NonNull<StartupHandshake<'static>>>,
    mask: Option<SigSet>,
) -> bool {
    let Some(startup) = startup else {
        if let Some(mask) = mask {
            signal::set_mask(mask);
        }
        return true;
    };
    // SAFETY: passed on.
    unsafe { StartupHandshake::run_in_child(startup.as_ptr(), mask) }
}
