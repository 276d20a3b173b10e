//! The kernel threads behind [`warm`](super::warm): they outlive their tasks.
#![allow(unsafe_code, reason = "hands packets to threads")]

use core::cell::UnsafeCell;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use self::handoff::{Handoff, Message};
use super::builder::Builder;
use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::spawn::entry::{self, AbortOnUnwind};
use super::spawn::packet::{Packet, PacketHeader, Start, record_of};
use super::spawn::prepare::{RawHandle, may_be_unshared};
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::error::Error;
use crate::runtime::record::{ThreadInner, ThreadRef};
use crate::runtime::state::{LastUser, ResultOwner};
use crate::runtime::{Name, Rt, Runtime, Slot, occupant};
use crate::sys::inherited::{self, InheritedAttrs};
use crate::sys::{arch, signal, task};

pub(crate) mod futex_handoff;
pub(crate) mod handoff;
mod packet_alloc;

use futex_handoff::FutexHandoff as PlatformHandoff;

/// One kernel thread that waits for tasks.
///
/// Invariants:
/// * WORKER-1: a cell is on `IDLE_STACK`, or held by one spawner that popped it, or by its own thread.
/// * WORKER-2: while a cell is on `IDLE_STACK` or popped, its plain fields are not written.
struct IdleWorker {
    /// The thread's slot, where its stack is.
    slot: AtomicPtr<()>,
    tid: AtomicI32,
    /// What the thread was born with, and still has.
    traits: UnsafeCell<Option<InheritedAttrs>>,
    fork_generation: AtomicU32,
    /// The floating-point environment of the task's spawner, by the spawner before it gives the
    /// task: Relaxed, for giving orders it.
    float: AtomicU64,
    /// Where it waits for a task.
    handoff: PlatformHandoff,
}

// SAFETY: plain fields follow WORKER-1 and WORKER-2.
unsafe impl Sync for IdleWorker {}
// SAFETY: zero bytes are null, `None` or zero-filled traits that nobody reads before
// `wait_for_task` wrote them, and a handoff that is not in use.
unsafe impl Zeroable for IdleWorker {}

static WORKERS: Arena<IdleWorker> = Arena::new();
static FREE: FreeList = FreeList::new();
static IDLE_STACK: FreeList = FreeList::new();

/// How long a thread waits for a task, in nanoseconds.
static IDLE_TIME: AtomicU64 = AtomicU64::new(10_000_000_000);

/// Runs `f` on an idle thread of this module's if there is one, else on a new one.
///
/// # Panics
/// Where a thread is needed and cannot be made, as [`crate::spawn`].
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

/// As [`spawn`](fn@spawn), with an error instead of a panic.
///
/// # Errors
/// As [`Builder::spawn`].
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
    let record = ThreadRef::new(Name::NONE)?;
    let start = Start {
        release: release::<F, T>,
        setup: ptr::null(),
        mask: Some(signal::current_mask()),
        comm: Some(task::name()),
        observer: ExitObserver::None,
    };
    // The slot is filled in when it is known; nobody asks before this function returns.
    let record_of_task = record.clone().into_raw();
    let packet = match packet_alloc::alloc(Packet::new(None, record_of_task, start, f)) {
        Ok(packet) => packet,
        Err(error) => {
            // SAFETY: the packet's reference, which went with it.
            drop(unsafe { ThreadRef::from_raw(record_of_task) });
            return Err(error);
        }
    };
    let head = packet.cast::<PacketHeader>();
    let slot = match dispatch_to_idle(head) {
        Some(slot) => slot,
        // SAFETY: the packet is whole and nobody else knows it.
        None => match unsafe { dispatch_to_new(head) } {
            Ok(slot) => slot,
            Err(error) => {
                // SAFETY: no thread took it: closure and reference are still in the packet.
                let closure = unsafe {
                    drop(ThreadRef::from_raw(record_of_task));
                    let closure = packet.read().into_closure();
                    packet_alloc::dealloc(packet);
                    closure
                };
                drop(closure);
                return Err(error);
            }
        },
    };
    // SAFETY: by HANDLE-1 the packet stays until the handle lets go, and the thread does not read this
    // field.
    unsafe { (&raw mut (*head).slot).write(Some(slot)) };
    set_stack(&record, slot);
    // SAFETY: a packet's addresses are not null.
    let (head, result) = unsafe {
        (
            NonNull::new_unchecked(head),
            NonNull::new_unchecked(Packet::result(packet)),
        )
    };
    Ok(JoinHandle::new(RawHandle {
        record,
        head,
        result,
    }))
}

/// Sets how long an idle thread waits for a task before it ends; 10 seconds unless set. Threads
/// that are idle already keep the time they began with.
///
/// ```
/// rawthread::warm::set_idle_time(std::time::Duration::from_secs(1));
/// ```
pub fn set_idle_time(time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    IDLE_TIME.store(nanos, Ordering::Relaxed);
}

/// Tells every idle thread to end.
pub(super) fn shutdown_idle() {
    while let Some(idle) = IDLE_STACK.pop(&WORKERS) {
        if is_here(idle) {
            send(idle, Message::Exit);
        }
    }
}

/// Frees a task's packet, whose closure or result is gone already.
///
/// # Safety
/// By SLOT-2: the caller is the last of thread and handle.
unsafe fn release<F, T>(head: *mut PacketHeader) {
    // SAFETY: `try_spawn` put exactly this type there; its parts are dropped elsewhere.
    unsafe { packet_alloc::dealloc(head.cast::<Packet<F, T>>()) };
}

/// Gives the task to the thread that became idle last and is as a new thread of the caller's would
/// be; `None` if there is none.
fn dispatch_to_idle(head: *mut PacketHeader) -> Option<Slot> {
    if IDLE_STACK.is_empty() {
        return None;
    }
    // Idle threads have the process's directory and descriptors; a new one has its spawner's.
    if may_be_unshared() && !inherited::shares_fs_and_files() {
        return None;
    }
    let wanted = InheritedAttrs::current()?;
    while let Some(idle) = IDLE_STACK.pop(&WORKERS) {
        if !is_here(idle) {
            continue;
        }
        // SAFETY: WORKER-2.
        if unsafe { *idle.traits.get() } != Some(wanted) {
            // Another spawner may want it: but then this one would look at it again for ever.
            send(idle, Message::Exit);
            continue;
        }
        let slot = idle.slot.load(Ordering::Relaxed);
        // SAFETY: the packet is ours until it is given away.
        unsafe { record_of(head) }.set_tid(idle.tid.load(Ordering::Relaxed));
        idle.float
            .store(arch::float_environment(), Ordering::Relaxed);
        if send(idle, Message::Run(head.cast())) {
            // SAFETY: slots are permanent cells.
            return Some(unsafe { &*slot.cast() });
        }
    }
    None
}

/// Whether an idle thread is one of this process, and not of one that this was forked from: then
/// its cell is not touched again.
fn is_here(idle: &IdleWorker) -> bool {
    idle.fork_generation.load(Ordering::Relaxed) == Rt::fork_generation()
}

/// Gives something to an idle thread; false if it is leaving and will not take it.
fn send(idle: &'static ArenaEntry<IdleWorker>, message: Message) -> bool {
    let given = idle.handoff.send(message);
    if !given {
        FREE.push(idle);
    }
    given
}

/// Makes a thread that begins with this task.
///
/// # Safety
/// The packet is whole and nobody else knows it.
unsafe fn dispatch_to_new(head: *mut PacketHeader) -> Result<Slot, Error> {
    /// The packet's address on its way to the thread.
    struct Task(*mut PacketHeader);
    // SAFETY: the closure in the packet was required to be Send.
    unsafe impl Send for Task {}
    impl Task {
        fn into_head(self) -> *mut PacketHeader {
            self.0
        }
    }
    let first = Task(head);
    let worker = Builder::new().spawn(move || worker_main(first.into_head()))?;
    // SAFETY: a task that nobody has a handle of yet leaves its packet in place.
    unsafe { record_of(head) }.set_tid(worker.tid());
    Ok(worker.slot())
}

/// The life of a warm thread: its first task, then whatever it is given.
fn worker_main(first: *mut PacketHeader) {
    let own = Rt::current();
    // SAFETY: the record of the thread itself, which lives as long as this function.
    let shared = unsafe { &*own };
    // SAFETY: the type of the runtime's slots.
    let Some(slot) = (unsafe { occupant::slot_of(shared) }) else {
        unreachable!("a worker runs on a slot");
    };
    let thread = entry::running();
    let initial = InheritedAttrs::current();
    let process = Rt::fork_generation();
    let mut task = first;
    loop {
        // SAFETY: the task was given to this thread alone.
        let must_exit = unsafe { run_task(task, thread, slot) };
        occupant::set_occupant(slot, shared);
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
                unsafe { Rt::set_current(own) };
                return;
            }
        }
    }
}

/// Notes where a task runs: its spawner and its thread both do, whoever comes first.
fn set_stack(record: &ThreadInner, slot: Slot) {
    occupant::set_slot(record, slot);
    let (low, len) = slot.region().stack();
    record.set_stack(low as usize, low as usize + len);
}

/// Runs a task as a thread would, from mask to destructors; whether the thread must end after it.
///
/// # Safety
/// `head` is a task's packet, given to the calling thread, which runs on `slot` and whose own
/// packet is `thread`.
unsafe fn run_task(head: *mut PacketHeader, thread: *mut PacketHeader, slot: Slot) -> bool {
    // SAFETY: the packet is whole until `task_done`.
    let (mask, comm, record) = unsafe { ((*head).mask, (*head).comm, (*head).record) };
    // SAFETY: the task's packet has that reference until `finish_task`, before which
    // `reset_for_reuse` sets it to null.
    unsafe { Rt::set_current(record) };
    // SAFETY: as above.
    let shared = unsafe { record_of(head) };
    occupant::set_occupant(slot, shared);
    set_stack(shared, slot);
    if let Some(comm) = comm.filter(|comm| *comm != task::name()) {
        task::set_name(&comm);
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    let guard = AbortOnUnwind;
    // SAFETY: the steps of `entry::thread_main`, for a thread that stays.
    let fresh = unsafe {
        entry::set_running_task(head, thread);
        ((*head).vtable.run)(head);
        entry::clear_running();
        match shared.state().set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => ((*head).vtable.drop_result)(head),
        }
        Rt::run_destructors(slot);
        Rt::reset_for_reuse(slot)
    };
    mem::forget(guard);
    // SAFETY: the task has ended.
    unsafe { finish_task(head) || !fresh }
}

/// The end of a task, after its destructors: what `entry` does at a thread's. Whether the kernel
/// thread must end now.
///
/// # Safety
/// `head` is the packet of the task that the calling thread ran, which is complete; called once.
pub(super) unsafe fn finish_task(head: *mut PacketHeader) -> bool {
    // SAFETY: the packet's reference, let go once; a record is permanent memory.
    let shared = unsafe { ThreadRef::from_raw((*head).record) };
    let done = shared.state().set_task_done();
    if done.wake {
        shared.state().wake_joiner();
    }
    shared.state().wait_for_unpin();
    // The handle may be gone, so the record may go with this reference.
    drop(shared);
    if done.last_user == LastUser::Yes {
        // SAFETY: the handle let go first.
        unsafe { ((*head).release)(head) };
    }
    done.exit_requested
}

/// Offers the calling thread to spawners and sleeps; `None` if it is to end.
fn wait_for_task(slot: Slot, traits: Option<InheritedAttrs>) -> Option<*mut PacketHeader> {
    let idle = FREE
        .pop(&WORKERS)
        .map_or_else(|| WORKERS.alloc(), Ok)
        .ok()?;
    idle.slot
        .store(ptr::from_ref(slot).cast_mut().cast(), Ordering::Relaxed);
    idle.tid.store(Rt::tid(), Ordering::Relaxed);
    idle.fork_generation
        .store(Rt::fork_generation(), Ordering::Relaxed);
    // SAFETY: WORKER-1: the cell is this thread's until it is pushed.
    unsafe { *idle.traits.get() = traits };
    idle.handoff.reset();
    let time = Duration::from_nanos(IDLE_TIME.load(Ordering::Relaxed));
    IDLE_STACK.push(idle);
    // Without a gift the cell stays on the list until a spawner pops it and finds it left (HANDOFF-3).
    let given = idle.handoff.wait(time)?;
    let float = idle.float.load(Ordering::Relaxed);
    FREE.push(idle);
    match given {
        Message::Run(head) => {
            // SAFETY: the spawner read it, and the task expects its spawner's, as a new thread,
            // whose registers the kernel copies, has it.
            unsafe { arch::set_float_environment(float) };
            Some(head.cast())
        }
        Message::Exit => None,
    }
}
