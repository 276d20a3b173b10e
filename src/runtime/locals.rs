//! The values of `local!` thread-locals: made when first asked for, dropped at the thread's end,
//! the newest first.
//!
//! Each thread has a list of entries, newest first, anchored in its record. Entries
//! live in [`rooms`]: no allocator is needed.
//!
//! # The life of an entry
//!
//! | `drop` | `gone` | meaning |
//! |---|---|---|
//! | some | no | the value is alive and must be dropped |
//! | none | no | the value is alive, and there is nothing to drop |
//! | none | yes | its destructor has begun: nobody may have it any more |
//!
//! Entries that are gone stay on the list until the last destructor has run, so that a destructor
//! that asks for an earlier destroyed value is told so instead of being given a fresh one.
//!
//! Invariants:
//! * LOCALS-1: only its own thread touches a thread's list. A signal handler may interrupt it anywhere:
//!   an entry is complete before one store puts it on the list.
//! * LOCALS-2: an entry lives until [`run`] has returned, and [`run`] is called when the thread's closure
//!   has ended: no reference to a value that outlives one call is given out.
#![allow(unsafe_code, reason = "keeps values of any type in raw memory")]

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use super::record::{self, Record};
use super::rooms::{self, Home};
use super::{Current, Runtime};
use crate::sys::Errno;

/// What an entry has beside its value.
struct Head {
    older: *mut Head,
    /// Whose value it is: the address of the `static`.
    key: usize,
    drop: Option<unsafe fn(NonNull<Head>)>,
    gone: bool,
    home: Home,
}

#[repr(C)]
struct Entry<T> {
    head: Head,
    value: T,
}

/// What a thread finds under a key.
pub(crate) enum Found<T> {
    /// The value, which stays where it is until the thread's end.
    Alive(NonNull<T>),
    /// The value's destructor has begun.
    Gone,
    /// The thread has made no value yet.
    Nothing,
}

/// Looks for the calling thread's value under `key`.
///
/// # Safety
/// Values of no other type than `T` are ever put under `key`.
pub(crate) unsafe fn find<T>(record: &Record, key: usize) -> Found<T> {
    let mut entry = newest(record);
    while let Some(head) = entry {
        // SAFETY: on the list of the calling thread (LOCALS-1), so alive (LOCALS-2).
        let found = unsafe { head.as_ref() };
        if found.key == key {
            if found.gone {
                return Found::Gone;
            }
            // SAFETY: by the contract the entry is of this type; only an address is computed.
            return Found::Alive(unsafe { value_of(head) });
        }
        entry = NonNull::new(found.older);
    }
    Found::Nothing
}

/// Puts a value of the calling thread under `key`, which has none yet.
///
/// # Errors
/// ENOMEM; the value is dropped.
///
/// # Safety
/// As [`find`]; `record` is the calling thread's.
pub(crate) unsafe fn insert<T>(record: &Record, key: usize, value: T) -> Result<NonNull<T>, Errno> {
    let (place, home) = rooms::take::<Entry<T>>()?;
    // SAFETY: the place is large and aligned enough, and nobody else's.
    unsafe {
        place.write(Entry {
            head: Head {
                older: record.locals().load(Ordering::Relaxed).cast(),
                key,
                drop: core::mem::needs_drop::<T>().then_some(drop_value::<T>),
                gone: false,
                home,
            },
            value,
        });
        // Relaxed: nobody but this thread reads it (LOCALS-1).
        record
            .locals()
            .store(place.as_ptr().cast(), Ordering::Relaxed);
        Ok(value_of(place.cast()))
    }
}

/// Drops the calling thread's values, the newest first, also those that destructors make, and
/// frees their memory. What asks for a value after that gets a fresh one.
pub(crate) fn run() {
    let raw = Current::current();
    if !raw.is_null() {
        // SAFETY: the runtime holds a reference to the record it returns.
        run_of(unsafe { record::behind(raw) });
    }
}

/// [`run`] for the record of the calling thread.
pub(super) fn run_of(record: &Record) {
    let mut entry = newest(record);
    while let Some(mut head) = entry {
        // SAFETY: on the list of the calling thread (LOCALS-1, LOCALS-2). No reference to the entry is alive
        // while its destructor runs.
        let older = unsafe {
            let found = head.as_mut();
            match found.drop.take() {
                None => NonNull::new(found.older),
                Some(drop) => {
                    found.gone = true;
                    drop(head);
                    // It may have made newer ones.
                    newest(record)
                }
            }
        };
        entry = older;
    }
    let mut entry = newest(record);
    record.locals().store(ptr::null_mut(), Ordering::Relaxed);
    while let Some(head) = entry {
        // SAFETY: off the list, and every destructor has run.
        unsafe {
            let (older, home) = (head.as_ref().older, head.as_ref().home);
            rooms::give_back(head.as_ptr().cast(), home);
            entry = NonNull::new(older);
        }
    }
}

fn newest(record: &Record) -> Option<NonNull<Head>> {
    NonNull::new(record.locals().load(Ordering::Relaxed).cast())
}

/// # Safety
/// `head` is the head of an `Entry<T>`.
unsafe fn value_of<T>(head: NonNull<Head>) -> NonNull<T> {
    // SAFETY: a field's address in an entry that exists is not null.
    unsafe { NonNull::new_unchecked(&raw mut (*head.cast::<Entry<T>>().as_ptr()).value) }
}

/// # Safety
/// `head` is the head of an `Entry<T>` whose value was not dropped yet.
unsafe fn drop_value<T>(head: NonNull<Head>) {
    // SAFETY: as the contract says.
    unsafe { value_of::<T>(head).drop_in_place() };
}
