//! The values of `local!` thread-locals: made when first asked for, dropped at the thread's end,
//! the newest first.
//!
//! Each thread has a list of entries, newest first, anchored in its record. Entries
//! live in [`block_alloc`]: no allocator is needed.
//!
//! # The life of an entry
//!
//! | `drop` | `destroyed` | meaning |
//! |---|---|---|
//! | some | no | the value is alive and must be dropped |
//! | none | no | the value is alive, and there is nothing to drop |
//! | none | yes | its destructor has begun: no reference to it is given out any more |
//!
//! Entries that are destroyed stay on the list until the last destructor has run, so that a
//! destructor that asks for an earlier destroyed value learns that instead of getting a new one.
//!
//! Invariants:
//! * LOCALS-1: Only its own thread touches a thread's list. A signal handler may interrupt it
//!   anywhere: an entry is complete before one store puts it on the list.
//! * LOCALS-2: An entry lives until [`LocalList::run_dtors`] has returned, which is called when
//!   the thread's closure has ended: no reference to a value that outlives one call is given out.
#![allow(unsafe_code, reason = "keeps values of any type in raw memory")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::arena::block_alloc::{self, Storage};
use crate::sys::Errno;

/// What an entry has beside its value.
struct EntryHeader {
    next: *mut EntryHeader,
    /// Whose value it is: the address of the `static`.
    key: usize,
    drop: Option<unsafe fn(NonNull<EntryHeader>)>,
    destroyed: bool,
    storage: Storage,
}

#[repr(C)]
struct Entry<T> {
    header: EntryHeader,
    value: T,
}

/// What a thread finds under a key.
pub(crate) enum Lookup<T> {
    /// The value, which stays where it is until the thread's end.
    Alive(NonNull<T>),
    /// The value's destructor has begun.
    Destroyed,
    /// The thread has made no value yet.
    Uninit,
}

/// The values of one thread; zero bytes are an empty list.
///
/// The pointer is an atomic for the sake of `Sync` alone: by LOCALS-1 every access is the thread's
/// own, so Relaxed.
pub(crate) struct LocalList(AtomicPtr<EntryHeader>);

impl LocalList {
    /// Looks for the calling thread's value under `key`.
    ///
    /// # Safety
    /// The list is the calling thread's. Values of no other type than `T` are ever put under `key`.
    pub(crate) unsafe fn find<T>(&self, key: usize) -> Lookup<T> {
        let mut entry = self.newest();
        while let Some(header) = entry {
            // SAFETY: on the list of the calling thread (LOCALS-1), so alive (LOCALS-2).
            let found = unsafe { header.as_ref() };
            if found.key == key {
                if found.destroyed {
                    return Lookup::Destroyed;
                }
                // SAFETY: by the contract the entry is of this type; only an address is computed.
                return Lookup::Alive(unsafe { value_of(header) });
            }
            entry = NonNull::new(found.next);
        }
        Lookup::Uninit
    }

    /// Puts a value of the calling thread under `key`, which has none yet.
    ///
    /// # Errors
    /// ENOMEM; the value is dropped.
    ///
    /// # Safety
    /// As [`LocalList::find`].
    pub(crate) unsafe fn insert<T>(&self, key: usize, value: T) -> Result<NonNull<T>, Errno> {
        let (place, storage) = block_alloc::alloc::<Entry<T>>()?;
        // SAFETY: the place is large and aligned enough, and the caller's alone.
        unsafe {
            place.write(Entry {
                header: EntryHeader {
                    next: self.0.load(Ordering::Relaxed),
                    key,
                    drop: core::mem::needs_drop::<T>().then_some(drop_value::<T>),
                    destroyed: false,
                    storage,
                },
                value,
            });
            self.0.store(place.as_ptr().cast(), Ordering::Relaxed);
            Ok(value_of(place.cast()))
        }
    }

    /// Drops the values, the newest first, also those that destructors make, and frees their memory;
    /// whether there were any. A later request for a value makes a new one.
    ///
    /// # Safety
    /// The list is the calling thread's, whose closure has ended (LOCALS-2).
    pub(crate) unsafe fn run_dtors(&self) -> bool {
        let mut entry = self.newest();
        let any = entry.is_some();
        while let Some(mut header) = entry {
            // SAFETY: on the list of the calling thread (LOCALS-1, LOCALS-2). No reference to the
            // entry is alive while its destructor runs.
            let next = unsafe {
                let found = header.as_mut();
                match found.drop.take() {
                    None => NonNull::new(found.next),
                    Some(drop) => {
                        found.destroyed = true;
                        drop(header);
                        // It may have made newer ones.
                        self.newest()
                    }
                }
            };
            entry = next;
        }
        let mut entry = self.newest();
        self.forget();
        while let Some(header) = entry {
            // SAFETY: off the list, and every destructor has run.
            unsafe {
                let (next, storage) = (header.as_ref().next, header.as_ref().storage);
                block_alloc::dealloc(storage);
                entry = NonNull::new(next);
            }
        }
        any
    }

    /// Whether the thread has no values.
    pub(super) fn is_empty(&self) -> bool {
        self.newest().is_none()
    }

    /// Empties the list without dropping what is on it: for the next thread of a record.
    pub(super) fn forget(&self) {
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
    }

    fn newest(&self) -> Option<NonNull<EntryHeader>> {
        NonNull::new(self.0.load(Ordering::Relaxed))
    }
}

/// # Safety
/// `header` is the header of an `Entry<T>`.
unsafe fn value_of<T>(header: NonNull<EntryHeader>) -> NonNull<T> {
    // SAFETY: a field's address in an entry that exists is not null.
    unsafe { NonNull::new_unchecked(&raw mut (*header.cast::<Entry<T>>().as_ptr()).value) }
}

/// # Safety
/// `header` is the header of an `Entry<T>` whose value was not dropped yet.
unsafe fn drop_value<T>(header: NonNull<EntryHeader>) {
    // SAFETY: as the contract says.
    unsafe { value_of::<T>(header).drop_in_place() };
}
