//! Reference-counted thread data: id, name, parker, and the state of the thread's result.
//!
//! Records live in an arena: an `unpark` through a handle of a thread that ended long ago finds a
//! record, and a name is readable as long as a handle exists.
#![allow(unsafe_code, reason = "shares records by counted pointers")]

use core::cell::UnsafeCell;
use core::num::NonZeroU64;
use core::ptr;
#[cfg(feature = "hosted")]
use core::sync::atomic::AtomicU8;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use crossbeam_utils::CachePadded;

use super::closed_mark::ClosedMark;
use super::name::Name;
use super::parker::{Parker, StdHandle};
use super::ready_hook::{HookCell, ReadyHook};
use super::state::State;
use super::tls_values::LocalList;
use crate::arena::{Arena, ArenaEntry, FIRST_CHUNK, FreeList, Zeroable};
use crate::diagnosis;
use crate::error::Error;
use crate::sys::{Errno, task};

/// One thread's record.
///
/// Invariants:
/// * RECORD-1: `refs` counts the [`ThreadRef`] values of this record; at 0 it is on the free list.
/// * RECORD-2: `id` and `name` are written only by the caller that took the record from the free
///   list, while `refs` is 0. Another thread reaches the record by a reference that it copies, or
///   makes where `refs` is not 0.
/// * RECORD-3: A runtime holds one reference to the record whose address its `current` returns, for
///   as long as it returns it.
pub(crate) struct ThreadInner {
    refs: AtomicUsize,
    id: AtomicU64,
    /// The tid that the kernel gave; 0 until known.
    tid: AtomicI32,
    parker: Parker<StdHandle>,
    /// Which of thread and handle still use the thread's slot.
    state: State,
    /// Lowest address and end of the stack that the thread's frames have; 0 where not ours.
    stack: [AtomicUsize; 2],
    /// The slot that the thread runs on (OCCUPANT-2 of `occupant`); null for threads that this crate
    /// did not make.
    slot: AtomicPtr<()>,
    closed_mark: ClosedMark,
    /// How often `leave_native` has kept the record. Relaxed: the thread's own.
    #[cfg(feature = "hosted")]
    rounds_kept: AtomicU8,
    /// Of a task's record: how many locks the thread holds that the kernel knows by their holder
    /// (`primitive::held`). Relaxed: the thread's own.
    held_locks: AtomicU32,
    /// The values of the thread's `local!`s.
    tls_values: LocalList,
    name: UnsafeCell<Name>,
    /// What the thread calls when a future may take its result.
    hook: HookCell,
}

// SAFETY: plain fields follow RECORD-2, the parker's PARKER-1, the hook HOOK-1; std's handles may be sent and
// shared.
unsafe impl Sync for ThreadInner {}
// SAFETY: zero is a record without references, name, token, slot.
unsafe impl Zeroable for ThreadInner {}

static RECORDS: Arena<ThreadInner, FIRST_CHUNK> = Arena::new();
// Every spawn and every end of a thread changes its head, on any processor.
static FREE: CachePadded<FreeList> = CachePadded::new(FreeList::new());

impl ThreadInner {
    pub(crate) fn id(&self) -> NonZeroU64 {
        NonZeroU64::new(self.id.load(Ordering::Relaxed)).unwrap_or(NonZeroU64::MAX)
    }

    pub(crate) fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Handle: has the thread call `hook` when a future may take its result.
    ///
    /// # Errors
    /// It may already: the thread will call no hook.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and no hook of its is set. The hook may be called once on any
    /// thread.
    pub(crate) unsafe fn arm_hook(&self, hook: ReadyHook) -> Result<(), ()> {
        // SAFETY: passed on.
        unsafe { self.hook.arm(&self.state, hook) }
    }

    /// Handle: takes its hook back; `None` if the thread calls it.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and its hook is set.
    pub(crate) unsafe fn disarm_hook(&self) -> Option<ReadyHook> {
        // SAFETY: passed on.
        unsafe { self.hook.disarm(&self.state) }
    }

    /// Handle: the words of its hook.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and has set a hook.
    pub(crate) unsafe fn hook_words(&self) -> [*const (); 2] {
        // SAFETY: passed on.
        unsafe { self.hook.words() }
    }

    /// Thread: takes the hook.
    ///
    /// # Safety
    /// [`State::set_ready`] returned true; called once.
    pub(crate) unsafe fn take_hook(&self) -> ReadyHook {
        // SAFETY: passed on.
        unsafe { self.hook.take() }
    }

    /// In the child of a fork, of a record of the calling thread: the thread has another tid, and the
    /// threads that used the old one in the parent are not here and will not unpin it.
    fn after_fork(&self) {
        self.state.reset_pins();
        self.set_tid(task::tid());
    }

    #[cfg(feature = "hosted")]
    fn reset_rounds(&self) {
        self.rounds_kept.store(0, Ordering::Relaxed);
    }

    /// There are no threads of others' making.
    #[cfg(not(feature = "hosted"))]
    fn reset_rounds(&self) {}

    /// Lowest address and end of the stack; zeroes for threads of others' making.
    pub(crate) fn stack(&self) -> (usize, usize) {
        (
            self.stack[0].load(Ordering::Relaxed),
            self.stack[1].load(Ordering::Relaxed),
        )
    }

    pub(crate) fn set_stack(&self, low: usize, top: usize) {
        self.stack[0].store(low, Ordering::Relaxed);
        self.stack[1].store(top, Ordering::Relaxed);
    }

    /// For `occupant` alone, as `set_slot`.
    pub(super) fn slot(&self) -> *mut () {
        self.slot.load(Ordering::Relaxed)
    }

    pub(super) fn set_slot(&self, slot: *mut ()) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(crate) fn closed_mark(&self) -> &ClosedMark {
        &self.closed_mark
    }

    pub(crate) fn held_locks(&self) -> &AtomicU32 {
        &self.held_locks
    }

    pub(crate) fn tls_values(&self) -> &LocalList {
        &self.tls_values
    }

    pub(crate) fn name(&self) -> Option<&str> {
        // SAFETY: by RECORD-2 the name is not written while a reference exists.
        unsafe { &*self.name.get() }.as_str()
    }

    pub(crate) fn parker(&self) -> &Parker<StdHandle> {
        &self.parker
    }
}

/// The arena could not grow, which it does by as much as it has.
fn alloc_error(errno: Errno) -> Error {
    diagnosis::map_error(errno, RECORDS.next_chunk_bytes())
}

/// The address of a record, with which a runtime or a packet holds one reference to it: made by
/// [`ThreadRef::into_raw`].
pub(crate) type RecordPtr = *const ArenaEntry<ThreadInner>;

/// A counted reference to a record.
pub(crate) struct ThreadRef(&'static ArenaEntry<ThreadInner>);

impl ThreadRef {
    /// A record for a thread that is about to be made.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new(name: Name) -> Result<Self, Error> {
        Self::with_id(name, next_id())
    }

    /// A record for the main thread, whose id is 1 as in std; not if another had that id.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new_main(name: Name) -> Result<Self, Error> {
        // Relaxed: nothing hangs on it but which is first. In a child of a fork another thread may be
        // the main one.
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let id = if TAKEN.swap(true, Ordering::Relaxed) {
            next_id()
        } else {
            MAIN_ID
        };
        Self::with_id(name, id)
    }

    fn with_id(name: Name, id: u64) -> Result<Self, Error> {
        let entry = match FREE.pop(&RECORDS) {
            Some(entry) => entry,
            None => RECORDS.alloc().map_err(alloc_error)?,
        };
        // SAFETY: RECORD-2: the record is on no list and, by RECORD-1, has no reference.
        unsafe {
            *entry.name.get() = name;
            entry.parker.reset();
        }
        entry.id.store(id, Ordering::Relaxed);
        entry.tid.store(0, Ordering::Relaxed);
        entry.state.reset();
        entry.slot.store(ptr::null_mut(), Ordering::Relaxed);
        entry.closed_mark.set(0);
        entry.reset_rounds();
        entry.tls_values.forget();
        entry.set_stack(0, 0);
        // Release: `of_id` finds all of the above. Nothing else changes a count of 0.
        entry.refs.store(1, Ordering::Release);
        Ok(Self(entry))
    }

    /// A reference to the record with this id in the arena, at most [`last_id`]; `None` if the record
    /// is not in use.
    pub(crate) fn of_id(id: u32) -> Option<Self> {
        let entry = RECORDS.try_entry(id)?;
        // Acquire pairs with the Release in `new`, whose sequence every clone and drop continues.
        entry
            .refs
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |refs| {
                (refs > 0).then_some(refs + 1)
            })
            .ok()?;
        Some(Self(entry))
    }

    /// The address under which a runtime remembers it, and the reference with it.
    pub(crate) fn into_raw(self) -> RecordPtr {
        let entry = self.0;
        core::mem::forget(self);
        ptr::from_ref(entry)
    }

    /// The address under which a runtime remembers it, without the reference.
    pub(crate) fn as_raw(&self) -> RecordPtr {
        ptr::from_ref(self.0)
    }

    /// The record, which is permanent memory.
    pub(crate) fn inner(&self) -> &'static ThreadInner {
        self.0
    }

    /// Takes the reference back.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and its reference was not taken back yet.
    pub(crate) unsafe fn from_raw(raw: RecordPtr) -> Self {
        // SAFETY: an entry is permanent.
        Self(unsafe { &*raw })
    }

    /// One more reference to the record behind an address.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and its reference was not taken back yet.
    pub(crate) unsafe fn clone_raw(raw: RecordPtr) -> Self {
        // SAFETY: passed on; the clone is the caller's, the original stays where it is.
        let original = core::mem::ManuallyDrop::new(unsafe { Self::from_raw(raw) });
        Self::clone(&original)
    }
}

/// How often the record of a thread that this crate did not make is kept while its destructors run: libc has
/// four rounds of them, of which a sanitizer uses the last for its own end.
#[cfg(feature = "hosted")]
const ROUNDS_KEPT: u8 = 2;

/// What the destructor of the runtime's key does with the record of a thread that this crate did not make.
/// The record stays until no other key has a value, so that the thread is the same, with the same token, in the
/// destructors to come: std runs those of thread-locals in one where libc has no list of them.
///
/// # Safety
/// As [`drop_native`].
#[cfg(feature = "hosted")]
pub(super) unsafe fn leave_native(
    raw: RecordPtr,
    set_current: unsafe fn(RecordPtr),
    has_values: fn() -> bool,
) {
    // SAFETY: null, or permanent memory.
    let Some(record) = (unsafe { raw.as_ref() }) else {
        return;
    };
    // SAFETY: the reference is the runtime's again; the list is the calling thread's.
    unsafe {
        set_current(raw);
        record.tls_values().run_dtors();
    }
    let kept = record.rounds_kept.load(Ordering::Relaxed);
    if kept < ROUNDS_KEPT && has_values() {
        record.rounds_kept.store(kept + 1, Ordering::Relaxed);
        return;
    }
    // SAFETY: the runtime gives up the reference for good.
    unsafe {
        set_current(ptr::null());
        drop(ThreadRef::from_raw(raw));
    }
}

/// Releases the record of a thread that this crate did not make, at the thread's end; null if it
/// has none. Its thread-locals are dropped first; while they are, `set_current` has the runtime
/// return the record, for their destructors may ask for the current thread and for other
/// thread-locals.
///
/// # Safety
/// `raw` is null or the calling thread's record, whose reference the runtime gives up.
/// `set_current` is the runtime's [`set_current`](super::api::Runtime::set_current).
pub(super) unsafe fn drop_native(raw: RecordPtr, set_current: unsafe fn(RecordPtr)) {
    if raw.is_null() {
        return;
    }
    // SAFETY: passed on.
    let record = unsafe { ThreadRef::from_raw(raw) };
    if !record.tls_values().is_empty() {
        // SAFETY: the reference is dropped after the second call; the list is the calling thread's.
        unsafe {
            set_current(raw);
            record.tls_values().run_dtors();
            set_current(ptr::null());
        }
    }
}

impl core::ops::Deref for ThreadRef {
    type Target = ThreadInner;
    fn deref(&self) -> &ThreadInner {
        self.0
    }
}

impl Clone for ThreadRef {
    fn clone(&self) -> Self {
        // Relaxed: the caller has a reference already. An overflow would need 2^63 handles.
        self.0.refs.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for ThreadRef {
    fn drop(&mut self) {
        // Release: our uses before the count; Acquire by the last: every user's uses before reuse.
        if self.0.refs.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The next taker of the record drops the name: the last reference may be dropped by a
            // thread whose allocator state is already gone.
            FREE.push(self.0);
        }
    }
}

/// In the child of a fork: the records of the calling thread, `current` and those that name its slot, if it
/// has one, have its new tid and no pins. A worker has two: its task's and its own.
///
/// # Safety
/// `current` is null or the calling thread's record.
pub(super) unsafe fn after_fork(current: RecordPtr, slot: *mut ()) {
    // SAFETY: by the contract; a record is permanent memory.
    if let Some(record) = unsafe { current.as_ref() } {
        record.after_fork();
    }
    if slot.is_null() {
        return;
    }
    for record in (1..=last_id()).filter_map(ThreadRef::of_id) {
        // Of the slot's earlier threads handles may be left.
        if record.slot() == slot && !record.state.is_done() {
            record.after_fork();
        }
    }
}

/// The highest id that [`ThreadRef::of_id`] takes now; 0 for none.
pub(crate) fn last_id() -> u32 {
    RECORDS.last_id()
}

/// Sees to it that the next `n` records need no memory.
///
/// # Errors
/// ENOMEM; what was mapped until then stays.
pub(crate) fn reserve(n: usize) -> Result<(), Error> {
    let held = FreeList::new();
    let mut outcome = Ok(());
    for _ in 0..n {
        match FREE.pop(&RECORDS).map_or_else(|| RECORDS.alloc(), Ok) {
            Ok(entry) => held.push(entry),
            Err(errno) => {
                outcome = Err(alloc_error(errno));
                break;
            }
        }
    }
    while let Some(entry) = held.pop(&RECORDS) {
        FREE.push(entry);
    }
    outcome
}

/// The id of the first main thread of the process, whenever that asks for it.
const MAIN_ID: u64 = 1;

fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(MAIN_ID);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A walk over all records takes no reference to one that is free: dropped, it would free it again.
    #[test]
    fn a_free_record_is_not_found() {
        // Tests beside this one may take the record at any moment, but not each time.
        let is_free = (0..1000).any(|_| {
            let record = ThreadRef::new(Name::NONE).expect("a record");
            let id = record.0.id();
            let found = ThreadRef::of_id(id).expect("it is in use");
            assert!(ptr::eq(found.0, record.0));
            drop((found, record));
            ThreadRef::of_id(id).is_none()
        });
        assert!(is_free);
    }
}
