//! The calling thread's record.
#![allow(unsafe_code, reason = "shares records by counted pointers")]

use core::sync::atomic::AtomicU32;

use super::api::Runtime;
use super::chosen::Rt;
use super::name::Name;
use super::record::{self, RecordPtr, ThreadInner, ThreadRef};
use super::std_park;
use crate::sys::task;

/// The calling thread's record; makes one if it has none yet.
///
/// # Panics
/// Without memory for a record.
pub(crate) fn current() -> ThreadRef {
    let raw = Rt::current();
    if !raw.is_null() {
        // SAFETY: RECORD-3.
        return unsafe { ThreadRef::clone_raw(raw) };
    }
    let record = if is_main() {
        ThreadRef::new_main(native_name())
    } else {
        ThreadRef::new(native_name())
    };
    let record = match record {
        Ok(record) => record,
        Err(error) => panic!("no record for the current thread: {error}"),
    };
    record.set_tid(Rt::tid());
    // SAFETY: the clone's reference is the runtime's.
    unsafe { Rt::set_current(record.clone().into_raw()) };
    // Without, each call makes another record, and tokens are given where the thread does not sleep.
    assert!(
        !Rt::KEEPS_FOREIGN_RECORDS || !Rt::current().is_null(),
        "no memory to remember the thread's record"
    );
    // std was asked for the name just now, so it has its handle.
    std_park::hand_over(&record);
    record
}

/// The calling thread's record if it has one: asking takes no memory.
#[cfg(feature = "panic-thread")]
pub(crate) fn try_current() -> Option<ThreadRef> {
    let raw = Rt::current();
    // SAFETY: RECORD-3.
    (!raw.is_null()).then(|| unsafe { ThreadRef::clone_raw(raw) })
}

/// The calling thread's record, for use by the thread itself; makes one if it has none yet.
///
/// # Panics
/// Without memory for a record, or for libc's memory of it.
pub(crate) fn current_ref() -> &'static ThreadInner {
    if Rt::current().is_null() {
        drop(current());
    }
    // SAFETY: null, or permanent memory.
    let record = unsafe { Rt::current().as_ref() };
    record.expect("`current` has made one")
}

/// The calling thread's count of [`ThreadInner::held_locks`], if it has a record.
pub(crate) fn held_locks() -> Option<&'static AtomicU32> {
    // SAFETY: null, or permanent memory.
    let record = unsafe { Rt::current().as_ref() };
    record.map(|record| record.held_locks())
}

/// Makes `raw` the calling thread's record at the thread's start.
///
/// A signal handler that ran first and asked for the thread has made one, as for a thread that this
/// crate did not make: that one is released.
///
/// # Safety
/// `raw` is the reference that the thread's packet holds; the runtime has it from here on, until the
/// thread's end.
pub(crate) unsafe fn install_at_start(raw: RecordPtr) {
    // SAFETY: the runtime gives up what it returned just now, for it is replaced.
    unsafe {
        record::drop_native(Rt::current(), Rt::set_current);
        Rt::set_current(raw);
    }
}

/// The name of a thread that this crate did not make.
#[cfg(feature = "std")]
fn native_name() -> Name {
    if !std_park::can_ask_std() {
        return main_name();
    }
    let thread = std_park::ask_std();
    match thread.as_ref().and_then(std::thread::Thread::name) {
        Some(name) => Name::new(name).unwrap_or(Name::NONE),
        None => main_name(),
    }
}

/// The name of a thread that this crate did not make.
#[cfg(not(feature = "std"))]
fn native_name() -> Name {
    main_name()
}

/// Whether the calling thread is the process's first.
fn is_main() -> bool {
    Rt::tid() == task::pid()
}

/// The main thread's name; no other thread has it.
fn main_name() -> Name {
    if is_main() {
        Name::new("main").unwrap_or(Name::NONE)
    } else {
        Name::NONE
    }
}
