//! The record of a thread: what others know it by, for as long as anybody does.
//!
//! Records live in an arena: an `unpark` through a handle of a thread long gone finds a
//! record, and a name is readable as long as a handle exists.
#![allow(unsafe_code, reason = "shares records by counted pointers")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::num::NonZeroU64;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::state::State;
use super::{Rt, Runtime};
use crate::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::diagnosis;
use crate::error::Error;
use crate::sys::futex::{self, Deadline, Sharing};
use crate::sys::{Errno, task};

/// One thread's record.
///
/// Invariants:
/// * RECORD-1: `refs` counts the [`ThreadRef`] values of this record; at 0 it is on the free list.
/// * RECORD-2: `id`, `name` are written only by who took the record from the free list, before
///   anybody else can reach it.
pub(crate) struct ThreadInner {
    refs: AtomicUsize,
    id: AtomicU64,
    /// The tid that the kernel gave; 0 until known.
    tid: AtomicI32,
    /// See [`ThreadInner::park`].
    parker: AtomicU32,
    /// Which of thread and handle still use the thread's slot.
    state: State,
    /// Lowest address and end of the stack that the thread's frames have; 0 where not ours.
    stack: [AtomicUsize; 2],
    /// The slot the thread runs on; null for threads that are not of this crate's making.
    slot: AtomicPtr<()>,
    /// The newest of the thread's thread-locals; see [`super::locals`].
    tls_values: AtomicPtr<()>,
    name: UnsafeCell<Name>,
}

// SAFETY: plain fields follow RECORD-2.
unsafe impl Sync for ThreadInner {}
// SAFETY: zero is a record without references, name, slot.
unsafe impl Zeroable for ThreadInner {}

static RECORDS: Arena<ThreadInner> = Arena::new();
static FREE: FreeList = FreeList::new();

/// Values of the parker word.
///
/// | value | meaning |
/// |---|---|
/// | `EMPTY` | no token; the thread is not parked |
/// | `NOTIFIED` | a token waits for the next park |
/// | `PARKED` | the thread sleeps, or is about to, until the word changes |
const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = u32::MAX;

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

    /// In the child of a fork, the caller's own record: the threads that used its tid in the parent
    /// are not here and will never say that they are done.
    pub(crate) fn reset_pins(&self) {
        self.state.reset_pins();
    }

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

    pub(crate) fn slot(&self) -> *mut () {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_slot(&self, slot: *mut ()) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub(crate) fn tls_values(&self) -> &AtomicPtr<()> {
        &self.tls_values
    }

    pub(crate) fn name(&self) -> Option<&str> {
        // SAFETY: by RECORD-2 nobody writes the name while a reference exists.
        unsafe { &*self.name.get() }.as_str()
    }

    /// Sleeps until there is a token, and takes it; the calling thread must be this record's.
    ///
    /// Acquire on taking pairs with [`ThreadInner::unpark`]'s Release: what was written before an
    /// unpark is visible after the park that it ends.
    pub(crate) fn park(&self, deadline: Option<Deadline>) {
        // NOTIFIED -> EMPTY, or EMPTY -> PARKED: one subtraction does both.
        if self.parker.fetch_sub(1, Ordering::Acquire) == NOTIFIED {
            return;
        }
        loop {
            let timed_out = futex::wait(&self.parker, PARKED, deadline, Sharing::Private).is_err();
            if self
                .parker
                .compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Acquire)
                .is_ok()
            {
                return;
            }
            if timed_out {
                // A token that comes at this instant is taken, not lost.
                self.parker.swap(EMPTY, Ordering::Acquire);
                return;
            }
        }
    }

    /// Leaves a token and wakes the thread if it sleeps. Async-signal-safe.
    pub(crate) fn unpark(&self) {
        if self.parker.swap(NOTIFIED, Ordering::Release) == PARKED {
            futex::wake(self.parker.as_ptr(), 1, Sharing::Private);
        }
    }
}

/// The arena could not grow, which it does by as much as it has.
fn alloc_error(errno: Errno) -> Error {
    diagnosis::map_error(errno, RECORDS.next_chunk_bytes())
}

/// A counted reference to a record.
pub(crate) struct ThreadRef(&'static ArenaEntry<ThreadInner>);

impl ThreadRef {
    /// A record for a thread that is about to be made.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new(name: Name) -> Result<Self, Error> {
        let entry = match FREE.pop(&RECORDS) {
            Some(entry) => entry,
            None => RECORDS.alloc().map_err(alloc_error)?,
        };
        // SAFETY: RECORD-2: the record is on no list and nobody refers to it.
        unsafe { *entry.name.get() = name };
        entry.id.store(next_id(), Ordering::Relaxed);
        entry.tid.store(0, Ordering::Relaxed);
        entry.parker.store(EMPTY, Ordering::Relaxed);
        entry.state.reset();
        entry.slot.store(ptr::null_mut(), Ordering::Relaxed);
        entry.tls_values.store(ptr::null_mut(), Ordering::Relaxed);
        entry.set_stack(0, 0);
        entry.refs.store(1, Ordering::Relaxed);
        Ok(Self(entry))
    }

    /// The address under which a runtime remembers it, and the reference with it.
    pub(crate) fn into_raw(self) -> *mut () {
        let entry = self.0;
        core::mem::forget(self);
        ptr::from_ref(entry).cast_mut().cast()
    }

    /// The address under which a runtime remembers it, without the reference.
    pub(crate) fn as_raw(&self) -> *mut () {
        ptr::from_ref(self.0).cast_mut().cast()
    }

    /// Takes the reference back.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and its reference was not taken back yet.
    pub(crate) unsafe fn from_raw(raw: *mut ()) -> Self {
        // SAFETY: an entry is permanent.
        Self(unsafe { &*raw.cast::<ArenaEntry<ThreadInner>>() })
    }

    /// One more reference to the record behind an address.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, and its reference was not taken back yet.
    pub(crate) unsafe fn clone_raw(raw: *mut ()) -> Self {
        // SAFETY: passed on; the clone is the caller's, the original stays where it is.
        let original = core::mem::ManuallyDrop::new(unsafe { Self::from_raw(raw) });
        Self::clone(&original)
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
        // Release: our uses before the count; Acquire by the last: everybody's uses before reuse.
        if self.0.refs.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The name is dropped by who takes the record next: the last reference may be let go
            // by a thread whose allocator state is already gone.
            FREE.push(self.0);
        }
    }
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

/// The calling thread's record; makes one if it has none yet.
///
/// # Panics
/// Without memory for a record.
pub(crate) fn current() -> ThreadRef {
    let raw = Rt::current();
    if !raw.is_null() {
        // SAFETY: the runtime holds the reference for as long as it returns the address.
        return unsafe { ThreadRef::clone_raw(raw) };
    }
    let record = match ThreadRef::new(native_name()) {
        Ok(record) => record,
        Err(error) => panic!("no record for the current thread: {error}"),
    };
    record.set_tid(Rt::tid());
    Rt::set_current(record.clone().into_raw());
    record
}

/// The calling thread's record if it has one: asking takes no memory.
#[cfg(feature = "panic-thread")]
pub(crate) fn try_current() -> Option<ThreadRef> {
    let raw = Rt::current();
    // SAFETY: as in `current`.
    (!raw.is_null()).then(|| unsafe { ThreadRef::clone_raw(raw) })
}

/// The record behind an address that [`Rt::current`] returned.
///
/// # Safety
/// The calling thread's record, used no longer than the thread lives.
pub(super) unsafe fn from_raw_ref(raw: *mut ()) -> &'static ThreadInner {
    // SAFETY: a record is permanent memory.
    unsafe { &*raw.cast::<ArenaEntry<ThreadInner>>() }
}

/// The calling thread's record, for use by the thread itself; makes one if it has none yet.
///
/// # Panics
/// Without memory for a record, or for libc's memory of it.
pub(crate) fn current_ref() -> &'static ThreadInner {
    if Rt::current().is_null() {
        drop(current());
    }
    let raw = Rt::current();
    assert!(!raw.is_null(), "no memory to remember the thread's record");
    // SAFETY: just asked.
    unsafe { from_raw_ref(raw) }
}

/// In the child of a fork: the calling thread has another tid; see also [`ThreadInner::reset_pins`].
pub(crate) fn after_fork() {
    let raw = Rt::current();
    if !raw.is_null() {
        // SAFETY: the calling thread's record.
        let record = unsafe { from_raw_ref(raw) };
        record.reset_pins();
        record.set_tid(task::tid());
    }
}

/// Makes `raw` the calling thread's record at its beginning.
///
/// A signal handler that came first and asked for the thread has made one, as for a thread of
/// others' making: it is let go.
pub(crate) fn install_at_start(raw: *mut ()) {
    drop_native(Rt::current());
    Rt::set_current(raw);
}

/// Lets go of the record of a thread that this crate did not make, at its end. Its thread-locals
/// are dropped first.
pub(crate) fn drop_native(raw: *mut ()) {
    if !raw.is_null() {
        // SAFETY: the runtime gives back what `current` stored for the calling thread.
        let record = unsafe { from_raw_ref(raw) };
        if !record.tls_values().load(Ordering::Relaxed).is_null() {
            // Destructors may ask who they run on, and for other thread-locals.
            Rt::set_current(raw);
            super::tls_values::run_dtors_for(record);
            Rt::set_current(ptr::null_mut());
        }
        // SAFETY: the runtime gives back what `current` stored.
        drop(unsafe { ThreadRef::from_raw(raw) });
    }
}

/// The name of a thread that this crate did not make.
fn native_name() -> Name {
    #[cfg(feature = "std")]
    if let Some(name) = std::thread::current().name() {
        return Name::new(name).unwrap_or(Name::NONE);
    }
    if Rt::tid() == task::pid() {
        return Name::new("main").unwrap_or(Name::NONE);
    }
    Name::NONE
}

fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Longest name that is kept without an allocator, in bytes.
const INLINE_CAP: usize = 64;

/// A thread's name: inline while it is short, on the heap where there is one.
pub(crate) struct Name {
    len: usize,
    /// The first `len - 1` bytes are a str's; the others were never written.
    inline: [MaybeUninit<u8>; INLINE_CAP],
    #[cfg(feature = "alloc")]
    heap: Option<alloc::boxed::Box<str>>,
}

impl Name {
    /// No name.
    pub(crate) const NONE: Self = Self {
        len: 0,
        inline: [MaybeUninit::uninit(); INLINE_CAP],
        #[cfg(feature = "alloc")]
        heap: None,
    };

    /// Keeps a copy of `name`; `None` if it is too long for a program without an allocator.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let mut kept = Self::NONE;
        if name.len() < INLINE_CAP {
            for (place, byte) in kept.inline.iter_mut().zip(name.as_bytes()) {
                place.write(*byte);
            }
            // 0 means "no name", so an empty one counts its terminator.
            kept.len = name.len() + 1;
            return Some(kept);
        }
        #[cfg(feature = "alloc")]
        {
            kept.heap = Some(name.into());
            Some(kept)
        }
        #[cfg(not(feature = "alloc"))]
        None
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        #[cfg(feature = "alloc")]
        if let Some(heap) = &self.heap {
            return Some(heap);
        }
        // SAFETY: `new` copied exactly these bytes from a str.
        let text = || unsafe {
            let bytes = core::slice::from_raw_parts(self.inline.as_ptr().cast(), self.len - 1);
            core::str::from_utf8_unchecked(bytes)
        };
        (self.len > 0).then(text)
    }

    /// The first 15 bytes and a NUL, as the kernel's comm takes them.
    pub(crate) fn comm(&self) -> Option<[u8; 16]> {
        let name = self.as_str()?.as_bytes();
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name[..len]);
        Some(comm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn names_come_back_whole() {
        for len in [0, 1, 15, 16, 62, 63, 64, 65, 1000] {
            let text: String =
                "é".chars().cycle().take(len / 2).collect::<String>() + &"x".repeat(len % 2);
            let Some(name) = Name::new(&text) else {
                assert!(len >= INLINE_CAP && cfg!(not(feature = "alloc")));
                continue;
            };
            assert_eq!(name.as_str(), Some(&*text));
            assert_eq!(name.comm().unwrap()[15], 0);
        }
        assert_eq!(Name::NONE.as_str(), None);
    }
}
