//! What a runtime does for the layers above: the trait, and the arguments of clone.
#![allow(unsafe_code, reason = "states contracts that its runtimes rely on")]

use super::record::RecordPtr;
use crate::arena::Zeroable;
use crate::error::Error;
use crate::stack::cache::Cache;
use crate::stack::slot::SlotRef;
use crate::sys::arch::ChildEntry;
use crate::sys::{Errno, task};

/// What a runtime can do. Functions without `self`: there is one runtime a process.
///
/// The life of a TCB: `create_tcb` once; then any number of rounds of `prepare_clone` (spawner),
/// clone, `on_thread_start`, `run_destructors`, `on_thread_exit`, `withdraw_tid` (the new thread), or
/// `prepare_clone`, `cancel_clone` if clone fails. Or it begins with `create_and_run`: then the
/// first thread comes with the TCB, and only `run_destructors`, `on_thread_exit` and `withdraw_tid` are its to call.
pub(crate) trait Runtime {
    /// What it keeps on each slot.
    type Tcb: Zeroable;

    /// Whether [`Runtime::set_current`] works in threads that another library made, if there is memory.
    /// Without a libc, no word of such a thread is the crate's.
    const KEEPS_FOREIGN_RECORDS: bool;

    /// All slots.
    fn cache() -> &'static Cache<Self::Tcb>;

    /// Whether threads can be made here; does whatever must happen once before the first, and
    /// again in a forked child.
    ///
    /// # Errors
    /// `Unsupported`, with the reason.
    fn ensure_init() -> Result<(), Error>;

    /// As [`Runtime::ensure_init`], for a caller that makes a thread by [`Runtime::create_and_run`] then,
    /// where that works: if this call examined the host, it may return a slot, which is the caller's
    /// alone and has a thread that waits for `create_and_run`, or for [`Runtime::dismiss_waiting`].
    ///
    /// # Errors
    /// As `ensure_init`.
    fn ensure_init_to_run() -> Result<Option<SlotRef<Self::Tcb>>, Error> {
        Self::ensure_init().map(|()| None)
    }

    /// Has the thread that waits on the slot leave, and its TCB stay, as after [`Runtime::create_tcb`].
    ///
    /// # Errors
    /// As `create_tcb`; and in the child of a fork, which has no such thread.
    ///
    /// # Safety
    /// `ensure_init_to_run` returned the slot, on which `create_and_run` was not called.
    unsafe fn dismiss_waiting(slot: SlotRef<Self::Tcb>) -> Result<(), Error> {
        let _ = slot;
        Ok(())
    }

    /// Bytes at the top of a slot's stack that TCBs take, and some to spare.
    fn tcb_reserve() -> usize;

    /// Gives an uninitialised slot its TCB. On failure the slot is as before.
    ///
    /// # Errors
    /// A limit was reached, or the host cannot be served.
    ///
    /// # Safety
    /// The slot is the caller's alone, with guards and without TCB.
    unsafe fn create_tcb(slot: SlotRef<Self::Tcb>) -> Result<(), Error>;

    /// Takes a slot's TCB away; false, and nothing changed, where that cannot be done now.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn destroy_tcb(slot: SlotRef<Self::Tcb>) -> bool;

    /// Gives a slot that a thread has used back to the cache. Where a runtime bounds what idle slots
    /// keep resident, it does so here.
    fn put_used(slot: SlotRef<Self::Tcb>) {
        Self::cache().put_idle(slot);
    }

    /// Sets how many bytes of idle stacks keep what threads left in them.
    fn set_idle_memory(bytes: usize);

    /// Whether no thread may run on the TCB any more, which is then to be retired.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn must_retire(slot: SlotRef<Self::Tcb>) -> bool {
        let _ = slot;
        false
    }

    /// Bytes at the end of every slot's stack that TCBs leave to a packet beside a donor.
    const INLINE_PACKET_MAX: Option<usize> = None;

    /// Whether [`Runtime::create_and_run`] works here; once it does not, it never will again.
    fn can_create_and_run() -> bool {
        false
    }

    /// Whether the slot of a thread that began on a donor, or on which `create_tcb` failed, must never
    /// be used again: the kernel will not say when the thread has left it. `withdraw_tid` clears the slot's word in its place,
    /// while the thread still runs on the slot.
    fn is_lost(slot: SlotRef<Self::Tcb>) -> bool {
        let _ = slot;
        false
    }

    /// Makes a thread on an uninitialised slot that calls `entry(argument)`, and with it the TCB:
    /// one kernel thread where `create_tcb` and clone make two. Returns its tid, or 0 if it has
    /// already left. On failure the slot is as before.
    ///
    /// # Errors
    /// The kernel's for clone.
    ///
    /// # Safety
    /// The slot is the caller's alone, with guards, its `clear_tid` occupied; it has no TCB, and
    /// `can_create_and_run()`, or it came from `ensure_init_to_run`. `entry` must be sound to call on the new thread.
    unsafe fn create_and_run(
        slot: SlotRef<Self::Tcb>,
        entry: ChildEntry,
        argument: *mut u8,
    ) -> Result<i32, Errno> {
        let _ = (slot, entry, argument);
        Err(Errno::ENOSYS)
    }

    /// Sets the calling thread's comm (at most 15 bytes and a NUL).
    fn set_name(comm: &[u8; 16]) {
        task::set_name(comm);
    }

    /// Whether the host's libc makes and ends every thread ([`Runtime::create_libc_thread`]); decided
    /// once `ensure_init` has returned. Then no slot that is taken has a TCB but by `create_tcb`.
    fn is_served_by_libc() -> bool {
        false
    }

    /// Has libc make a thread whose frames and TCB lie in `stack` (lowest address and length), and that
    /// ends by libc's own way; returns its tid, or 0 if it has already ended. On failure the slot is as
    /// before.
    ///
    /// # Errors
    /// What pthread_create(3) says.
    ///
    /// # Safety
    /// `is_served_by_libc()`. The slot is the caller's alone, with guards, without TCB, its `clear_tid`
    /// occupied. `stack` is the slot's, or the caller's own until `restore_stack`. `thread`'s functions
    /// are sound to call on the new thread, `main` first, `end` once.
    unsafe fn create_libc_thread(
        slot: SlotRef<Self::Tcb>,
        stack: (usize, usize),
        thread: LibcThread,
    ) -> Result<i32, Errno> {
        let _ = (slot, stack, thread);
        Err(Errno::ENOSYS)
    }

    /// Blocks until the slot's thread has ended, if libc made it, and joins it; false, at once, if
    /// libc did not make it or does not join it.
    ///
    /// # Safety
    /// The caller is the handle of the thread, which is not detached, or its spawner; one call at a time.
    unsafe fn join_libc_thread(slot: SlotRef<Self::Tcb>) -> bool {
        let _ = slot;
        false
    }

    /// Whether the slot's thread has left the memory on which it ran.
    ///
    /// # Safety
    /// The caller has the thread's handle, which is not detached.
    unsafe fn has_left_stack(slot: SlotRef<Self::Tcb>) -> bool {
        slot.has_exited()
    }

    /// Before clone, in the spawner: returns what clone needs.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn prepare_clone(slot: SlotRef<Self::Tcb>) -> CloneTls;

    /// After a failed clone, in the spawner: undoes `prepare_clone`.
    ///
    /// # Safety
    /// As `prepare_clone`, which must have been called.
    unsafe fn cancel_clone(slot: SlotRef<Self::Tcb>);

    /// First thing in the new thread.
    ///
    /// # Safety
    /// The calling thread was cloned onto this slot with `prepare_clone`'s words.
    unsafe fn on_thread_start(slot: SlotRef<Self::Tcb>);

    /// Runs the destructors of all thread-locals. User code may run in it.
    ///
    /// # Safety
    /// As `on_thread_start`; the thread's closure has ended.
    unsafe fn run_destructors(slot: SlotRef<Self::Tcb>);

    /// Ends the process in libc's way if the calling thread is its last and libc would not see that.
    /// `end_idle` has threads exit that only wait for work.
    ///
    /// # Safety
    /// As `on_thread_start`; the destructors have run.
    unsafe fn exit_if_last(_slot: SlotRef<Self::Tcb>, _end_idle: fn()) {}

    /// Makes the TCB fit for its next thread. After it no code but this crate's last few
    /// instructions may run on the thread.
    ///
    /// # Safety
    /// As `on_thread_start`; the destructors have run.
    unsafe fn on_thread_exit(slot: SlotRef<Self::Tcb>);

    /// Takes the thread's tid from libc, whose `setuid` and `pthread_kill` do not reach the thread after it.
    /// The exit follows.
    ///
    /// # Safety
    /// As `on_thread_start`, after `on_thread_exit`; the slot is the thread's until the kernel clears its word.
    unsafe fn withdraw_tid(_slot: SlotRef<Self::Tcb>) {}

    /// As `on_thread_exit`, for a thread that goes on with another task: it keeps its tid. False if
    /// only the thread's end settles what the last task left.
    ///
    /// # Safety
    /// As `on_thread_exit`.
    unsafe fn reset_for_reuse(slot: SlotRef<Self::Tcb>) -> bool;

    /// Before a task that may end without its exit path: a process that shares this memory.
    fn prepare_to_recover() {}

    /// Makes the TCB of a task that ended so fit for its next thread; what its thread-locals owned is lost.
    /// `is_intact`: it ended at a call of its own, not amid any instruction. False if no thread may run
    /// on the slot again.
    ///
    /// # Safety
    /// The slot is the caller's alone, the task was prepared for by
    /// [`prepare_to_recover`](Self::prepare_to_recover) and is gone, and its `clear_tid` word is 0.
    unsafe fn recover(slot: SlotRef<Self::Tcb>, is_intact: bool) -> bool;

    /// How often this process noticed that it was forked: what a parent left has another number.
    fn fork_generation() -> u32;

    /// The calling thread's tid, without a system call: its TCB has it.
    fn tid() -> i32;

    /// Lowest address and end of the calling thread's stack, if this crate did not make it; zeroes
    /// where that is not known.
    fn native_stack() -> (usize, usize);

    /// Whether [`Runtime::set_stack`] may be called; `None` until
    /// [`Runtime::learn_to_set_stack`] has found that out.
    fn can_set_stack() -> Option<bool> {
        Some(true)
    }

    /// Finds out whether libc can be made to report a stack of the caller's own.
    ///
    /// # Safety
    /// The slot is the calling thread's, which runs on its stack.
    unsafe fn learn_to_set_stack(_slot: SlotRef<Self::Tcb>) {}

    /// Says that the slot's next thread will have its frames in `low..end`.
    ///
    /// # Safety
    /// As `prepare_clone`, before or after it; [`Runtime::can_set_stack`] has said yes.
    unsafe fn set_stack(_slot: SlotRef<Self::Tcb>, _low: usize, _end: usize) {}

    /// Undoes `set_stack`, if that was called.
    ///
    /// # Safety
    /// The slot is the caller's alone, but for the last steps of its thread, which call no function
    /// of libc: it may still drop its record, notify its observer and exit.
    unsafe fn restore_stack(_slot: SlotRef<Self::Tcb>) {}

    /// The calling thread's record; null if it has none yet. Any thread of the process may ask.
    fn current() -> RecordPtr;

    /// Sets what [`Runtime::current`] returns. The reference that `record` stands for goes with it.
    ///
    /// # Safety
    /// `record` is null, or came from [`ThreadRef::into_raw`](super::record::ThreadRef::into_raw) and
    /// its reference is not taken back while it is set.
    unsafe fn set_current(record: RecordPtr);
}

/// The arguments of clone that a slot decides.
#[derive(Debug, Default)]
pub(crate) struct CloneTls {
    /// The thread pointer.
    pub(crate) tls: usize,
    /// Where the kernel stores the new tid before the thread runs.
    pub(crate) parent_tid: usize,
    /// The highest address the thread's frames may use, aligned to 16.
    pub(crate) stack_top: usize,
}

/// What a thread that libc makes calls.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "hosted"),
    allow(dead_code, reason = "only a libc makes threads")
)]
pub(crate) struct LibcThread {
    /// Runs the closure.
    pub(crate) main: unsafe fn(*mut u8),
    /// Ends the thread for its handle, when its destructors have run. The slot may be given away in it;
    /// the runtime clears the slot's word afterwards.
    pub(crate) end: unsafe fn(*mut u8),
    pub(crate) argument: *mut u8,
}
