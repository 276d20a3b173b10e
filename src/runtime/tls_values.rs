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
//! | none | yes | its destructor has begun: nobody may have it any more |
//!
//! Entries that are destroyed stay on the list until the last destructor has run, so that a
//! destructor that asks for an earlier destroyed value is told so instead of being given a fresh one.
//!
//! Invariants:
//! * LOCALS-1: only its own thread touches a thread's list. A signal handler may interrupt it
//!   anywhere: an entry is complete before one store puts it on the list.
//! * LOCALS-2: an entry lives until [`run_dtors`] has returned, and [`run_dtors`] is called when
//!   the thread's closure has ended: no reference to a value that outlives one call is given out.
#![allow(unsafe_code, reason = "keeps values of any type in raw memory")]

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use super::record::{self, ThreadInner};
use super::{Rt, Runtime};
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

/// Looks for the calling thread's value under `key`.
///
/// # Safety
/// Values of no other type than `T` are ever put under `key`.
pub(crate) unsafe fn find<T>(record: &ThreadInner, key: usize) -> Lookup<T> {
    let mut entry = newest(record);
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
/// As [`find`]; `record` is the calling thread's.
pub(crate) unsafe fn insert<T>(
    record: &ThreadInner,
    key: usize,
    value: T,
) -> Result<NonNull<T>, Errno> {
    let (place, storage) = block_alloc::alloc::<Entry<T>>()?;
    // SAFETY: the place is large and aligned enough, and nobody else's.
    unsafe {
        place.write(Entry {
            header: EntryHeader {
                next: record.tls_values().load(Ordering::Relaxed).cast(),
                key,
                drop: core::mem::needs_drop::<T>().then_some(drop_value::<T>),
                destroyed: false,
                storage,
            },
            value,
        });
        // Relaxed: nobody but this thread reads it (LOCALS-1).
        record
            .tls_values()
            .store(place.as_ptr().cast(), Ordering::Relaxed);
        Ok(value_of(place.cast()))
    }
}

/// Drops the calling thread's values, the newest first, also those that destructors make, and
/// frees their memory; whether there were any. What asks for a value after that gets a fresh one.
pub(crate) fn run_dtors() -> bool {
    let raw = Rt::current();
    if raw.is_null() {
        return false;
    }
    // SAFETY: the runtime holds a reference to the record it returns.
    let record = unsafe { record::from_raw_ref(raw) };
    let any = newest(record).is_some();
    run_dtors_for(record);
    any
}

/// [`run_dtors`] for the record of the calling thread.
pub(super) fn run_dtors_for(record: &ThreadInner) {
    let mut entry = newest(record);
    while let Some(mut header) = entry {
        // SAFETY: on the list of the calling thread (LOCALS-1, LOCALS-2). No reference to the entry
        // is alive while its destructor runs.
        let next = unsafe {
            let found = header.as_mut();
            match found.drop.take() {
                None => NonNull::new(found.next),
                Some(drop) => {
                    found.destroyed = true;
                    drop(header);
                    // It may have made newer ones.
                    newest(record)
                }
            }
        };
        entry = next;
    }
    let mut entry = newest(record);
    record
        .tls_values()
        .store(ptr::null_mut(), Ordering::Relaxed);
    while let Some(header) = entry {
        // SAFETY: off the list, and every destructor has run.
        unsafe {
            let (next, storage) = (header.as_ref().next, header.as_ref().storage);
            block_alloc::dealloc(storage);
            entry = NonNull::new(next);
        }
    }
}

fn newest(record: &ThreadInner) -> Option<NonNull<EntryHeader>> {
    NonNull::new(record.tls_values().load(Ordering::Relaxed).cast())
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
