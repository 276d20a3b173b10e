//! Closure and result of a thread, in the slot's own memory.
#![allow(unsafe_code, reason = "moves closure and result through raw memory")]

use core::mem::{ManuallyDrop, MaybeUninit};

use super::setup::StartupHandshake;
use crate::runtime::Slot;
use crate::runtime::record::{RecordPtr, ThreadInner};
use crate::sys::signal::SigSet;
use crate::thread::join::exit_observer::ExitObserver;

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
pub(in crate::thread) struct PacketHeader {
    /// The slot that the thread stands on; `None` for a task until a thread has it.
    pub(in crate::thread) slot: Option<Slot>,
    /// The thread's own reference to its record, by address.
    pub(in crate::thread) record: RecordPtr,
    pub(in crate::thread) vtable: &'static PacketVTable,
    /// Gives the packet's memory back: what the last of thread and handle does.
    pub(in crate::thread) release: unsafe fn(*mut PacketHeader),
    /// Of a task: the packet of the kernel thread that runs it; null for a thread.
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) thread: *mut PacketHeader,
    /// What to do and report before the closure; null if there is nothing.
    pub(in crate::thread) setup: *const StartupHandshake<'static>,
    /// The signal mask to begin with, if not the spawner's.
    pub(in crate::thread) mask: Option<SigSet>,
    /// The kernel's comm, if the thread has a name.
    pub(in crate::thread) comm: Option<[u8; 16]>,
    /// Whom the thread tells of its end.
    pub(in crate::thread) observer: ExitObserver,
}

/// What is left of a packet's types where they are forgotten.
pub(in crate::thread) struct PacketVTable {
    pub(in crate::thread) size: usize,
    pub(in crate::thread) align: usize,
    /// Runs the closure and leaves the result in the body; whether it is a panic.
    pub(in crate::thread) run: unsafe fn(*mut PacketHeader) -> bool,
    /// Drops the result.
    pub(in crate::thread) drop_result: unsafe fn(*mut PacketHeader),
    /// Leaves in the body that the closure panicked.
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) set_panicked: unsafe fn(*mut PacketHeader),
}

/// The slot of a packet whose thread is known.
///
/// # Safety
/// `head` is a packet's, and it names its slot.
pub(in crate::thread) unsafe fn slot_of(head: *const PacketHeader) -> Slot {
    // SAFETY: as the contract says.
    match unsafe { (*head).slot } {
        Some(slot) => slot,
        None => unreachable!("a packet names its slot once a thread has it"),
    }
}

/// How a thread begins.
pub(in crate::thread) struct Start {
    pub(in crate::thread) release: unsafe fn(*mut PacketHeader),
    pub(in crate::thread) setup: *const StartupHandshake<'static>,
    pub(in crate::thread) mask: Option<SigSet>,
    pub(in crate::thread) comm: Option<[u8; 16]>,
    pub(in crate::thread) observer: ExitObserver,
}

impl PacketHeader {
    pub(in crate::thread) fn new(
        slot: Option<Slot>,
        record: RecordPtr,
        vtable: &'static PacketVTable,
        start: Start,
    ) -> Self {
        Self {
            slot,
            record,
            vtable,
            release: start.release,
            #[cfg(feature = "panic-thread")]
            thread: core::ptr::null_mut(),
            setup: start.setup,
            mask: start.mask,
            comm: start.comm,
            observer: start.observer,
        }
    }
}

/// Header, and below it in time first the closure, then the result.
#[repr(C)]
pub(in crate::thread) struct Packet<F, T> {
    pub(in crate::thread) head: PacketHeader,
    body: Body<F, T>,
}

union Body<F, T> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<MaybeUninit<Result<T>>>,
}

impl<F: FnOnce() -> T, T> Packet<F, T> {
    pub(in crate::thread) const VTABLE: &'static PacketVTable = &PacketVTable {
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        run: run::<F, T>,
        drop_result: drop_result::<F, T>,
        #[cfg(feature = "panic-thread")]
        set_panicked: set_panicked::<F, T>,
    };

    /// A packet for `closure`.
    pub(in crate::thread) fn new(
        slot: Option<Slot>,
        record: RecordPtr,
        start: Start,
        closure: F,
    ) -> Self {
        Self {
            head: PacketHeader::new(slot, record, Self::VTABLE, start),
            body: Body {
                closure: ManuallyDrop::new(closure),
            },
        }
    }

    /// Takes the closure back out of a packet that no thread ever saw.
    pub(in crate::thread) fn into_closure(mut self) -> F {
        // SAFETY: `new` put the closure in, and the packet ends here.
        unsafe { Self::take_closure(&raw mut self) }
    }

    /// Completes a packet whose head is there.
    ///
    /// # Safety
    /// `packet` is memory for one, which the caller alone uses.
    pub(in crate::thread) unsafe fn write_closure(packet: *mut Self, closure: F) {
        // SAFETY: as the contract says; nothing that would need to be dropped is there.
        unsafe { (*packet).body.closure = ManuallyDrop::new(closure) };
    }

    /// Takes the closure out.
    ///
    /// # Safety
    /// `packet` was completed, and its closure was not taken yet.
    pub(in crate::thread) unsafe fn take_closure(packet: *mut Self) -> F {
        // SAFETY: as the contract says.
        ManuallyDrop::into_inner(unsafe { (&raw const (*packet).body.closure).read() })
    }

    /// Where the result will be.
    pub(in crate::thread) fn result(packet: *mut Self) -> *mut Result<T> {
        // SAFETY: only an address is computed; the packet is valid memory. `ManuallyDrop` and
        // `MaybeUninit` have their content's layout.
        unsafe { (&raw mut (*packet).body.result).cast() }
    }
}

/// # Safety
/// `head` is the head of a `Packet<F, T>` that holds its closure.
unsafe fn run<F: FnOnce() -> T, T>(head: *mut PacketHeader) -> bool {
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
unsafe fn drop_result<F: FnOnce() -> T, T>(head: *mut PacketHeader) {
    // SAFETY: as the contract says.
    unsafe { Packet::<F, T>::result(head.cast()).drop_in_place() };
}

/// # Safety
/// `head` is the head of a `Packet<F, T>` whose closure was moved out.
#[cfg(feature = "panic-thread")]
unsafe fn set_panicked<F: FnOnce() -> T, T>(head: *mut PacketHeader) {
    // SAFETY: the place is the packet's; nothing needs to be dropped there.
    unsafe { Packet::<F, T>::result(head.cast()).write(Err(Panicked)) };
}

#[cfg(feature = "std")]
pub(in crate::thread) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    // The closure is consumed and what it shares was shared by its author: as std's spawn.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        __rust_begin_short_backtrace(closure)
    }))
}

/// Runs `closure`. std ends the backtrace of a panic message at a function of this name, so that
/// frames of the runtime are not shown.
#[cfg(feature = "std")]
#[inline(never)]
pub(crate) fn __rust_begin_short_backtrace<T>(closure: impl FnOnce() -> T) -> T {
    let result = closure();
    // A tail call would leave no frame.
    core::hint::black_box(());
    result
}

/// Without std there is no unwinding to catch: a panic that returns to nobody ends the process.
#[cfg(not(feature = "std"))]
pub(in crate::thread) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    Ok(closure())
}

/// The record of a packet. By address, and no reference to the whole head is made: another thread
/// may write one of its fields meanwhile (`slot` of a task, `release` of a launch).
///
/// # Safety
/// `head` is a packet's, which is there; the packet's reference to its record is not given up while
/// the result is used.
pub(in crate::thread) unsafe fn record_of<'a>(head: *const PacketHeader) -> &'a ThreadInner {
    // SAFETY: the packet holds a reference to its record, which is permanent memory.
    unsafe { &*(*head).record }
}
