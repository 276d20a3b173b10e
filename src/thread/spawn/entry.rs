//! What a thread does, from its first instruction to its last.
#![allow(unsafe_code, reason = "stands between the kernel and the closure")]

use super::packet::{self, PacketHeader};
use super::setup::StartupHandshake;
use crate::runtime::record::{self, ThreadRef};
use crate::runtime::{Rt, Runtime};
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, task};
use crate::thread::join::exit_observer::ExitObserver;
use crate::thread::state;

/// Where every thread begins.
///
/// The steps, and what each makes impossible:
/// 1. `on_thread_start`: the kernel knows the thread's rseq area, robust list and signal stack.
/// 2. Signal mask and set-up, whose failure skips to step 4. The closure runs; a panic ends here,
///    in the packet. Its result is in the packet.
/// 3. `complete`: from here a dropped handle no longer leaves the result to this thread.
/// 4. Destructors of thread-locals. After them no thread-local may be used.
///    If the thread is the last of a process that it forked, libc's `exit` follows.
/// 5. `on_thread_exit`: signals blocked, thread-locals fresh for the next thread. After it no code
///    of the program runs here, and no function of libc.
/// 6. The reference to the record is let go: `current` is gone.
/// 7. `done`: a joiner may take the result and give the slot to the cache, whose next taker waits
///    for step 9. After it nothing of the slot but the stack is touched.
/// 8. `observer.done`: a scope that waits for this thread may end, a set may join it.
/// 9. exit: the kernel clears the tid word and wakes who sleeps on it.
///
/// # Safety
/// `argument` is the head of a packet on the slot that this thread was cloned onto.
pub(in crate::thread) unsafe extern "C" fn thread_main(argument: *mut u8) -> ! {
    // SAFETY: this is the new thread's first step, on its slot, which the packet names.
    unsafe {
        Rt::on_thread_start(packet::slot_of(argument.cast()));
        run_thread(argument.cast())
    }
}

/// Where a thread on a donor begins: the first on its slot, for which the runtime did step 1.
///
/// # Safety
/// As [`thread_main`].
pub(in crate::thread) unsafe extern "C" fn donor_thread_main(argument: *mut u8) -> ! {
    let head = argument.cast::<PacketHeader>();
    // SAFETY: by the contract.
    let (slot, record) = unsafe { (packet::slot_of(head), packet::record_of(head)) };
    // The runtime's frames lie above this one; the spawner did not know how many there are.
    record.set_stack(
        slot.region().stack().0 as usize,
        arch::stack_pointer() as usize,
    );
    if Rt::is_lost(slot) {
        // SAFETY: the thread's own packet; its spawner and handle do not read the field before the
        // thread is done.
        unsafe { (&raw mut (*head).release).write(forget) };
    }
    // SAFETY: passed on.
    unsafe { run_thread(head) }
}

/// Steps 2 to 8.
///
/// # Safety
/// As [`thread_main`], after `begin`.
unsafe fn run_thread(head: *mut PacketHeader) -> ! {
    let guard = AbortOnUnwind;
    // SAFETY: by the contract; the head stays until `done`.
    let (slot, record, observer) =
        unsafe { (packet::slot_of(head), (*head).record, (*head).observer) };
    record::install_at_start(record);
    // SAFETY: as above.
    let shared = unsafe { packet::record_of(head) };
    let process = Rt::fork_generation();
    // The spawner stores it too, perhaps later than this thread asks.
    shared.set_tid(Rt::tid());
    // SAFETY: as above.
    if let Some(comm) = unsafe { &(*head).comm } {
        task::set_name(comm);
    }
    // SAFETY: as above; the spawner of a thread with a set-up waits for its report.
    let start = unsafe { apply_startup((*head).setup, (*head).mask) };
    // A closure that is not to run stays in the packet for the spawner.
    if start {
        set_running(head);
        // SAFETY: the packet holds its closure, and later its result, which `Drop` says nobody
        // else will touch. Who watches is told of the end below.
        unsafe {
            let panicked = ((*head).vtable.run)(head);
            clear_running();
            if panicked {
                observer.after_fork(process).panicked();
            }
            match state::set_complete(shared.state()) {
                state::ResultOwner::Handle => {}
                state::ResultOwner::Thread => ((*head).vtable.drop_result)(head),
            }
        }
    }
    // SAFETY: the closure has ended; the destructors have run before `leave`.
    unsafe {
        Rt::run_destructors(slot);
        Rt::exit_if_last(slot, crate::thread::pool::shutdown_idle);
        Rt::on_thread_exit(slot);
    }
    core::mem::forget(guard);
    // SAFETY: the packet and observer of this thread, which has left.
    unsafe { finish_thread(head, start.then_some(observer.after_fork(process))) }
}

/// Steps 6 to 9.
///
/// # Safety
/// `head` is the packet of the calling thread, which has left; called once. An `observer` was not told
/// of the end yet.
unsafe fn finish_thread(head: *mut PacketHeader, observer: Option<ExitObserver>) -> ! {
    // SAFETY: the packet's reference, let go once; a record is permanent memory.
    let shared = unsafe { ThreadRef::from_raw((*head).record) };
    let release = state::set_done(shared.state());
    state::wait_for_unpin(shared.state());
    // The handle may be gone, so the record may go with this reference.
    drop(shared);
    if release == state::LastUser::Yes {
        // SAFETY: nobody else uses the packet any more, and the slot's next taker waits for us.
        unsafe { ((*head).release)(head) };
    }
    if let Some(observer) = observer {
        // SAFETY: once, after the thread's last step that anybody could miss.
        unsafe { observer.done() };
    }
    // SAFETY: nothing of this thread is needed any more; the slot's next taker waits for the
    // kernel to clear the tid word.
    unsafe { arch::exit_thread() }
}

/// From the middle of the closure to step 5 and on: nothing is dropped and the stack is kept.
///
/// A task's closure takes its kernel thread with it: both packets are settled.
///
/// # Safety
/// `head` is the packet of the calling thread, or of the task it runs, whose closure runs and never
/// gets control again.
#[cfg(feature = "panic-thread")]
pub(in crate::thread) unsafe fn finish_panicked_thread(head: *mut PacketHeader) -> ! {
    // SAFETY: by the contract; the thread's packet stays, for the slot is kept, and the task's
    // until `finish_thread`. The closures were moved out of them, so there is room for the results.
    unsafe {
        let task = (!(*head).thread.is_null()).then_some(head);
        let thread = task.map_or(head, |task| (*task).thread);
        let (slot, observer) = (packet::slot_of(thread), (*thread).observer);
        (*thread).release = leak_slot;
        for head in [Some(thread), task].into_iter().flatten() {
            ((*head).vtable.set_panicked)(head);
            // A result that says no more than this needs no dropping.
            let _ = state::set_complete(packet::record_of(head).state());
        }
        observer.panicked();
        Rt::on_thread_exit(slot);
        if let Some(task) = task {
            crate::thread::pool::finish_task(task);
        }
        finish_thread(thread, Some(observer))
    }
}

/// Leaves the slot as it is for good.
///
/// # Safety
/// None is needed: it is [`PacketHeader::release`] of a thread that panicked.
#[cfg(feature = "panic-thread")]
unsafe fn leak_slot(_head: *mut PacketHeader) {}

/// Leaves a slot that the runtime has lost out of the cache, identity and all.
///
/// # Safety
/// As [`PacketHeader::release`]: by S2 the caller is the last of thread and handle.
unsafe fn forget(head: *mut PacketHeader) {
    // SAFETY: a packet that a thread ran names its slot.
    unsafe { packet::slot_of(head) }.set_current_record(core::ptr::null_mut());
}

#[cfg(feature = "panic-thread")]
pub(in crate::thread) use super::panic_handler::{
    clear_running, running, set_running, set_running_task,
};

/// Nobody needs to know.
#[cfg(not(feature = "panic-thread"))]
fn set_running(_head: *mut PacketHeader) {}

/// Nobody needs to know.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn set_running_task(_task: *mut PacketHeader, _thread: *mut PacketHeader) {}

/// Nobody needs to know.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn clear_running() {}

/// Nobody knows.
#[cfg(not(feature = "panic-thread"))]
pub(in crate::thread) fn running() -> *mut PacketHeader {
    core::ptr::null_mut()
}

/// Step 2's beginning: mask and set-up; false if the closure is not to run.
///
/// # Safety
/// `setup` is null or the waiting spawner's.
unsafe fn apply_startup(setup: *const StartupHandshake<'static>, mask: Option<SigSet>) -> bool {
    if setup.is_null() {
        if let Some(mask) = mask {
            signal::set_mask(mask);
        }
        return true;
    }
    // SAFETY: passed on.
    unsafe { StartupHandshake::run_in_child(setup, mask) }
}

/// Ends the process if an unwinding reaches the thread's first frame: there is nobody below it.
pub(in crate::thread) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        {
            std::eprintln!("fatal: a panic left a thread by a destructor of its result or locals");
            std::process::abort();
        }
        #[cfg(not(feature = "std"))]
        {
            // What a shell reports for SIGABRT.
            task::exit_group(128 + libc::SIGABRT);
        }
    }
}
