//! Closure and result of a thread, in the slot's own memory.
#![allow(unsafe_code, reason = "moves closure and result through raw memory")]

use core::mem::{ManuallyDrop, MaybeUninit};

use super::setup::Setup;
use super::watch::Watch;
use crate::runtime::Slot;
use crate::runtime::record::ThreadInner;
use crate::sys::signal::SigSet;

/// What a thread's closure left: its value, or the payload of the panic that ended it.
///
/// With std this is `std::thread::Result`.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result.unwrap(), 7);
/// ```
#[cfg(feature = "std")]
pub type Result<T> = std::thread::Result<T>;

/// What a thread's closure left: its value, or the fact that it panicked.
///
/// ```
/// let result: rawthread::Result<i32> = rawthread::spawn(|| 7).join();
/// assert_eq!(result, Ok(7));
/// ```
#[cfg(not(feature = "std"))]
pub type Result<T> = core::result::Result<T, Panicked>;

/// The thread's closure panicked. Without the feature `std`; with it, the payload is there.
///
/// ```
/// fn value_or(result: rawthread::Result<i32>, instead: i32) -> i32 {
///     match result {
///         Ok(value) => value,
///         Err(rawthread::Panicked { .. }) => instead,
///     }
/// }
/// assert_eq!(value_or(Ok(7), 0), 7);
/// ```
#[cfg(not(feature = "std"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panicked;

/// The part of a packet that does not depend on the closure's type.
#[repr(C)]
pub(super) struct Head {
    /// The slot that the thread stands on; `None` for a task until a thread has it.
    pub(super) slot: Option<Slot>,
    /// The thread's own reference to its record, by address.
    pub(super) record: *mut (),
    pub(super) kind: &'static Kind,
    /// Gives the packet's memory back: what the last of thread and handle does.
    pub(super) release: unsafe fn(*mut Head),
    /// Of a task: the packet of the kernel thread that runs it; null for a thread.
    #[cfg(feature = "panic-thread")]
    pub(super) thread: *mut Head,
    /// What to do and report before the closure; null if there is nothing.
    pub(super) setup: *const Setup<'static>,
    /// The signal mask to begin with, if not the spawner's.
    pub(super) mask: Option<SigSet>,
    /// The kernel's comm, if the thread has a name.
    pub(super) comm: Option<[u8; 16]>,
    /// Whom the thread tells of its end.
    pub(super) watch: Watch,
}

/// What is left of a packet's types where they are forgotten.
pub(super) struct Kind {
    pub(super) size: usize,
    pub(super) align: usize,
    /// Runs the closure and leaves the result in the body; whether it is a panic.
    pub(super) run: unsafe fn(*mut Head) -> bool,
    /// Drops the result.
    pub(super) drop_result: unsafe fn(*mut Head),
    /// Leaves in the body that the closure panicked.
    #[cfg(feature = "panic-thread")]
    pub(super) fail: unsafe fn(*mut Head),
}

/// The slot of a packet whose thread is known.
///
/// # Safety
/// `head` is a packet's, and it names its slot.
pub(super) unsafe fn slot_of(head: *const Head) -> Slot {
    // SAFETY: as the contract says.
    match unsafe { (*head).slot } {
        Some(slot) => slot,
        None => unreachable!("a packet names its slot once a thread has it"),
    }
}

/// How a thread begins.
pub(super) struct Start {
    pub(super) release: unsafe fn(*mut Head),
    pub(super) setup: *const Setup<'static>,
    pub(super) mask: Option<SigSet>,
    pub(super) comm: Option<[u8; 16]>,
    pub(super) watch: Watch,
}

impl Head {
    pub(super) fn new(
        slot: Option<Slot>,
        record: *mut (),
        kind: &'static Kind,
        start: Start,
    ) -> Self {
        Self {
            slot,
            record,
            kind,
            release: start.release,
            #[cfg(feature = "panic-thread")]
            thread: core::ptr::null_mut(),
            setup: start.setup,
            mask: start.mask,
            comm: start.comm,
            watch: start.watch,
        }
    }
}

/// Head, and below it in time first the closure, then the result.
#[repr(C)]
pub(super) struct Packet<F, T> {
    pub(super) head: Head,
    body: Body<F, T>,
}

union Body<F, T> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<MaybeUninit<Result<T>>>,
}

impl<F: FnOnce() -> T, T> Packet<F, T> {
    pub(super) const KIND: &'static Kind = &Kind {
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        run: run::<F, T>,
        drop_result: drop_result::<F, T>,
        #[cfg(feature = "panic-thread")]
        fail: fail::<F, T>,
    };

    /// A packet for `closure`.
    pub(super) fn new(slot: Option<Slot>, record: *mut (), start: Start, closure: F) -> Self {
        Self {
            head: Head::new(slot, record, Self::KIND, start),
            body: Body {
                closure: ManuallyDrop::new(closure),
            },
        }
    }

    /// Takes the closure back out of a packet that no thread ever saw.
    pub(super) fn into_closure(mut self) -> F {
        // SAFETY: `new` put the closure in, and the packet ends here.
        unsafe { Self::take_closure(&raw mut self) }
    }

    /// Completes a packet whose head is there.
    ///
    /// # Safety
    /// `packet` is memory for one, which the caller alone uses.
    pub(super) unsafe fn put_closure(packet: *mut Self, closure: F) {
        // SAFETY: as the contract says; nothing that would need to be dropped is there.
        unsafe { (*packet).body.closure = ManuallyDrop::new(closure) };
    }

    /// Takes the closure out.
    ///
    /// # Safety
    /// `packet` was completed, and its closure was not taken yet.
    pub(super) unsafe fn take_closure(packet: *mut Self) -> F {
        // SAFETY: as the contract says.
        ManuallyDrop::into_inner(unsafe { (&raw const (*packet).body.closure).read() })
    }

    /// Where the result will be.
    pub(super) fn result(packet: *mut Self) -> *mut Result<T> {
        // SAFETY: only an address is computed; the packet is valid memory. `ManuallyDrop` and
        // `MaybeUninit` have their content's layout.
        unsafe { (&raw mut (*packet).body.result).cast() }
    }
}

/// # Safety
/// `head` is the head of a `Packet<F, T>` that holds its closure.
unsafe fn run<F: FnOnce() -> T, T>(head: *mut Head) -> bool {
    let packet = head.cast::<Packet<F, T>>();
    // SAFETY: by the contract the closure is there; it is moved out once.
    let closure = unsafe { Packet::take_closure(packet) };
    let result = catch(closure);
    let panicked = result.is_err();
    // SAFETY: the place is the packet's; nothing needs to be dropped there.
    unsafe { Packet::<F, T>::result(packet).write(result) };
    panicked
}

/// # Safety
/// `head` is the head of a `Packet<F, T>` that holds its result, which nobody uses any more.
unsafe fn drop_result<F: FnOnce() -> T, T>(head: *mut Head) {
    // SAFETY: as the contract says.
    unsafe { Packet::<F, T>::result(head.cast()).drop_in_place() };
}

/// # Safety
/// `head` is the head of a `Packet<F, T>` whose closure was moved out.
#[cfg(feature = "panic-thread")]
unsafe fn fail<F: FnOnce() -> T, T>(head: *mut Head) {
    // SAFETY: the place is the packet's; nothing needs to be dropped there.
    unsafe { Packet::<F, T>::result(head.cast()).write(Err(Panicked)) };
}

#[cfg(feature = "std")]
pub(super) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    // The closure is consumed and what it shares was shared by its author: as std's spawn.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure))
}

/// Without std there is no unwinding to catch: a panic that returns to nobody ends the process.
#[cfg(not(feature = "std"))]
pub(super) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    Ok(closure())
}

/// For the `Thread` of a packet's record.
pub(super) fn record_of(head: &Head) -> &ThreadInner {
    // SAFETY: the packet holds a reference to its record, which is permanent memory.
    unsafe { &*head.record.cast::<crate::arena::ArenaEntry<ThreadInner>>() }
}
