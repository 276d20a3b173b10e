//! What a set and its threads share: the queue of those that are done, and an entry for each thread.
#![allow(unsafe_code, reason = "keeps entries in permanent memory")]

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::completion_queue::CompletionQueue;
use super::set_counts::{Halves, Users};
use super::set_waker::SetWaker;
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::diagnosis;
use crate::error::Error;
use crate::primitive::atomic::AtomicU32 as Link;
use crate::runtime::ready_hook::ReadyHook;
use crate::runtime::record::ThreadInner;

/// What a set and its threads share. Reference-counted permanent memory: a thread that outlives its
/// set still finds its queue.
pub(in crate::thread) struct SetShared {
    pub(in crate::thread) queue: CompletionQueue,
    pub(in crate::thread) waker: SetWaker,
    users: Users,
}

/// One thread's entry in a set. It has two owners, the set and the thread; the second to release
/// it puts it on the free list.
///
/// The fields but `queue_link`, `halves` and `is_queued` are the set's, which writes them before the
/// thread exists, or never shows them to it; they are atomics, used Relaxed, so that entries can be
/// shared.
pub(in crate::thread) struct SetEntry {
    /// In the queue: the entry that was pushed before. Among the collected: the entry that follows.
    pub(in crate::thread) queue_link: Link,
    halves: Halves,
    /// Whether the thread is in the queue already. Relaxed: the thread alone uses it, from the spawn on.
    is_queued: AtomicBool,
    shared: AtomicPtr<ArenaEntry<SetShared>>,
    /// The thread's handle, in parts without their types: the set knows the result's, and a packet,
    /// which names its observer, lies above this file.
    pub(in crate::thread) record: AtomicPtr<ArenaEntry<ThreadInner>>,
    pub(in crate::thread) head: AtomicPtr<()>,
    pub(in crate::thread) result: AtomicPtr<()>,
    /// Neighbours among all entries of the set, by id; 0 for none.
    pub(in crate::thread) next: AtomicU32,
    pub(in crate::thread) prev: AtomicU32,
}

// SAFETY: the waker's cell follows its word.
unsafe impl Sync for SetShared {}
// SAFETY: zero is an empty queue without references, and no waker.
unsafe impl Zeroable for SetShared {}
// SAFETY: zero is an entry of no set.
unsafe impl Zeroable for SetEntry {}

static SETS: Arena<SetShared> = Arena::new();
static FREE_SETS: FreeList = FreeList::new();
pub(in crate::thread) static ENTRIES: Arena<SetEntry> = Arena::new();
static FREE_ENTRIES: FreeList = FreeList::new();

fn alloc<T: Zeroable>(
    arena: &'static Arena<T>,
    free: &FreeList,
) -> core::result::Result<&'static ArenaEntry<T>, Error> {
    match free.pop(arena) {
        Some(node) => Ok(node),
        None => arena
            .alloc()
            .map_err(|errno| diagnosis::map_error(errno, arena.next_chunk_bytes())),
    }
}

impl SetShared {
    pub(in crate::thread) fn new() -> core::result::Result<&'static ArenaEntry<Self>, Error> {
        let shared = alloc(&SETS, &FREE_SETS)?;
        shared.queue.reset();
        shared.users.reset();
        shared.waker.reset();
        Ok(shared)
    }

    /// One user less.
    pub(in crate::thread) fn unref(this: &'static ArenaEntry<Self>) {
        if this.users.remove() {
            // The set took its waker out when it was dropped.
            FREE_SETS.push(this);
        }
    }
}

impl SetEntry {
    pub(in crate::thread) fn new(
        shared: &'static ArenaEntry<SetShared>,
    ) -> core::result::Result<&'static ArenaEntry<Self>, Error> {
        let entry = alloc(&ENTRIES, &FREE_ENTRIES)?;
        entry.halves.reset();
        entry.is_queued.store(false, Ordering::Relaxed);
        let address = ptr::from_ref(shared).cast_mut();
        entry.shared.store(address, Ordering::Relaxed);
        shared.users.add();
        Ok(entry)
    }

    /// The set, or the thread: does not use the entry any more.
    pub(in crate::thread) fn release_half(this: &'static ArenaEntry<Self>) {
        if this.halves.release() {
            FREE_ENTRIES.push(this);
        }
    }

    /// The thread's set, whose memory is permanent.
    ///
    /// The caller is the thread, or holds the set.
    fn shared(&self) -> &'static ArenaEntry<SetShared> {
        // SAFETY: `new` stored the address of permanent memory, which the caller keeps this set's.
        unsafe { &*self.shared.load(Ordering::Relaxed) }
    }

    /// Thread: is done; enters the queue of its set, which may be dropped already, unless it did so by
    /// [`SetEntry::hook`].
    pub(in crate::thread) fn done(this: &'static ArenaEntry<Self>) {
        let shared = this.shared();
        if !this.is_queued.load(Ordering::Relaxed) {
            shared.queue.push(this.id(), &this.queue_link);
        }
        Self::release_half(this);
        SetShared::unref(shared);
    }

    /// The hook that has the thread enter the queue, and wake the task that polls the set, while code of
    /// the program may run on it: a waker is such code.
    pub(in crate::thread) fn hook(this: &'static ArenaEntry<Self>) -> ReadyHook {
        unsafe fn ready(words: [*const (); 2]) {
            // SAFETY: the address of an entry, of which the thread still has its half.
            let this: &'static ArenaEntry<SetEntry> = unsafe { &*words[0].cast() };
            let shared = this.shared();
            this.is_queued.store(true, Ordering::Relaxed);
            shared.queue.push(this.id(), &this.queue_link);
            shared.waker.wake();
        }
        ReadyHook {
            run: ready,
            words: [ptr::from_ref(this).cast(), ptr::null()],
        }
    }

    /// Set: whether the thread has given up its half, which is after it entered the queue.
    pub(in crate::thread) fn is_left_by_thread(&self) -> bool {
        self.halves.is_left()
    }
}

/// The entry of a thread that is not made yet: a spawn that fails drops its closure, which may
/// panic.
pub(in crate::thread) struct PendingEntry {
    pub(in crate::thread) entry: &'static ArenaEntry<SetEntry>,
    pub(in crate::thread) shared: &'static ArenaEntry<SetShared>,
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        // Both halves: no thread was made that could release its own.
        SetEntry::release_half(self.entry);
        SetEntry::release_half(self.entry);
        SetShared::unref(self.shared);
    }
}

/// Reverses a list from the queue; returns the id that was pushed first.
pub(in crate::thread) fn reverse(mut last: u32) -> u32 {
    let mut first = 0;
    while last != 0 {
        let entry = ENTRIES.entry(last);
        let before = entry.queue_link.load(Ordering::Relaxed);
        entry.queue_link.store(first, Ordering::Relaxed);
        first = last;
        last = before;
    }
    first
}
