//! RUNTIME: what makes a kernel thread a thread to the code that runs on it.
//!
//! A *runtime* gives each slot a TCB (thread control block, static TLS, thread pointer) and
//! knows what a thread must do with it at its start and end. There are two, chosen once, here; the
//! rooms above see only the `Runtime` trait.
#![allow(unsafe_code, reason = "states contracts that its runtimes rely on")]

#[cfg(not(feature = "hosted"))]
pub(crate) mod freestanding;
#[cfg(feature = "hosted")]
pub(crate) mod hosted;
pub(crate) mod record;
#[cfg(any(feature = "hosted", all(test, loom)))]
pub(crate) mod setxid;
pub(crate) mod tls_values;

#[cfg(not(feature = "hosted"))]
pub use freestanding::init_main_thread;

use crate::arena::Zeroable;
use crate::error::Error;
use crate::stack::slot::{Acquired, Cache, SlotRef};
use crate::sys::Errno;
use crate::sys::arch::ChildEntry;

/// The runtime of this build.
#[cfg(feature = "hosted")]
pub(crate) type Rt = hosted::Hosted;
#[cfg(not(feature = "hosted"))]
/// The runtime of this build.
pub(crate) type Rt = freestanding::Freestanding;

/// What this build's runtime keeps on each slot.
pub(crate) type Tcb = <Rt as Runtime>::Tcb;

/// A slot of this build's runtime.
pub(crate) type Slot = SlotRef<Tcb>;

/// A vacant slot with at least these sizes; see [`Cache::take`]. Where memory, address space or map
/// entries are short, idle slots of all sizes are unmapped, and it is tried once more.
///
/// # Errors
/// As [`Cache::take`].
pub(crate) fn take_slot(stack: usize, guard: usize) -> Result<Acquired<Tcb>, Errno> {
    let mut released = false;
    loop {
        let slot = match Rt::cache().acquire(stack, guard) {
            Ok(Acquired::WithTcb(slot)) => slot,
            Ok(blank) => return Ok(blank),
            // EAGAIN: the limit on locked memory.
            Err(errno @ (Errno::ENOMEM | Errno::EAGAIN)) if !released => {
                released = true;
                if !Rt::cache().trim(Rt::destroy_tcb) {
                    return Err(errno);
                }
                continue;
            }
            Err(errno) => return Err(errno),
        };
        // SAFETY: the slot was just taken.
        unsafe {
            if !Rt::must_retire(slot) {
                return Ok(Acquired::WithTcb(slot));
            }
            // Its guards stay where they are. One that cannot be retired (no
            // CONFIG_CHECKPOINT_RESTORE) is not used again, nor is its memory.
            if Rt::destroy_tcb(slot) {
                return Ok(Acquired::Uninit(slot));
            }
        }
    }
}

/// What a runtime can do. Functions without `self`: there is one runtime a process.
///
/// The life of a TCB: `create_tcb` once; then any number of rounds of `prepare_clone` (spawner),
/// clone, `on_thread_start`, `run_destructors`, `on_thread_exit` (the new thread), or
/// `prepare_clone`, `cancel_clone` if clone fails. Or it begins with `create_and_run`: then the
/// first thread comes with the TCB, and only `run_destructors` and `on_thread_exit` are its to call.
pub(crate) trait Runtime {
    /// What it keeps on each slot.
    type Tcb: Zeroable;

    /// All slots.
    fn cache() -> &'static Cache<Self::Tcb>;

    /// Whether threads can be made here; does whatever must happen once before the first, and
    /// again in a forked child.
    ///
    /// # Errors
    /// `Unsupported`, with the reason.
    fn ensure_init() -> Result<(), Error>;

    /// Bytes at the top of a slot's stack that TCBs take, and some to spare.
    fn tcb_reserve() -> usize;

    /// Gives an uninitialised slot its TCB. On failure the slot is as before.
    ///
    /// # Errors
    /// A limit was reached, or the host cannot be served.
    ///
    /// # Safety
    /// The slot is the caller's alone, with guards and without TCB.
    unsafe fn create_tcb(slot: Slot) -> Result<(), Error>;

    /// Takes a slot's TCB away; false, and nothing changed, where that cannot be done now.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn destroy_tcb(slot: Slot) -> bool;

    /// Gives a slot that a thread has used back to the cache. Where a runtime bounds what idle slots
    /// keep resident, it does so here.
    fn put_used(slot: SlotRef<Self::Tcb>) {
        Self::cache().release(slot);
    }

    /// Whether no thread may run on the TCB any more, which is then to be retired.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn must_retire(slot: Slot) -> bool {
        let _ = slot;
        false
    }

    /// Bytes at the end of every slot's stack that TCBs leave to the packet of a launch.
    const INLINE_PACKET_MAX: Option<usize> = None;

    /// Whether [`Runtime::create_and_run`] works here; once it does not, it never will again.
    fn can_create_and_run() -> bool {
        false
    }

    /// Whether the slot of a launched thread must never be used again: the kernel will not say
    /// when the thread has left it. `on_thread_exit` clears the slot's word in its place, while the
    /// thread still stands on the slot.
    fn is_lost(slot: Slot) -> bool {
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
    /// The slot is the caller's alone, with guards, without TCB, its `clear_tid` occupied;
    /// `can_create_and_run()`. `entry` must be sound to call on the new thread.
    unsafe fn create_and_run(
        slot: Slot,
        entry: ChildEntry,
        argument: *mut u8,
    ) -> Result<i32, Errno> {
        let _ = (slot, entry, argument);
        Err(Errno::ENOSYS)
    }

    /// Before clone, in the spawner: returns what clone needs.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has a TCB.
    unsafe fn prepare_clone(slot: Slot) -> CloneTls;

    /// After a failed clone, in the spawner: undoes `prepare_clone`.
    ///
    /// # Safety
    /// As `prepare_clone`, which must have been called.
    unsafe fn cancel_clone(slot: Slot);

    /// First thing in the new thread.
    ///
    /// # Safety
    /// The calling thread was cloned onto this slot with `prepare_clone`'s words.
    unsafe fn on_thread_start(slot: Slot);

    /// Runs the destructors of all thread-locals. User code may run in it.
    ///
    /// # Safety
    /// As `on_thread_start`; the thread's closure has ended.
    unsafe fn run_destructors(slot: Slot);

    /// Ends the process in libc's way if the calling thread is its last and libc would not see that.
    /// `end_idle` tells threads to end that only wait for work.
    ///
    /// # Safety
    /// As `on_thread_start`; the destructors have run.
    unsafe fn exit_if_last(_slot: Slot, _end_idle: fn()) {}

    /// Makes the TCB fit for its next thread. After it no code but this crate's last few
    /// instructions may run on the thread.
    ///
    /// # Safety
    /// As `on_thread_start`; the destructors have run.
    unsafe fn on_thread_exit(slot: Slot);

    /// As `on_thread_exit`, for a thread that goes on with another task: it keeps its tid. False if
    /// only the thread's end settles what the last task left.
    ///
    /// # Safety
    /// As `on_thread_exit`.
    unsafe fn reset_for_reuse(slot: Slot) -> bool;

    /// How often this process noticed that it was forked: tells apart what a parent left.
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

    /// Finds out whether a thread can be told to stand on memory of the caller's own.
    ///
    /// # Safety
    /// The slot is the calling thread's, which stands on it.
    unsafe fn learn_to_set_stack(_slot: Slot) {}

    /// Says that the slot's next thread will have its frames in `low..end`.
    ///
    /// # Safety
    /// As `prepare_clone`, before or after it; [`Runtime::can_set_stack`] has said yes.
    unsafe fn set_stack(_slot: Slot, _low: usize, _end: usize) {}

    /// Undoes `set_stack`, if that was called.
    ///
    /// # Safety
    /// The slot is the caller's alone, but for its thread's last step, the exit.
    unsafe fn restore_stack(_slot: Slot) {}

    /// The calling thread's record; null if it has none yet. Any thread of the process may ask.
    fn current() -> *mut ();

    /// Sets what [`Runtime::current`] returns.
    fn set_current(record: *mut ());
}

/// What clone must be told for a slot.
#[derive(Debug, Default)]
pub(crate) struct CloneTls {
    /// The thread pointer.
    pub(crate) tls: usize,
    /// Where the kernel stores the new tid before the thread runs.
    pub(crate) parent_tid: usize,
    /// The highest address the thread's frames may use, aligned to 16.
    pub(crate) stack_top: usize,
}
