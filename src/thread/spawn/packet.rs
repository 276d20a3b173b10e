//! Closure and result of a thread, in the slot's own memory or, for a task, in the pool's
//! (`pool::packet_alloc`).
//!
//! A packet is written before the thread or worker that runs it can see it. From then on the
//! thread and its handle share it, each by its address: of the header only the atomics change, and
//! the body, first the closure and then the result, is used by one of them at a time, as
//! `runtime::state` decides.
#![allow(unsafe_code, reason = "moves closure and result through raw memory")]

use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::setup::StartupHandshake;
use super::unwind;
use crate::arena::ArenaEntry;
use crate::runtime::record::ThreadRef;
use crate::runtime::{Rt, Runtime, Slot, Tcb};
use crate::stack::slot;
use crate::sys::futex::Deadline;
use crate::sys::signal::SigSet;
use crate::thread::join::exit_observer::ExitObserver;
#[cfg(feature = "panic-thread")]
use crate::thread::join::result::Panicked;
use crate::thread::join::result::Result;

/// The part of a packet that does not depend on the closure's type.
///
/// Invariants:
/// * PACKET-1: The memory of a packet stays until the last user of thread and handle releases it,
///   as `runtime::state` decides.
/// * PACKET-2: `record` holds the thread's own reference, which [`PacketHeader::take_record`]
///   gives up once.
/// * PACKET-3: While a startup handshake is named here, the spawner waits for its report.
#[repr(C)]
pub(in crate::thread) struct PacketHeader {
    /// The slot on whose stack the thread runs; null for a task until its spawner knows the
    /// worker. Relaxed: the spawner stores it before the handle exists, and a worker does not read
    /// the slot of a task.
    slot: AtomicPtr<ArenaEntry<slot::Slot<Tcb>>>,
    record: ManuallyDrop<ThreadRef>,
    /// By the types of closure and result.
    pub(in crate::thread) vtable: &'static PacketVTable,
    /// By the kind of kernel thread: a `&'static PacketOps`. Relaxed: a thread changes it only to
    /// one with the same `wait`, and before it is done, which orders the `release`.
    ops: AtomicPtr<PacketOps>,
    worker: WorkerLink,
    /// The process of the spawner, as [`Runtime::fork_generation`] counts.
    pub(in crate::thread) process: u32,
    /// What to do and report before the closure.
    pub(in crate::thread) startup: Option<NonNull<StartupHandshake<'static>>>,
    /// The signal mask to begin with, if not the spawner's.
    pub(in crate::thread) mask: Option<SigSet>,
    /// The kernel's comm, if the thread has a name.
    pub(in crate::thread) comm: Option<[u8; 16]>,
    /// What the thread notifies of its end.
    pub(in crate::thread) observer: ExitObserver,
}

/// What depends on the types of closure and result.
pub(in crate::thread) struct PacketVTable {
    pub(in crate::thread) size: usize,
    pub(in crate::thread) align: usize,
    /// Runs the closure and leaves the result in the body; whether it is a panic.
    pub(in crate::thread) run: unsafe fn(NonNull<PacketHeader>) -> bool,
    /// Drops the result.
    pub(in crate::thread) drop_result: unsafe fn(NonNull<PacketHeader>),
    /// Leaves in the body that the closure panicked.
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) set_panicked: unsafe fn(NonNull<PacketHeader>),
}

/// What depends on the kernel thread that runs the closure: one of its own, or a worker of the
/// pool.
pub(in crate::thread) struct PacketOps {
    /// Blocks until the thread is done with the packet; false if the deadline came first.
    ///
    /// Safety: the caller is the handle, which is not detached; one call at a time.
    pub(in crate::thread) wait: unsafe fn(&PacketHeader, Option<Deadline>) -> bool,
    /// Frees the packet's memory: what the last of thread and handle does.
    pub(in crate::thread) release: unsafe fn(NonNull<PacketHeader>),
    /// Whether the kernel thread may run other closures after this one. Its slot is then not the
    /// handle's to look at: once the task is done it may be another thread's.
    pub(in crate::thread) is_pooled: bool,
    /// Whether a join waits until the kernel has left the thread's stack, because that is not memory
    /// of the cache, which would wait for it.
    pub(in crate::thread) must_exit: bool,
}

impl PacketHeader {
    /// A header without settings; the thread's reference to its record goes into it.
    pub(in crate::thread) fn new(
        slot: Option<Slot>,
        record: ThreadRef,
        vtable: &'static PacketVTable,
        ops: &'static PacketOps,
    ) -> Self {
        Self {
            slot: AtomicPtr::new(
                slot.map_or(ptr::null_mut(), |slot| ptr::from_ref(slot).cast_mut()),
            ),
            record: ManuallyDrop::new(record),
            vtable,
            ops: AtomicPtr::new(ptr::from_ref(ops).cast_mut()),
            worker: WorkerLink::NONE,
            process: Rt::fork_generation(),
            startup: None,
            mask: None,
            comm: None,
            observer: ExitObserver::None,
        }
    }

    /// Returns the slot on whose stack the thread runs.
    pub(in crate::thread) fn slot(&self) -> Slot {
        // SAFETY: null, or the address of a slot, which is permanent memory.
        match unsafe { self.slot.load(Ordering::Relaxed).as_ref() } {
            Some(slot) => slot,
            None => unreachable!("a packet names its slot once a thread has it"),
        }
    }

    /// Spawner of a task: names the slot of the worker that has it.
    pub(in crate::thread) fn set_slot(&self, slot: Slot) {
        self.slot
            .store(ptr::from_ref(slot).cast_mut(), Ordering::Relaxed);
    }

    /// Returns the thread's record. Once the thread has given up its own reference, only a caller
    /// that has another may use it.
    pub(in crate::thread) fn record(&self) -> &ThreadRef {
        &self.record
    }

    /// Gives up the thread's own reference to its record.
    ///
    /// # Safety
    /// By PACKET-2: called once for a packet.
    pub(in crate::thread) unsafe fn take_record(&self) -> ThreadRef {
        // SAFETY: by the contract the reference is there and is moved out once.
        ManuallyDrop::into_inner(unsafe { ptr::from_ref(&self.record).read() })
    }

    pub(in crate::thread) fn ops(&self) -> &'static PacketOps {
        // SAFETY: `new` and `set_ops` store the addresses of statics only.
        unsafe { &*self.ops.load(Ordering::Relaxed) }
    }

    /// Thread: changes what becomes of the packet's memory; `wait` stays as it is.
    pub(in crate::thread) fn set_ops(&self, ops: &'static PacketOps) {
        self.ops
            .store(ptr::from_ref(ops).cast_mut(), Ordering::Relaxed);
    }

    /// Frees the packet's memory.
    ///
    /// # Safety
    /// The caller is the last of thread and handle (PACKET-1, SLOT-2), and does not use the packet
    /// again.
    pub(in crate::thread) unsafe fn release(head: NonNull<Self>) {
        // SAFETY: the header is there until this very call.
        let release = unsafe { head.as_ref() }.ops().release;
        // SAFETY: passed on.
        unsafe { release(head) };
    }

    /// Returns the packet of the worker that runs this task; `None` if this is a thread's packet.
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) fn worker(&self) -> Option<NonNull<PacketHeader>> {
        NonNull::new(self.worker.0.load(Ordering::Relaxed))
    }

    /// Worker: notes its own packet in the task's.
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) fn set_worker(&self, worker: Option<NonNull<PacketHeader>>) {
        self.worker.0.store(
            worker.map_or(ptr::null_mut(), NonNull::as_ptr),
            Ordering::Relaxed,
        );
    }
}

/// Of a task: the packet of the worker that runs it; null for a thread. Only the thread that runs
/// the closure uses it.
#[cfg(feature = "panic-thread")]
struct WorkerLink(AtomicPtr<PacketHeader>);

#[cfg(feature = "panic-thread")]
impl WorkerLink {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the initial value of a field"
    )]
    const NONE: Self = Self(AtomicPtr::new(ptr::null_mut()));
}

/// Only a panic that does not unwind asks for the worker.
#[cfg(not(feature = "panic-thread"))]
struct WorkerLink;

#[cfg(not(feature = "panic-thread"))]
impl WorkerLink {
    const NONE: Self = Self;
}

/// A header, and behind it first the closure, later the result.
#[repr(C)]
pub(in crate::thread) struct Packet<F, T> {
    head: PacketHeader,
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

    /// A packet for `closure`, whose header has this type's `VTABLE`.
    pub(in crate::thread) fn new(head: PacketHeader, closure: F) -> Self {
        Self {
            head,
            body: Body {
                closure: ManuallyDrop::new(closure),
            },
        }
    }

    /// Takes the closure back out of a packet that no thread ever saw, and drops the rest.
    pub(in crate::thread) fn into_closure(mut self) -> F {
        // SAFETY: `new` put reference and closure in, and the packet ends here.
        unsafe {
            drop(self.head.take_record());
            Self::take_closure(&raw mut self)
        }
    }

    /// Writes the closure of a packet whose header is written apart.
    ///
    /// # Safety
    /// `packet` is memory for one, which the caller alone uses.
    pub(in crate::thread) unsafe fn write_closure(packet: *mut Self, closure: F) {
        // SAFETY: as the contract says; nothing that would need to be dropped is there.
        unsafe { (&raw mut (*packet).body.closure).write(ManuallyDrop::new(closure)) };
    }

    /// Takes the closure out.
    ///
    /// # Safety
    /// The packet holds its closure, which was not taken yet.
    pub(in crate::thread) unsafe fn take_closure(packet: *mut Self) -> F {
        // SAFETY: as the contract says.
        ManuallyDrop::into_inner(unsafe { (&raw const (*packet).body.closure).read() })
    }

    /// Returns where the result will be.
    ///
    /// # Safety
    /// `packet` is memory for one.
    pub(in crate::thread) unsafe fn result(packet: *mut Self) -> *mut Result<T> {
        // SAFETY: only an address is computed, in memory that the contract says is there.
        // `ManuallyDrop` and `MaybeUninit` have their content's layout.
        unsafe { (&raw mut (*packet).body.result).cast() }
    }
}

/// # Safety
/// `head` is the header of a `Packet<F, T>` that holds its closure.
unsafe fn run<F: FnOnce() -> T, T>(head: NonNull<PacketHeader>) -> bool {
    let packet = head.as_ptr().cast::<Packet<F, T>>();
    // SAFETY: by the contract the closure is there; it is moved out once.
    let closure = unsafe { Packet::take_closure(packet) };
    let result = unwind::catch(closure);
    let panicked = result.is_err();
    // SAFETY: the memory is the packet's; nothing needs to be dropped there.
    unsafe { Packet::<F, T>::result(packet).write(result) };
    panicked
}

/// # Safety
/// `head` is the header of a `Packet<F, T>` that holds its result, which is not used any more.
unsafe fn drop_result<F: FnOnce() -> T, T>(head: NonNull<PacketHeader>) {
    // SAFETY: as the contract says.
    unsafe { Packet::<F, T>::result(head.as_ptr().cast()).drop_in_place() };
}

/// # Safety
/// `head` is the header of a `Packet<F, T>` whose closure was moved out.
#[cfg(feature = "panic-thread")]
unsafe fn set_panicked<F: FnOnce() -> T, T>(head: NonNull<PacketHeader>) {
    // SAFETY: the memory is the packet's; nothing needs to be dropped there.
    unsafe { Packet::<F, T>::result(head.as_ptr().cast()).write(Err(Panicked)) };
}
