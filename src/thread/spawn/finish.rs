//! The end of a thread and of a task: what follows the closure and the destructors of
//! thread-locals.
#![allow(
    unsafe_code,
    reason = "gives up the thread's share of packet and record"
)]

use core::ptr::NonNull;

#[cfg(feature = "panic-thread")]
use super::dedicated;
use super::packet::PacketHeader;
use crate::runtime::state::LastUser;
use crate::runtime::{Rt, Runtime};
use crate::sys::arch;
use crate::thread::join::exit_observer::ExitObserver;

/// Says that the result may be taken by a future, and wakes one that waits; true if it did, and code of
/// the program ran that may have made thread-locals.
///
/// # Safety
/// `packet` is that of the calling thread or of the task it runs, whose destructors have run, and code of
/// the program may run; called once.
pub(in crate::thread) unsafe fn set_ready(packet: &PacketHeader) -> bool {
    let record = packet.record();
    // In a forked child what the hook would wake is the parent's.
    let hooked = record.state().set_ready() && packet.process == Rt::fork_generation();
    if hooked {
        // SAFETY: `set_ready` returned true; once. The handle that set the hook gave it away.
        unsafe {
            let hook = record.take_hook();
            (hook.run)(hook.words);
        }
    }
    hooked
}

/// Steps 6 to 10 of [`thread_main`](super::entry::thread_main).
///
/// # Safety
/// `head` is the packet of the calling thread, which has run `Rt::on_thread_exit`; called once.
/// `observer` was not notified of the end yet.
pub(in crate::thread) unsafe fn finish_thread(
    head: NonNull<PacketHeader>,
    observer: Option<ExitObserver>,
) -> ! {
    // SAFETY: the packet is there until `set_done`, which `give_up` calls.
    let slot = unsafe { head.as_ref() }.slot();
    // SAFETY: passed on.
    unsafe { give_up(head, observer) };
    // SAFETY: nothing of this thread is needed any more; the slot's next taker waits for the
    // kernel to clear the tid word (SLOT-3).
    unsafe {
        Rt::withdraw_tid(slot);
        arch::exit_thread()
    }
}

/// Steps 6 to 8.
///
/// # Safety
/// `head` is the packet of the calling thread, whose destructors have run; called once. `observer` was
/// not notified of the end yet.
pub(in crate::thread) unsafe fn give_up(
    head: NonNull<PacketHeader>,
    observer: Option<ExitObserver>,
) {
    // SAFETY: the packet is there until `set_done`, and after it if no handle was left; the thread's
    // own reference is moved out once.
    let record = unsafe { head.as_ref().take_record() };
    let last_user = record.state().set_done();
    record.state().wait_for_unpin();
    // The handle may be dropped already, so the record may be freed with this reference.
    drop(record);
    if last_user == LastUser::Yes {
        // SAFETY: the last user of the packet is this thread, which uses it no more after this; the
        // slot's next taker waits until it has exited.
        unsafe { PacketHeader::release(head) };
    }
    if let Some(observer) = observer {
        // SAFETY: once, after this thread's last use of what it shares with other threads.
        unsafe { observer.done() };
    }
}

/// Does at the end of a task, after its destructors, what [`finish_thread`] does at a thread's;
/// whether the kernel thread must exit now.
///
/// # Safety
/// `head` is the packet of the task that the calling thread ran, which is complete; called once.
/// `observer` was not notified of the end yet.
pub(in crate::thread) unsafe fn finish_task(
    head: NonNull<PacketHeader>,
    observer: ExitObserver,
) -> bool {
    // SAFETY: the packet is there until `set_task_done`, and after it if no handle was left; the
    // task's own reference is moved out once.
    let record = unsafe { head.as_ref().take_record() };
    let done = record.state().set_task_done();
    if done.wake {
        record.state().wake_joiner();
    }
    record.state().wait_for_unpin();
    // The handle may be dropped already, so the record may be freed with this reference.
    drop(record);
    if done.last_user == LastUser::Yes {
        // SAFETY: the handle gave up its share first.
        unsafe { PacketHeader::release(head) };
    }
    // SAFETY: once, after the task's last use of what it shares with other threads.
    unsafe { observer.done() };
    done.exit_requested
}

/// Ends the calling thread in the middle of a closure: nothing is dropped and the stack is kept.
///
/// A task's closure ends its worker with it: both packets get their result.
///
/// # Safety
/// `head` is the packet of the calling thread, or of the task it runs, whose closure runs and never
/// gets control again.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) unsafe fn finish_panicked_thread(head: NonNull<PacketHeader>) -> ! {
    // SAFETY: by the contract; the thread's packet stays, for the slot is kept, and the task's
    // until `finish_task`. The closures were moved out of them, which leaves the memory for the
    // results.
    unsafe {
        let worker = head.as_ref().worker();
        let task = worker.map(|_| head);
        let thread = worker.unwrap_or(head);
        let (slot, observer) = (thread.as_ref().slot(), thread.as_ref().observer);
        thread.as_ref().set_ops(&dedicated::ON_LEAKED_SLOT);
        for head in [Some(thread), task].into_iter().flatten() {
            (head.as_ref().vtable.set_panicked)(head);
            // A result that says no more than this needs no dropping.
            let _ = head.as_ref().record().state().set_complete();
            // No destructor runs, for the frames of the closure stay.
            set_ready(head.as_ref());
        }
        observer.panicked();
        Rt::on_thread_exit(slot);
        if let Some(task) = task {
            let observer = task.as_ref().observer;
            observer.panicked();
            finish_task(task, observer);
        }
        finish_thread(thread, Some(observer))
    }
}
