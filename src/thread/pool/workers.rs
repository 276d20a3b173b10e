//! The workers of the pool: kernel threads that run one task after another.
#![allow(unsafe_code, reason = "hands packets to threads")]

use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::credentials;
use super::idle::{Attributes, dispatch_to_idle, shutdown_idle, stack_of, wait_for_task};
use super::packet_alloc;
use crate::error::Error;
use crate::primitive::held;
use crate::runtime::record::ThreadRef;
use crate::runtime::state::ResultOwner;
use crate::runtime::{Name, Rt, Runtime, Slot, current, occupant};
use crate::sys::futex::Deadline;
use crate::sys::inherited;
use crate::sys::signal::{self, SigSet};
use crate::sys::task;
use crate::thread::builder::Builder;
use crate::thread::join::exit_observer::ExitObserver;
use crate::thread::join::handle::JoinHandle;
use crate::thread::spawn::config::Retry;
use crate::thread::spawn::finish::{finish_task, set_ready};
use crate::thread::spawn::hooks::{ChildHooks, HookChoice};
use crate::thread::spawn::last_thread;
use crate::thread::spawn::packet::{Packet, PacketHeader, PacketOps};
use crate::thread::spawn::prepare::may_be_unshared;
use crate::thread::spawn::raw_handle::RawHandle;
use crate::thread::spawn::running;
use crate::thread::spawn::unwind::AbortOnUnwind;

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
    try_spawn_with(Attributes::Verified, f)
}

/// Runs `f` as [`spawn`](fn@spawn) does, but on a worker whose attributes are not verified: it costs a
/// third of the system calls.
///
/// The task has fresh thread-locals, its spawner's signal mask, comm and floating-point environment.
/// What the table in [the module's page](mod@crate::warm) calls *compared*, ids, capabilities, affinity,
/// scheduling and the like, it has as its worker has it: the worker inherited it from the spawner
/// that it was made for, and keeps what earlier tasks of this function changed. Workers of this
/// function serve no task of [`spawn`](fn@spawn), nor theirs a task of this.
///
/// For programs whose threads all have the same attributes.
///
/// # Panics
/// As [`spawn`](fn@spawn).
///
/// ```
/// for n in 0..100 {
///     assert_eq!(rawthread::warm::spawn_unverified(move || n * 2).join().unwrap(), n * 2);
/// }
/// ```
pub fn spawn_unverified<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match try_spawn_unverified(f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn thread: {error}"),
    }
}

/// Runs `f` as [`spawn_unverified`] does, but returns an error where that panics.
///
/// # Errors
/// As [`Builder::try_spawn`].
///
/// ```
/// let handle = rawthread::warm::try_spawn_unverified(|| "warm")?;
/// assert_eq!(handle.join().unwrap(), "warm");
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn try_spawn_unverified<F, T>(f: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    try_spawn_with(Attributes::Unverified, f)
}

fn try_spawn_with<F, T>(attributes: Attributes, f: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Rt::ensure_init()?;
    if Rt::is_served_by_libc() {
        // Only libc can put a thread's own things back, at the thread's end.
        return Builder::new().try_spawn(f);
    }
    let settings = TaskSettings {
        attributes,
        name: Name::NONE,
        mask: None,
        hooks: HookChoice::Inherit,
        retry: Retry::NEVER,
        observer: ExitObserver::None,
    };
    // SAFETY: 'static outlives every task.
    unsafe { spawn_task(settings, f) }.map(JoinHandle::new)
}

/// What a task's spawner decides, and a worker can give to each of its tasks.
pub(in crate::thread) struct TaskSettings {
    pub(in crate::thread) attributes: Attributes,
    pub(in crate::thread) name: Name,
    /// The signal mask, if not the spawner's.
    pub(in crate::thread) mask: Option<SigSet>,
    pub(in crate::thread) hooks: HookChoice,
    /// For a new worker, if there is no idle one.
    pub(in crate::thread) retry: Retry,
    pub(in crate::thread) observer: ExitObserver,
}

/// Runs `f` as a task, in a process that libc does not serve.
///
/// # Errors
/// As [`Builder::spawn`].
///
/// # Safety
/// What the closure and its result borrow must outlive the task and its result, and a scope in the
/// settings the task.
pub(in crate::thread) unsafe fn spawn_task<F, T>(
    settings: TaskSettings,
    f: F,
) -> Result<RawHandle<T>, Error>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let comm = settings.name.comm().unwrap_or_else(task::name);
    let record = ThreadRef::new(settings.name)?;
    let hooks = ChildHooks::run(settings.hooks, &record)?;
    let header = TaskHeader {
        attributes: settings.attributes,
        retry: settings.retry,
        comm,
        mask: settings.mask.unwrap_or_else(signal::current_mask),
        observer: settings.observer,
    };
    // SAFETY: passed on.
    unsafe { send_task(&header, record, hooks.before(f)) }
}

/// What goes into the header of a task's packet, and where the packet goes.
struct TaskHeader {
    attributes: Attributes,
    retry: Retry,
    comm: [u8; 16],
    mask: SigSet,
    observer: ExitObserver,
}

/// Sends `f` to a worker, as a task that has this record.
///
/// # Errors
/// As [`Builder::spawn`].
///
/// # Safety
/// As [`spawn_task`].
unsafe fn send_task<F, T>(task: &TaskHeader, record: ThreadRef, f: F) -> Result<RawHandle<T>, Error>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: by the contract.
    let counted = unsafe { task.observer.count() };
    // The slot is named when it is known: it is not asked for before this function returns.
    let (vtable, ops) = (Packet::<F, T>::VTABLE, TaskOps::<F, T>::OPS);
    let mut header = PacketHeader::new(None, record.clone(), vtable, ops);
    header.mask = Some(task.mask);
    header.comm = Some(task.comm);
    header.observer = task.observer;
    header.process = counted.process;
    let packet = packet_alloc::alloc(Packet::new(header, f))?;
    // SAFETY: a packet's address is not null.
    let head = unsafe { NonNull::new_unchecked(packet.cast::<PacketHeader>()) };
    let slot = match dispatch_to_idle(task.attributes, head) {
        Some(slot) => slot,
        // SAFETY: the packet is whole, and no thread knows it yet.
        None => match unsafe { dispatch_to_new(task.attributes, task.retry, head) } {
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
    counted.made(&record);
    // SAFETY: by HANDLE-1 the packet stays until the handle is dropped, which does not exist yet.
    unsafe { head.as_ref() }.set_slot(slot);
    // SAFETY: an address inside the packet is not null.
    let result = unsafe { NonNull::new_unchecked(Packet::result(packet)) };
    Ok(RawHandle {
        record,
        head,
        result,
    })
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

/// Makes a worker that begins with this task.
///
/// # Safety
/// The packet is whole, and no thread knows it yet.
unsafe fn dispatch_to_new(
    attributes: Attributes,
    retry: Retry,
    head: NonNull<PacketHeader>,
) -> Result<Slot, Error> {
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
        .retry(retry)
        .try_spawn(move || worker_main(attributes, first.into_inner()))?;
    // SAFETY: the packet stays, for the handle that would release it does not exist yet.
    let packet = unsafe { head.as_ref() };
    packet.record().set_tid(worker.tid());
    // The worker's handle keeps its slot until this function returns (HANDLE-1).
    let (low, top) = stack_of(worker.slot());
    packet.record().set_stack(low, top);
    Ok(worker.slot())
}

/// Runs a worker: its first task, then what it is sent.
fn worker_main(attributes: Attributes, first: NonNull<PacketHeader>) {
    let own = current::current();
    // SAFETY: the type of the runtime's slots.
    let Some(slot) = (unsafe { occupant::slot_of(&own) }) else {
        unreachable!("a worker runs on a slot");
    };
    own.state().set_worker();
    // Before the first task, so each lock that a task takes is counted.
    held::register(current::held_locks);
    last_thread::register(shutdown_idle);
    let thread = running::running();
    let initial = match attributes {
        Attributes::Verified => credentials::of_new_worker(),
        Attributes::Unverified => (None, 0),
    };
    // They stay: a thread that forks has left this process.
    let (pid, tid, process) = (task::pid(), task::tid(), Rt::fork_generation());
    let mut task = first;
    loop {
        // SAFETY: the task was sent to this worker alone.
        let must_exit = unsafe { run_task(task, thread, slot) };
        occupant::set_occupant(slot, own.inner());
        // The only thread of a child that the task forked ends with the task, as one of spawn does.
        let fresh = !must_exit
            && Rt::fork_generation() == process
            && match attributes {
                Attributes::Verified => {
                    initial.0.is_some()
                        && credentials::of_worker(initial.1) == initial.0
                        && inherited::shares_fs_and_files(pid, tid)
                }
                Attributes::Unverified => {
                    !may_be_unshared() || inherited::shares_fs_and_files(pid, tid)
                }
            };
        let next = fresh.then(|| wait_for_task(attributes, slot, initial));
        match next.flatten() {
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
    // The spawner notes the same tid and stack, perhaps later than this task asks.
    packet.record().set_tid(Rt::tid());
    occupant::set_slot(packet.record(), slot);
    packet.record().held_locks().store(0, Ordering::Relaxed);
    let (low, top) = stack_of(slot);
    packet.record().set_stack(low, top);
    if let Some(comm) = packet.comm.filter(|comm| *comm != task::name()) {
        Rt::set_name(&comm);
    }
    if let Some(mask) = packet.mask {
        signal::set_mask(mask);
    }
    let (observer, process) = (packet.observer, packet.process);
    let guard = AbortOnUnwind;
    // SAFETY: the steps of `entry::thread_main`, for a thread that stays.
    let fresh = unsafe {
        running::set_running_task(head, thread);
        let panicked = (packet.vtable.run)(head);
        running::clear_running();
        if panicked {
            observer.after_fork(process).panicked();
        }
        match packet.record().state().set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => (packet.vtable.drop_result)(head),
        }
        Rt::run_destructors(slot);
        if set_ready(packet) {
            Rt::run_destructors(slot);
        }
        // The kernel tells those that wait for such a lock when its holder ends.
        let holds_none = packet.record().held_locks().load(Ordering::Relaxed) == 0;
        Rt::reset_for_reuse(slot) && holds_none
    };
    mem::forget(guard);
    // SAFETY: the task is complete, and its observer was not notified of the end yet.
    unsafe { finish_task(head, observer.after_fork(process)) || !fresh }
}
