//! pthread keys: the destructors libc would run at a thread's end, and the key that remembers the
//! calling thread's record.
#![allow(unsafe_code, reason = "calls destructors that C code registered")]

use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::key_table::KeyTable;
use super::{libc_layout, pin};
use crate::error::{Error, Operation};
use crate::runtime::record::{self, RecordPtr};
use crate::sys::Errno;

/// PTHREAD_KEYS_MAX of glibc; musl has 128, all of which lie in its table.
const KEYS_MAX_GLIBC: u32 = 1024;
const KEYS_MAX_OTHER: u32 = 128;
/// PTHREAD_DESTRUCTOR_ITERATIONS.
pub(super) const ROUNDS: usize = 4;

/// Runs the destructors of the values that the calling thread's keys have now; whether there were
/// any. Values that the destructors set are for the next round.
///
/// # Safety
/// The thread's closure has ended.
pub(super) unsafe fn run_destructors() -> bool {
    let Some(table) = libc_layout::try_get().and_then(|host| host.layout.keys) else {
        return false;
    };
    let mut any = false;
    drain_values(Some(table), |key, value| {
        if let Some(destructor) = table.destructor(key) {
            // SAFETY: the one that was registered for such values.
            unsafe { destructor(value) };
            any = true;
        }
    });
    any
}

/// Leaves the calling thread without values, as a new thread is: what destructors set in their
/// last round, or no destructor took, is lost as it is at a pthread's end.
pub(super) fn reset() {
    drain_values(
        libc_layout::try_get().and_then(|host| host.layout.keys),
        |_, _| (),
    );
    // SAFETY: null.
    unsafe { set_current(ptr::null()) };
}

/// Sets every value of the calling thread but its record to null and hands it to `on_value`.
fn drain_values(table: Option<KeyTable>, mut on_value: impl FnMut(u32, *mut c_void)) {
    let record_key = RECORD_KEY.load(Ordering::Relaxed);
    let max = match table {
        Some(KeyTable { stride: 16, .. }) => KEYS_MAX_GLIBC,
        _ => KEYS_MAX_OTHER,
    };
    for key in (0..max).take_while(|key| !table.is_some_and(|table| table.is_past_end(*key))) {
        if key == record_key {
            continue;
        }
        // SAFETY: asking for a key that does not exist gives null in every libc.
        let value = unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) };
        if !value.is_null() {
            // SAFETY: the key has a value, so it exists; null is what a new thread would see.
            unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, ptr::null()) };
            on_value(key, value);
        }
    }
}

/// The key under which every thread finds its record; `NO_KEY` until the first is asked for.
static RECORD_KEY: AtomicU32 = AtomicU32::new(NO_KEY);
const NO_KEY: u32 = u32::MAX;

static KEY: Operation = Operation {
    name: "pthread_key_create",
    purpose: "make a key for the current thread's record",
    hint: |_| "Delete unused keys: a process has PTHREAD_KEYS_MAX.",
};

/// Creates the key if there is none yet.
pub(super) fn create_record_key() -> Result<(), Error> {
    if RECORD_KEY.load(Ordering::Acquire) != NO_KEY {
        return Ok(());
    }
    // libc keeps the address of the destructor.
    pin::pin_library();
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: the destructor takes what `set_current` stores.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(native_thread_dtor)) };
    if made != 0 {
        return Err(Error::from_operation(&KEY, Errno::new(made)));
    }
    if RECORD_KEY
        .compare_exchange(NO_KEY, key as u32, Ordering::Release, Ordering::Relaxed)
        .is_err()
    {
        // SAFETY: ours, and unused.
        unsafe { libc::pthread_key_delete(key) };
    }
    Ok(())
}

/// PTHREAD_KEY_2NDLEVEL_SIZE of glibc: beyond that, a thread's first value takes memory, which stays in the
/// thread's control block until libc ends the thread. Other libcs have a place for each key in each thread.
const KEYS_WITH_PLACE: u32 = 32;

/// Whether a thread's record may be refused for want of memory.
pub(super) fn takes_memory() -> bool {
    let key = RECORD_KEY.load(Ordering::Relaxed);
    key != NO_KEY && key >= KEYS_WITH_PLACE
}

/// Sees to it that the calling thread can remember a record; false if libc has no memory for it. A thread
/// that could not would have a new record, and another token, each time it is asked for its own.
///
/// # Safety
/// The thread has no record, and no signal handler of the program can run.
pub(super) unsafe fn keep_place() -> bool {
    if !takes_memory() {
        return true;
    }
    let key = RECORD_KEY.load(Ordering::Acquire) as libc::pthread_key_t;
    // SAFETY: the key is never deleted; no code asks for the value before it is null again.
    unsafe {
        libc::pthread_setspecific(key, ptr::without_provenance(1)) == 0
            && libc::pthread_setspecific(key, ptr::null()) == 0
    }
}

/// Ends a thread that libc made for this crate, given its record; false if the record is another
/// thread's. Its caller vouches that the record is the calling thread's, taken out of the key.
pub(super) type EndHook = unsafe fn(RecordPtr) -> bool;

/// An [`EndHook`]; null until `set_end_hook`. Release and Acquire: code needs no order, but the address
/// is stored before any thread is made that needs it.
static END_HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Has libc's threads that this crate asked for ended by `hook`.
pub(super) fn set_end_hook(hook: EndHook) {
    END_HOOK.store(hook as *mut (), Ordering::Release);
}

/// libc calls this at the end of its own threads; raw clones release their record themselves.
unsafe extern "C" fn native_thread_dtor(record: *mut c_void) {
    let hook = END_HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: `set_end_hook` stored a function of this type.
        let hook = unsafe { mem::transmute::<*mut (), EndHook>(hook) };
        // SAFETY: the calling thread's record, which libc has just taken out of the key.
        if unsafe { hook(record.cast_const().cast()) } {
            return;
        }
    }
    // SAFETY: libc gives up the value that `set_current` stored for the calling thread.
    unsafe { record::leave_native(record.cast_const().cast(), set_current, has_values) };
}

/// Whether the calling thread has a value of any key but the record's, whose destructor may be to come.
fn has_values() -> bool {
    // SAFETY: asks for a number.
    let most = unsafe { libc::sysconf(libc::_SC_THREAD_KEYS_MAX) };
    let most = u32::try_from(most).map_or(0, |most| most.min(KEYS_MAX_GLIBC));
    let record_key = RECORD_KEY.load(Ordering::Relaxed);
    (0..most).any(|key| {
        // SAFETY: libc has a place for the key; asking for one that does not exist gives null.
        key != record_key
            && !unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) }.is_null()
    })
}

/// Drops the values of the calling thread's `local!`s; whether there were any.
///
/// # Safety
/// The thread's closure has ended.
pub(super) unsafe fn run_local_dtors() -> bool {
    // SAFETY: null, or the calling thread's record, which is permanent memory.
    unsafe { current().as_ref() }.is_some_and(|record| {
        // SAFETY: as the caller vouches.
        unsafe { record.tls_values().run_dtors() }
    })
}

/// See [`Runtime::current`](crate::runtime::Runtime::current).
pub(super) fn current() -> RecordPtr {
    match RECORD_KEY.load(Ordering::Relaxed) {
        NO_KEY => ptr::null(),
        // SAFETY: the key is never deleted.
        key => unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) }
            .cast_const()
            .cast(),
    }
}

/// See [`Runtime::set_current`](crate::runtime::Runtime::set_current).
///
/// # Safety
/// As there: the key's destructor takes the reference back.
pub(super) unsafe fn set_current(record: RecordPtr) {
    // Acquire: libc's own note that the key exists goes with it, or libc would refuse the value.
    // A thread that has stored one has seen that note, so `current` needs none.
    let key = match RECORD_KEY.load(Ordering::Acquire) {
        NO_KEY if create_record_key().is_ok() => RECORD_KEY.load(Ordering::Acquire),
        key => key,
    };
    if key != NO_KEY {
        // SAFETY: the key is never deleted; the destructor takes such a value. Without memory for
        // the value the thread stays without a remembered record.
        unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, record.cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use std::collections::HashSet;
    use std::vec::Vec;

    static SEEN: AtomicUsize = AtomicUsize::new(0);

    static OWN_KEY: AtomicU32 = AtomicU32::new(0);
    /// Values of the key: whether its destructor asks for the record, and whether it sets another value, in
    /// every round.
    const ASKS: usize = 1;
    const ASKS_AND_STAYS: usize = 2;
    const STAYS: usize = 3;

    unsafe extern "C" fn in_key(value: *mut c_void) {
        if value.addr() != STAYS {
            drop(crate::current());
            SEEN.store(current() as usize, Ordering::Relaxed);
        }
        if value.addr() != ASKS {
            let key = OWN_KEY.load(Ordering::Relaxed) as libc::pthread_key_t;
            // SAFETY: the key is there; the value is never used as an address.
            unsafe { libc::pthread_setspecific(key, ptr::without_provenance(STAYS)) };
        }
    }

    /// Threads of others' making, one after the other, that ask for their record in their closure or in a
    /// destructor only: the records are given back.
    #[test]
    fn records_of_other_threads_are_used_again() {
        drop(crate::current());
        let mut key: libc::pthread_key_t = 0;
        // SAFETY: a key with a destructor.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(in_key)) };
        assert_eq!(made, 0);
        OWN_KEY.store(key as u32, Ordering::Relaxed);
        for (asks_first, value) in [(true, ASKS), (true, ASKS_AND_STAYS), (false, ASKS)] {
            let records: Vec<usize> = (0..64)
                .map(|_| {
                    let thread = std::thread::spawn(move || {
                        if asks_first {
                            drop(crate::current());
                        }
                        // SAFETY: the key is there; the value is never used as an address.
                        unsafe { libc::pthread_setspecific(key, ptr::without_provenance(value)) };
                    });
                    thread.join().unwrap();
                    SEEN.load(Ordering::Relaxed)
                })
                .collect();
            let different: HashSet<_> = records.iter().collect();
            // Other tests use records, too.
            let different = different.len();
            assert!(different < 48, "{different} of 64, {asks_first}, {value}");
        }
    }
}
