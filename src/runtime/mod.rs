//! IDENTITY: what makes a kernel thread a thread to the code that runs on it.
//!
//! A *runtime* gives each slot an identity (thread control block, static TLS, thread pointer) and
//! knows what a thread must do with it at its start and end. There are two, chosen once, here; the
//! rooms above see only the `Runtime` trait.
#![allow(unsafe_code, reason = "states contracts that its runtimes rely on")]

#[cfg(not(feature = "hosted"))]
pub(crate) mod freestanding;
#[cfg(feature = "hosted")]
pub(crate) mod hosted;
pub(crate) mod locals;
pub(crate) mod record;
pub(crate) mod rooms;
#[cfg(any(feature = "hosted", all(test, loom)))]
pub(crate) mod setxid;

#[cfg(not(feature = "hosted"))]
pub use freestanding::adopt_main;

use crate::error::Error;
use crate::stack::slot::{Cache, Held};
use crate::stack::table::Cell;
use crate::sys::Errno;
use crate::sys::arch::ChildEntry;

/// The runtime of this build.
#[cfg(feature = "hosted")]
pub(crate) type Current = hosted::Hosted;
#[cfg(not(feature = "hosted"))]
/// The runtime of this build.
pub(crate) type Current = freestanding::Freestanding;

/// What this build's runtime keeps on each slot.
pub(crate) type Identity = <Current as Runtime>::Identity;

/// A slot of this build's runtime.
pub(crate) type Slot = Held<Identity>;

/// What a runtime can do. Functions without `self`: there is one runtime a process.
///
/// The life of an identity: `mint` once; then any number of rounds of `prepare` (spawner), clone,
/// `begin`, `run_destructors`, `leave` (the new thread), or `prepare`, `abandon` if clone fails.
/// Or it begins with `launch`: then the first thread comes with the identity, and only
/// `run_destructors` and `leave` are its to call.
pub(crate) trait Runtime {
    /// What it keeps on each slot.
    type Identity: Cell;

    /// All slots.
    fn cache() -> &'static Cache<Self::Identity>;

    /// Whether threads can be made here; does whatever must happen once before the first, and
    /// again in a forked child.
    ///
    /// # Errors
    /// `Unsupported`, with the reason.
    fn ready() -> Result<(), Error>;

    /// Bytes at the top of a slot's stack that identities take, and some to spare.
    fn headroom() -> usize;

    /// Gives a blank slot its identity. On failure the slot is as before.
    ///
    /// # Errors
    /// A limit was reached, or the host cannot be served.
    ///
    /// # Safety
    /// The slot is the caller's alone, with guards and without identity.
    unsafe fn mint(slot: Slot) -> Result<(), Error>;

    /// Takes a slot's identity away; false, and nothing changed, where that cannot be done now.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has an identity.
    unsafe fn retire(slot: Slot) -> bool;

    /// Bytes at the end of every slot's stack that identities leave to the packet of a launch.
    const LAUNCH_ROOM: Option<usize> = None;

    /// Whether [`Runtime::launch`] works here; constant once [`Runtime::ready`] has said yes.
    fn can_launch() -> bool {
        false
    }

    /// Makes a thread on a blank slot that calls `entry(argument)`, and with it the identity:
    /// one kernel thread where `mint` and clone make two. Returns its tid, or 0 if it has already
    /// left. On failure the slot is as before.
    ///
    /// # Errors
    /// The kernel's for clone.
    ///
    /// # Safety
    /// The slot is the caller's alone, with guards, without identity, its `clear_tid` occupied;
    /// `can_launch()`. `entry` must be sound to call on the new thread.
    unsafe fn launch(slot: Slot, entry: ChildEntry, argument: *mut u8) -> Result<i32, Errno> {
        let _ = (slot, entry, argument);
        Err(Errno::ENOSYS)
    }

    /// Before clone, in the spawner: returns what clone needs.
    ///
    /// # Safety
    /// The slot is the caller's alone, vacant, and has an identity.
    unsafe fn prepare(slot: Slot) -> Words;

    /// After a failed clone, in the spawner: undoes `prepare`.
    ///
    /// # Safety
    /// As `prepare`, which must have been called.
    unsafe fn abandon(slot: Slot);

    /// First thing in the new thread.
    ///
    /// # Safety
    /// The calling thread was cloned onto this slot with `prepare`'s words.
    unsafe fn begin(slot: Slot);

    /// Runs the destructors of all thread-locals. User code may run in it.
    ///
    /// # Safety
    /// As `begin`; the thread's closure has ended.
    unsafe fn run_destructors(slot: Slot);

    /// Makes the identity fit for its next thread. After it no code but this crate's last few
    /// instructions may run on the thread.
    ///
    /// # Safety
    /// As `begin`; the destructors have run.
    unsafe fn leave(slot: Slot);

    /// As `leave`, for a thread that goes on with another task: it keeps its tid. False if only the
    /// thread's end settles what the last task left.
    ///
    /// # Safety
    /// As `leave`.
    unsafe fn renew(slot: Slot) -> bool;

    /// How often this process noticed that it was forked: tells apart what a parent left.
    fn epoch() -> u32;

    /// The calling thread's tid, without a system call: its TCB has it.
    fn tid() -> i32;

    /// Lowest address and end of the calling thread's stack, if this crate did not make it; zeroes
    /// where that is not known.
    fn foreign_stack() -> (usize, usize);

    /// The calling thread's record; null if it has none yet. Any thread of the process may ask.
    fn current() -> *mut ();

    /// Sets what [`Runtime::current`] returns.
    fn set_current(record: *mut ());
}

/// What clone must be told for a slot.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The thread pointer.
    pub(crate) tls: usize,
    /// Where the kernel stores the new tid before the thread runs.
    pub(crate) parent_tid: usize,
    /// The highest address the thread's frames may use, aligned to 16.
    pub(crate) stack_top: usize,
}
