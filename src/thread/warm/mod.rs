//! Threads that outlive their tasks: what `spawn` promises, for the price of a wake-up.
//!
//! [`spawn`](fn@spawn) hands a closure to an idle kernel thread of this module's, the one that
//! became idle last, or makes one. To the closure it is a new thread: a new
//! [`ThreadId`](crate::ThreadId), fresh thread-locals (with their destructors run before a join
//! returns), no name, its spawner's signal mask, affinity, scheduling and comm, and the spawner's
//! directory and descriptors. The handle is the same, with the same guarantees; only the kernel's
//! tid may come again in a later task.
//!
//! A thread whose task left something that cannot be put back (affinity, scheduling, effective
//! ids, an unshared directory or descriptor table, a robust mutex locked), and one that a [`pidfd`]
//! was opened for or a [`signal`] sent to, ends after the task instead. What only a raw `prctl` can
//! change (a seccomp filter, timer slack, `no_new_privs`), and what `setns`, `unshare`, `capset`,
//! `setfsuid` or `set_mempolicy` change for one thread, is not looked for: use [`crate::spawn`] for
//! closures that do such things. Where the kernel has no `kcmp(2)` every thread ends after its task.
//!
//! Idle threads have all signals masked and leave after [`set_idle_time`], or at
//! [`trim`](crate::trim). They wait in `parking_lot_core`'s queue, without std on a futex of their
//! own. Closure and result of a task are on the heap; without the feature `alloc` they take 256
//! bytes of a table that grows and never shrinks, or pages of their own if they are larger.
//!
//! Without std, neither an rseq area nor a tid address that a task registered is looked for, and
//! with the feature `panic-thread` a task that panics takes its kernel thread with it.
//!
//! [`pidfd`]: crate::JoinHandle::pidfd
//! [`signal`]: crate::JoinHandle::signal
#![allow(unsafe_code, reason = "hands packets to threads")]

use core::cell::UnsafeCell;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use self::bed::{Bed, Given};
use super::builder::Builder;
use super::entry::{self, AbortOnUnwind};
use super::handle::JoinHandle;
use super::packet::{Head, Packet, Start, record_of};
use super::spawn::{Spawned, may_be_private};
use super::state;
use super::watch::Watch;
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::error::Error;
use crate::runtime::record::{Name, ThreadInner, ThreadRef};
use crate::runtime::{Rt, Runtime, Slot};
use crate::sync::futex;
use crate::sys::inherited::{self, InheritedAttrs};
use crate::sys::{signal, task};

pub(crate) mod bed;
#[cfg(any(not(feature = "std"), test))]
pub(crate) mod futex_bed;
mod packets;
#[cfg(feature = "std")]
mod parking_bed;

#[cfg(not(feature = "std"))]
use futex_bed::FutexBed as ChosenBed;
#[cfg(feature = "std")]
use parking_bed::ParkingBed as ChosenBed;

/// One kernel thread that waits for tasks.
///
/// Invariants:
/// * WORKER-1: a cell is on `IDLE`, or held by one spawner that popped it, or by its own thread.
/// * WORKER-2: while a cell is on `IDLE` or popped, its plain fields are not written.
struct Idle {
    /// The thread's slot, where its stack is.
    slot: AtomicPtr<()>,
    tid: AtomicI32,
    /// What the thread was born with, and still has.
    traits: UnsafeCell<Option<InheritedAttrs>>,
    fork_generation: AtomicU32,
    /// Where it waits for a task.
    bed: ChosenBed,
}

// SAFETY: plain fields follow WORKER-1 and WORKER-2.
unsafe impl Sync for Idle {}
// SAFETY: zero bytes are null, `None` or zero-filled traits that nobody reads before
// `wait_for_task` wrote them, and a bed that nobody lies in.
unsafe impl Zeroable for Idle {}

static CELLS: Arena<Idle> = Arena::new();
static FREE: FreeList = FreeList::new();
static IDLE: FreeList = FreeList::new();

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
        watch: Watch::Nobody,
    };
    // The slot is filled in when it is known; nobody asks before this function returns.
    let record_of_task = record.clone().into_raw();
    let packet = match packets::put(Packet::new(None, record_of_task, start, f)) {
        Ok(packet) => packet,
        Err(error) => {
            // SAFETY: the packet's reference, which went with it.
            drop(unsafe { ThreadRef::from_raw(record_of_task) });
            return Err(error);
        }
    };
    let head = packet.cast::<Head>();
    let slot = match give_to_idle(head) {
        Some(slot) => slot,
        // SAFETY: the packet is whole and nobody else knows it.
        None => match unsafe { give_to_new(head) } {
            Ok(slot) => slot,
            Err(error) => {
                // SAFETY: no thread took it: closure and reference are still in the packet.
                let closure = unsafe {
                    drop(ThreadRef::from_raw(record_of_task));
                    let closure = packet.read().into_closure();
                    packets::free(packet);
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
    set_place(&record, slot);
    // SAFETY: a packet's addresses are not null.
    let (head, result) = unsafe {
        (
            NonNull::new_unchecked(head),
            NonNull::new_unchecked(Packet::result(packet)),
        )
    };
    Ok(JoinHandle::new(Spawned {
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
pub(super) fn end_idle() {
    while let Some(idle) = IDLE.pop(&CELLS) {
        give(idle, Given::Leave);
    }
}

/// Frees a task's packet, whose closure or result is gone already.
///
/// # Safety
/// By SLOT-2: the caller is the last of thread and handle.
unsafe fn release<F, T>(head: *mut Head) {
    // SAFETY: `try_spawn` put exactly this type there; its parts are dropped elsewhere.
    unsafe { packets::free(head.cast::<Packet<F, T>>()) };
}

/// Gives the task to the thread that became idle last and is as a new thread of the caller's would
/// be; `None` if there is none.
fn give_to_idle(head: *mut Head) -> Option<Slot> {
    if IDLE.is_empty() {
        return None;
    }
    // Idle threads have the process's directory and descriptors; a new one has its spawner's.
    if may_be_private() && !inherited::shares_fs_and_files() {
        return None;
    }
    let wanted = InheritedAttrs::current()?;
    while let Some(idle) = IDLE.pop(&CELLS) {
        if idle.fork_generation.load(Ordering::Relaxed) != Rt::fork_generation() {
            // A thread of the process that this one was forked from.
            continue;
        }
        // SAFETY: WORKER-2.
        if unsafe { *idle.traits.get() } != Some(wanted) {
            // Another spawner may want it: but then this one would look at it again for ever.
            give(idle, Given::Leave);
            continue;
        }
        let slot = idle.slot.load(Ordering::Relaxed);
        // SAFETY: the packet is ours until it is given away.
        record_of(unsafe { &*head }).set_tid(idle.tid.load(Ordering::Relaxed));
        if give(idle, Given::Task(head.cast())) {
            // SAFETY: slots are permanent cells.
            return Some(unsafe { &*slot.cast() });
        }
    }
    None
}

/// Gives something to an idle thread; false if it is leaving and will not take it.
fn give(idle: &'static ArenaEntry<Idle>, what: Given) -> bool {
    let given = idle.bed.give(what);
    if !given {
        FREE.push(idle);
    }
    given
}

/// Makes a thread that begins with this task.
///
/// # Safety
/// The packet is whole and nobody else knows it.
unsafe fn give_to_new(head: *mut Head) -> Result<Slot, Error> {
    /// The packet's address on its way to the thread.
    struct Task(*mut Head);
    // SAFETY: the closure in the packet was required to be Send.
    unsafe impl Send for Task {}
    impl Task {
        fn into_head(self) -> *mut Head {
            self.0
        }
    }
    let first = Task(head);
    let worker = Builder::new().spawn(move || work(first.into_head()))?;
    // SAFETY: a task that nobody has a handle of yet leaves its packet in place.
    record_of(unsafe { &*head }).set_tid(worker.tid());
    Ok(worker.slot())
}

/// The life of a warm thread: its first task, then whatever it is given.
fn work(first: *mut Head) {
    let own = Rt::current();
    // SAFETY: the record of the thread itself, which lives as long as this function.
    let shared = unsafe { &*own.cast::<ArenaEntry<ThreadInner>>() };
    // SAFETY: the thread runs on that slot.
    let slot: Slot = unsafe { &*shared.slot().cast() };
    let thread = entry::running();
    let born = InheritedAttrs::current();
    let mut task = first;
    loop {
        // SAFETY: the task was given to this thread alone.
        let retire = unsafe { run(task, thread, slot) };
        slot.set_current_record(own);
        let fresh = !retire
            && born.is_some()
            && InheritedAttrs::current() == born
            && inherited::shares_fs_and_files();
        match fresh.then(|| wait_for_task(slot, born)).flatten() {
            Some(next) => task = next,
            None => {
                // The thread's own end needs its own record.
                Rt::set_current(own);
                return;
            }
        }
    }
}

/// Notes where a task runs: its spawner and its thread both do, whoever comes first.
fn set_place(record: &ThreadInner, slot: Slot) {
    record.set_slot(ptr::from_ref(slot).cast_mut().cast());
    let (low, len) = slot.region().stack();
    record.set_stack(low as usize, low as usize + len);
}

/// Runs a task as a thread would, from mask to destructors; whether the thread must end after it.
///
/// # Safety
/// `head` is a task's packet, given to the calling thread, which runs on `slot` and whose own
/// packet is `thread`.
unsafe fn run(head: *mut Head, thread: *mut Head, slot: Slot) -> bool {
    // SAFETY: the packet is whole until `task_done`.
    let (mask, comm, record) = unsafe { ((*head).mask, (*head).comm, (*head).record) };
    Rt::set_current(record);
    slot.set_current_record(record);
    // SAFETY: as above.
    let shared = record_of(unsafe { &*head });
    set_place(shared, slot);
    if let Some(comm) = comm.filter(|comm| *comm != task::name()) {
        task::set_name(&comm);
    }
    if let Some(mask) = mask {
        signal::set_mask(mask);
    }
    let guard = AbortOnUnwind;
    // SAFETY: the steps of `entry::thread`, for a thread that stays.
    let fresh = unsafe {
        entry::task_begins(head, thread);
        ((*head).kind.run)(head);
        entry::closure_ended();
        match state::complete(shared.state()) {
            state::Result::Keep => {}
            state::Result::Drop => ((*head).kind.drop_result)(head),
        }
        Rt::run_destructors(slot);
        Rt::reset_for_reuse(slot)
    };
    mem::forget(guard);
    // SAFETY: the task has ended.
    unsafe { let_go(head) || !fresh }
}

/// The end of a task, after its destructors: what `entry` does at a thread's. Whether the kernel
/// thread must end now.
///
/// # Safety
/// `head` is the packet of the task that the calling thread ran, which is complete; called once.
pub(super) unsafe fn let_go(head: *mut Head) -> bool {
    // SAFETY: the packet's reference, let go once; a record is permanent memory.
    let shared = unsafe { ThreadRef::from_raw((*head).record) };
    let done = state::task_done(shared.state());
    if done.wake {
        futex::wake_one(shared.state());
    }
    state::wait_unpinned(shared.state());
    // The handle may be gone, so the record may go with this reference.
    drop(shared);
    if done.slot == state::Slot::Release {
        // SAFETY: the handle let go first.
        unsafe { ((*head).release)(head) };
    }
    done.retire
}

/// Offers the calling thread to spawners and sleeps; `None` if it is to end.
fn wait_for_task(slot: Slot, traits: Option<InheritedAttrs>) -> Option<*mut Head> {
    let idle = FREE.pop(&CELLS).map_or_else(|| CELLS.alloc(), Ok).ok()?;
    idle.slot
        .store(ptr::from_ref(slot).cast_mut().cast(), Ordering::Relaxed);
    idle.tid.store(Rt::tid(), Ordering::Relaxed);
    idle.fork_generation
        .store(Rt::fork_generation(), Ordering::Relaxed);
    // SAFETY: WORKER-1: the cell is this thread's until it is pushed.
    unsafe { *idle.traits.get() = traits };
    idle.bed.make();
    let time = Duration::from_nanos(IDLE_TIME.load(Ordering::Relaxed));
    IDLE.push(idle);
    // Without a gift the cell stays on the list until a spawner pops it and finds it left (HANDOFF-3).
    let given = idle.bed.sleep(time)?;
    FREE.push(idle);
    match given {
        Given::Task(head) => Some(head.cast()),
        Given::Leave => None,
    }
}
