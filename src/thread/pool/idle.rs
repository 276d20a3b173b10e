//! The idle workers: their lists, what they wait in, and how a task is sent to one.
#![allow(unsafe_code, reason = "sends packets to threads")]

use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use crossbeam_utils::CachePadded;

use super::credentials::SpawnerAttrs;
use super::futex_handoff::FutexHandoff as PlatformHandoff;
use super::handoff::{Handoff, Message};
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::runtime::{Rt, Runtime, Slot};
use crate::sys::inherited::{self, InheritedAttrs};
use crate::sys::{arch, task};
use crate::thread::join::spin::{self, SpinBudget};
use crate::thread::spawn::packet::PacketHeader;
use crate::thread::spawn::prepare::may_be_unshared;

/// One worker that waits for a task.
///
/// Invariants:
/// * WORKER-1: An entry is on `FREE`, or on a list of idle workers, or held by one spawner that popped
///   it, or by its own worker.
/// * WORKER-2: While an entry is on a list of idle workers or popped from it, its plain fields are not
///   written.
struct IdleWorker {
    /// The thread's slot, where its stack is.
    slot: AtomicPtr<()>,
    /// Lowest address and end of that stack: a spawner must not ask the slot, which may be another
    /// thread's once this worker has timed out. Relaxed, as the others.
    stack: [AtomicUsize; 2],
    tid: AtomicI32,
    /// What the worker inherited from its spawner, and still has; `None` of an unverified one.
    attrs: UnsafeCell<Option<InheritedAttrs>>,
    /// See [`credentials::of_new_worker`](super::credentials::of_new_worker).
    number: AtomicU64,
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

// Every spawn and every end of a task changes two heads, on any processor: each has a cache line
// of its own.
static FREE: CachePadded<FreeList> = CachePadded::new(FreeList::new());
/// Idle workers by [`Attributes`]: each worker is of one kind from its start to its end.
static VERIFIED: CachePadded<FreeList> = CachePadded::new(FreeList::new());
static UNVERIFIED: CachePadded<FreeList> = CachePadded::new(FreeList::new());

/// How idle workers' spins have ended lately.
static IDLE_SPINS: CachePadded<SpinBudget> = CachePadded::new(SpinBudget::new());

/// Which attributes a task has (`sys::inherited`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::thread) enum Attributes {
    /// Its spawner's: compared before the task is sent, and after it with what the worker had.
    Verified,
    /// Its worker's.
    Unverified,
}

impl Attributes {
    fn idle_stack(self) -> &'static FreeList {
        match self {
            Self::Verified => &VERIFIED,
            Self::Unverified => &UNVERIFIED,
        }
    }
}

/// How long an idle worker waits for a task, in nanoseconds.
static IDLE_TIME: AtomicU64 = AtomicU64::new(10_000_000_000);

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
    for stack in [&VERIFIED, &UNVERIFIED] {
        while let Some(idle) = stack.pop(&WORKERS) {
            if is_here(idle) {
                send(idle, Message::Exit);
            }
        }
    }
}

/// Sends the task to the worker that became idle last and has the attributes; `None` if there is
/// none.
pub(super) fn dispatch_to_idle(
    attributes: Attributes,
    head: NonNull<PacketHeader>,
) -> Option<Slot> {
    let stack = attributes.idle_stack();
    if stack.is_empty() {
        return None;
    }
    // Idle workers have the process's directory and descriptors; a new one has its spawner's.
    if may_be_unshared() && !inherited::shares_fs_and_files(task::pid(), task::tid()) {
        return None;
    }
    let mut spawner = match attributes {
        Attributes::Verified => Some(SpawnerAttrs::ask()?),
        Attributes::Unverified => None,
    };
    while let Some(idle) = stack.pop(&WORKERS) {
        if !is_here(idle) {
            continue;
        }
        let wanted = match &mut spawner {
            None => None,
            Some(spawner) => match spawner.beside(idle.number.load(Ordering::Relaxed)) {
                Some(attrs) => Some(attrs),
                None => {
                    stack.push(idle);
                    return None;
                }
            },
        };
        // SAFETY: WORKER-2.
        if unsafe { &*idle.attrs.get() }.as_ref() != wanted {
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

/// Offers the calling worker to spawners and sleeps; `None` if it is to exit.
pub(super) fn wait_for_task(
    attributes: Attributes,
    slot: Slot,
    (attrs, number): (Option<InheritedAttrs>, u64),
) -> Option<NonNull<PacketHeader>> {
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
    idle.number.store(number, Ordering::Relaxed);
    idle.fork_generation
        .store(Rt::fork_generation(), Ordering::Relaxed);
    // SAFETY: WORKER-1: the entry is this worker's until it is pushed.
    unsafe { *idle.attrs.get() = attrs };
    // HANDOFF-1: `reset`, then the list, from which one spawner pops it, then `wait`.
    idle.handoff.reset();
    let time = Duration::from_nanos(IDLE_TIME.load(Ordering::Relaxed));
    attributes.idle_stack().push(idle);
    // The next task often follows at once, and a wake-up costs more than a short spin.
    spin::spin_until(&IDLE_SPINS, || idle.handoff.has_message());
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

/// Lowest address and end of a slot's stack. The slot is the caller's own, or held by a handle.
pub(super) fn stack_of(slot: Slot) -> (usize, usize) {
    let (low, len) = slot.region().stack();
    (low as usize, low as usize + len)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Of any length: what is beyond the nanoseconds of the word is its end.
    #[test]
    fn the_idle_time_is_what_was_set_last() {
        let before = IDLE_TIME.load(Ordering::Relaxed);
        for (time, nanos) in [
            (Duration::from_millis(3), 3_000_000),
            (Duration::MAX, u64::MAX),
            (Duration::from_nanos(before), before),
        ] {
            set_idle_time(time);
            assert_eq!(IDLE_TIME.load(Ordering::Relaxed), nanos);
        }
    }
}
