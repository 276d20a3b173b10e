//! The workers of the pool: kernel threads that run one task after another.
#![allow(unsafe_code, reason = "hands packets to threads")]

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use crossbeam_utils::CachePadded;

use super::futex_handoff::FutexHandoff as PlatformHandoff;
use super::handoff::{Handoff, Message};
use super::packet_alloc;
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::error::Error;
use crate::runtime::record::ThreadRef;
use crate::runtime::state::ResultOwner;
use crate::runtime::{Name, Rt, Runtime, Slot, current, occupant};
use crate::sys::futex::Deadline;
use crate::sys::inherited::{self, InheritedAttrs};
use crate::sys::{arch, signal, task};
use crate::thread::builder::Builder;
use crate::thread::join::handle::JoinHandle;
use crate::thread::spawn::finish::finish_task;
use crate::thread::spawn::hooks::ChildHooks;
use crate::thread::spawn::last_thread;
use crate::thread::spawn::packet::{Packet, PacketHeader, PacketOps};
use crate::thread::spawn::prepare::may_be_unshared;
use crate::thread::spawn::raw_handle::RawHandle;
use crate::thread::spawn::running;
use crate::thread::spawn::unwind::AbortOnUnwind;

/// One worker that waits for a task.
///
/// Invariants:
/// * WORKER-1: An entry is on `FREE`, or on `IDLE_STACK`, or held by one spawner that popped it, or
///   by its own worker.
/// * WORKER-2: While an entry is on `IDLE_STACK` or popped from it, its plain fields are not written.
struct IdleWorker {
    /// The thread's slot, where its stack is.
    slot: AtomicPtr<()>,
    /// Lowest address and end of that stack: a spawner must not ask the slot, which may be another
    /// thread's once this worker has timed out. Relaxed, as the others.
    stack: [AtomicUsize; 2],
    tid: AtomicI32,
    /// What the worker inherited from its spawner, and still has.
    attrs: UnsafeCell<Option<InheritedAttrs>>,
    fork_generation: AtomicU32,
    /// The floating-point environment of the task's spawner, which stores it before it sends the
    /// task: Relaxed, for the handoff orders it.
    float: AtomicU64,
    /// Where it waits for a task.
    handoff: PlatformHandoff<PacketHeader>,
}

// SAFETY: plain fields follow WORKER-1 and WORKER-2.
unsafe impl Sync for IdleWorker {}
// SAFETY: zero bytes are null, `None` or zero-filled attributes that are not read before
// `wait_for_task` wrote them, and a handoff that is not in use.
unsafe impl Zeroable for IdleWorker {}

static WORKERS: Arena<IdleWorker> = Arena::new();

// Every spawn and every end of a task changes both heads, on any processor: each has a cache line
// of its own.
static FREE: CachePadded<FreeList> = CachePadded::new(FreeList::new());
static IDLE_STACK: CachePadded<FreeList> = CachePadded::new(FreeList::new());

/// How long an idle worker waits for a task, in nanoseconds.
static IDLE_TIME: AtomicU64 = AtomicU64::new(10_000_000_000);

/// Runs `f` on an idle worker if there is one, else on a new one, and returns its handle.
///
/// Dropping the handle detaches the task, as with [`crate::spawn`].
///
/// # Panics
/// Where a worker is needed and cannot be made, as [`crate::spawn`].
///
/// ```
/// for n in 0..100 {
///     assert_eq!(rawthread::warm::spawn(move || n * 2).join().unwrap(), n * 2);
/// }
/// ```
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match try_spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn thread: {error}"),
    }
}

/// Runs `f` as [`spawn`](fn@spawn) does, but returns an error where that panics.
///
/// # Errors
/// As [`Builder::try_spawn`].
///
/// ```
/// let handle = rawthread::warm::try_spawn(|| "warm")?;
/// assert_eq!(handle.join().unwrap(), "warm");
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn try_spawn<F, T>(f: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Rt::ensure_init()?;
    if Rt::is_served_by_libc() {
        // Only libc can put a thread's own things back, at the thread's end.
        return Builder::new().try_spawn(f);
    }
    let record = ThreadRef::new(Name::NONE)?;
    let hooks = ChildHooks::run(&record);
    spawn_task(record, hooks.before(f))
}

/// Runs `f` as a task that has this record.
fn spawn_task<F, T>(record: ThreadRef, f: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // The slot is named when it is known: it is not asked for before this function returns.
    let (vtable, ops) = (Packet::<F, T>::VTABLE, TaskOps::<F, T>::OPS);
    let mut header = PacketHeader::new(None, record.clone(), vtable, ops);
    header.mask = Some(signal::current_mask());
    header.comm = Some(task::name());
    let packet = packet_alloc::alloc(Packet::new(header, f))?;
    // SAFETY: a packet's address is not null.
    let head = unsafe { NonNull::new_unchecked(packet.cast::<PacketHeader>()) };
    let slot = match dispatch_to_idle(head) {
        Some(slot) => slot,
        // SAFETY: the packet is whole, and no thread knows it yet.
        None => match unsafe { dispatch_to_new(head) } {
            Ok(slot) => slot,
            Err(error) => {
                // SAFETY: no thread took it: closure and reference are still in the packet.
                let closure = unsafe {
                    let closure = packet.read().into_closure();
                    packet_alloc::dealloc(packet);
                    closure
                };
                drop(closure);
                return Err(error);
            }
        },
    };
    // SAFETY: by HANDLE-1 the packet stays until the handle is dropped, which does not exist yet.
    unsafe { head.as_ref() }.set_slot(slot);
    // SAFETY: an address inside the packet is not null.
    let result = unsafe { NonNull::new_unchecked(Packet::result(packet)) };
    Ok(JoinHandle::new(RawHandle {
        record,
        head,
        result,
    }))
}

/// Sets how long an idle worker waits for a task before it exits; 10 seconds unless set.
///
/// Workers that are idle already keep the time that was set when they became idle.
///
/// ```
/// rawthread::warm::set_idle_time(std::time::Duration::from_secs(1));
/// ```
pub fn set_idle_time(time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    IDLE_TIME.store(nanos, Ordering::Relaxed);
}

/// Has every idle worker exit.
pub(in crate::thread) fn shutdown_idle() {
    while let Some(idle) = IDLE_STACK.pop(&WORKERS) {
        if is_here(idle) {
            send(idle, Message::Exit);
        }
    }
}

/// The operations on a task's packet, by the types of its closure and result.
struct TaskOps<F, T>(PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> TaskOps<F, T> {
    const OPS: &'static PacketOps = &PacketOps {
        wait,
        release: release::<F, T>,
        is_pooled: true,
        must_exit: false,
    };
}

fn wait(head: &PacketHeader, deadline: Option<Deadline>) -> bool {
    // The handle has a reference to the record of its own.
    head.record().state().wait_task_done(deadline)
}

/// Frees a task's packet, whose closure or result was moved out or dropped already.
///
/// # Safety
/// As [`PacketHeader::release`]; the packet is a task's with these types.
unsafe fn release<F: FnOnce() -> T, T>(head: NonNull<PacketHeader>) {
    // SAFETY: `try_spawn` put exactly this type there; its parts are dropped elsewhere.
    unsafe { packet_alloc::dealloc(head.as_ptr().cast::<Packet<F, T>>()) };
}

/// Sends the task to the worker that became idle last and is as a new thread of the caller's would
/// be; `None` if there is none.
fn dispatch_to_idle(head: NonNull<PacketHeader>) -> Option<Slot> {
    if IDLE_STACK.is_empty() {
        return None;
    }
    // Idle workers have the process's directory and descriptors; a new one has its spawner's.
    if may_be_unshared() && !inherited::shares_fs_and_files() {
        return None;
    }
    let wanted = InheritedAttrs::current()?;
    while let Some(idle) = IDLE_STACK.pop(&WORKERS) {
        if !is_here(idle) {
            continue;
        }
        // SAFETY: WORKER-2.
        if unsafe { *idle.attrs.get() } != Some(wanted) {
            // Another spawner may want it, but this one would pop it again and again.
            send(idle, Message::Exit);
            continue;
        }
        let slot = idle.slot.load(Ordering::Relaxed);
        // SAFETY: the packet is the caller's until it is sent.
        let record = unsafe { head.as_ref() }.record();
        record.set_tid(idle.tid.load(Ordering::Relaxed));
        record.set_stack(
            idle.stack[0].load(Ordering::Relaxed),
            idle.stack[1].load(Ordering::Relaxed),
        );
        idle.float
            .store(arch::float_environment(), Ordering::Relaxed);
        if send(idle, Message::Run(head)) {
            // SAFETY: `wait_for_task` stored the address of a slot, which is permanent memory.
            return Some(unsafe { &*slot.cast() });
        }
    }
    None
}

/// Whether an idle worker is one of this process, and not of one that this was forked from: then
/// its entry is not touched again.
fn is_here(idle: &IdleWorker) -> bool {
    idle.fork_generation.load(Ordering::Relaxed) == Rt::fork_generation()
}

/// Sends a message to an idle worker; false if it has timed out and will not take it.
fn send(idle: &'static ArenaEntry<IdleWorker>, message: Message<PacketHeader>) -> bool {
    // HANDOFF-2: the caller popped it; after `false` the entry is the caller's to free.
    let taken = idle.handoff.send(message);
    if !taken {
        FREE.push(idle);
    }
    taken
}

/// Makes a worker that begins with this task.
///
/// # Safety
/// The packet is whole, and no thread knows it yet.
unsafe fn dispatch_to_new(head: NonNull<PacketHeader>) -> Result<Slot, Error> {
    /// The packet's address on its way to the worker.
    struct SendHead(NonNull<PacketHeader>);
    // SAFETY: the closure in the packet was required to be Send.
    unsafe impl Send for SendHead {}
    impl SendHead {
        fn into_inner(self) -> NonNull<PacketHeader> {
            self.0
        }
    }
    let first = SendHead(head);
    let worker = Builder::new()
        .no_hooks()
        .try_spawn(move || worker_main(first.into_inner()))?;
    // SAFETY: the packet stays, for the handle that would release it does not exist yet.
    let packet = unsafe { head.as_ref() };
    packet.record().set_tid(worker.tid());
    // The worker's handle keeps its slot until this function returns (HANDLE-1).
    let (low, top) = stack_of(worker.slot());
    packet.record().set_stack(low, top);
    Ok(worker.slot())
}

/// Runs a worker: its first task, then what it is sent.
fn worker_main(first: NonNull<PacketHeader>) {
    let own = current::current();
    // SAFETY: the type of the runtime's slots.
    let Some(slot) = (unsafe { occupant::slot_of(&own) }) else {
        unreachable!("a worker runs on a slot");
    };
    own.set_worker();
    last_thread::register(shutdown_idle);
    let thread = running::running();
    let initial = InheritedAttrs::current();
    let process = Rt::fork_generation();
    let mut task = first;
    loop {
        // SAFETY: the task was sent to this worker alone.
        let must_exit = unsafe { run_task(task, thread, slot) };
        occupant::set_occupant(slot, own.inner());
        // The only thread of a child that the task forked ends with the task, as one of spawn does.
        let fresh = !must_exit
            && Rt::fork_generation() == process
            && initial.is_some()
            && InheritedAttrs::current() == initial
            && inherited::shares_fs_and_files();
        match fresh.then(|| wait_for_task(slot, initial)).flatten() {
            Some(next) => task = next,
            None => {
                // The thread's own end needs its own record.
                // SAFETY: the thread's packet has that reference until `finish_thread`.
                unsafe { Rt::set_current(own.as_raw()) };
                return;
            }
        }
    }
}

/// Lowest address and end of a slot's stack. The slot is the caller's own, or held by a handle.
fn stack_of(slot: Slot) -> (usize, usize) {
    let (low, len) = slot.region().stack();
    (low as usize, low as usize + len)
}

/// Runs a task as a thread would, from mask to destructors; whether the worker must exit after it.
///
/// # Safety
/// `head` is a task's packet, sent to the calling worker, which runs on `slot` and whose own
/// packet is `thread`.
unsafe fn run_task(
    head: NonNull<PacketHeader>,
    thread: Option<NonNull<PacketHeader>>,
    slot: Slot,
) -> bool {
    // SAFETY: the packet is there until `finish_task`.
    let packet = unsafe { head.as_ref() };
    // SAFETY: the task's packet has that reference until `finish_task`, before which
    // `reset_for_reuse` sets it to null.
    unsafe { Rt::set_current(packet.record().as_raw()) };
    occupant::set_occupant(slot, packet.record().inner());
    // The spawner notes the same stack, perhaps later than this task asks.
    occupant::set_slot(packet.record(), slot);
    let (low, top) = stack_of(slot);
    packet.record().set_stack(low, top);
    if let Some(comm) = packet.comm.filter(|comm| *comm != task::name()) {
        task::set_name(&comm);
    }
    if let Some(mask) = packet.mask {
        signal::set_mask(mask);
    }
    let guard = AbortOnUnwind;
    // SAFETY: the steps of `entry::thread_main`, for a thread that stays.
    let fresh = unsafe {
        running::set_running_task(head, thread);
        (packet.vtable.run)(head);
        running::clear_running();
        match packet.record().state().set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => (packet.vtable.drop_result)(head),
        }
        Rt::run_destructors(slot);
        Rt::reset_for_reuse(slot)
    };
    mem::forget(guard);
    // SAFETY: the task is complete.
    unsafe { finish_task(head) || !fresh }
}

/// Offers the calling worker to spawners and sleeps; `None` if it is to exit.
fn wait_for_task(slot: Slot, attrs: Option<InheritedAttrs>) -> Option<NonNull<PacketHeader>> {
    let idle = FREE
        .pop(&WORKERS)
        .map_or_else(|| WORKERS.alloc(), Ok)
        .ok()?;
    idle.slot
        .store(ptr::from_ref(slot).cast_mut().cast(), Ordering::Relaxed);
    let (low, top) = stack_of(slot);
    idle.stack[0].store(low, Ordering::Relaxed);
    idle.stack[1].store(top, Ordering::Relaxed);
    idle.tid.store(Rt::tid(), Ordering::Relaxed);
    idle.fork_generation
        .store(Rt::fork_generation(), Ordering::Relaxed);
    // SAFETY: WORKER-1: the entry is this worker's until it is pushed.
    unsafe { *idle.attrs.get() = attrs };
    // HANDOFF-1: `reset`, then the list, from which one spawner pops it, then `wait`.
    idle.handoff.reset();
    let time = Duration::from_nanos(IDLE_TIME.load(Ordering::Relaxed));
    IDLE_STACK.push(idle);
    // After a timeout the entry stays on the list until a spawner pops it and finds it timed out
    // (HANDOFF-3).
    let message = idle.handoff.wait(time)?;
    let float = idle.float.load(Ordering::Relaxed);
    FREE.push(idle);
    match message {
        Message::Run(head) => {
            // SAFETY: the spawner read it; the task has its spawner's, as a new thread has it, whose
            // registers the kernel copies.
            unsafe { arch::set_float_environment(float) };
            Some(head)
        }
        Message::Exit => None,
    }
}
