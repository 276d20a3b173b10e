//! Threads with no libc: this crate owns the thread pointer.
//!
//! * [`tls_image`]: the program's thread-local image, found through its program headers.
//! * `start`: from the kernel's first instruction to the program's `main`, and its end;
//!   `relocate`: a static PIE moves itself; `builtins`: what compilers call unasked.
//! * `main_thread`: the main thread's control block.
//! * [`idle_memory`]: how much of the stacks of ended threads stays resident.
//! * [`tcb`]: where TLS block and control words lie around a thread pointer, by the
//!   architecture's TLS variant.
//!
//! The main thread must have been initialized ([`init_main_thread`], which `start` calls) before
//! the first spawn: in a process that a libc started, a thread without the libc's control block would
//! corrupt `errno` and the heap, so there `spawn` says `Unsupported`.
#![allow(unsafe_code, reason = "builds thread control blocks")]

#[cfg(all(feature = "start", not(test)))]
mod builtins;
mod idle_memory;
mod main_thread;
#[cfg(any(feature = "start", test))]
#[cfg_attr(
    test,
    allow(
        dead_code,
        reason = "`start`, which calls it, is not part of unit tests"
    )
)]
mod relocate;
#[cfg(all(feature = "start", not(test)))]
pub mod start;
mod tcb;
mod tls_image;

use core::ptr;
use core::sync::atomic::Ordering;

use super::api::{CloneTls, Runtime};
use super::record::{self, RecordPtr};
use crate::error::Error;
use crate::stack::cache::Cache;
use crate::stack::slot::ALIVE;
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, task};
pub use main_thread::init_main_thread;
use tcb::{CACHE, Slot, Tcb, current_data};

/// The freestanding runtime.
#[derive(Debug)]
pub(crate) struct Freestanding;

impl Runtime for Freestanding {
    type Tcb = Tcb;

    const KEEPS_FOREIGN_RECORDS: bool = false;

    fn cache() -> &'static Cache<Tcb> {
        &CACHE
    }

    fn ensure_init() -> Result<(), Error> {
        if tls_image::is_initialized() {
            return Ok(());
        }
        Err(Error::unsupported(
            "this program's main thread was not initialized, so a libc may own the thread pointer",
            "With a libc enable the feature `hosted` or `std`; in a program without one use the feature \
             `start`, or call `runtime::init_main_thread` once.",
            None,
        ))
    }

    fn tcb_reserve() -> usize {
        tls_image::get().map_or(0, |image| tcb::size(&image)) + 1024
    }

    unsafe fn create_tcb(slot: Slot) -> Result<(), Error> {
        let Some(image) = tls_image::get() else {
            return Self::ensure_init();
        };
        let (base, len) = slot.region().stack();
        let (thread_pointer, stack_top) = tcb::layout_tcb(base as usize + len, &image);
        // SAFETY: the slot is the caller's alone.
        unsafe {
            *slot.tcb() = Tcb {
                thread_pointer: thread_pointer as *mut u8,
                stack_top,
                kept: 0,
            };
        }
        Ok(())
    }

    fn put_used(slot: Slot) {
        idle_memory::apply(slot);
        CACHE.put_idle(slot);
    }

    fn set_idle_memory(bytes: usize) {
        idle_memory::set(bytes);
    }

    unsafe fn destroy_tcb(slot: Slot) -> bool {
        // SAFETY: SLOT-1: the slot is the caller's alone.
        unsafe { idle_memory::forget(slot) };
        // Its memory may become another slot's: then `after_fork` must not take this one for it.
        // SAFETY: SLOT-1: the slot is the caller's alone.
        unsafe { (&raw mut (*slot.tcb()).thread_pointer).write(ptr::null_mut()) };
        true
    }

    unsafe fn prepare_clone(slot: Slot) -> CloneTls {
        // SAFETY: the slot is the caller's alone (SLOT-1) and has a TCB.
        let tcb = unsafe { &*slot.tcb() };
        if let Some(image) = tls_image::get() {
            // SAFETY: OWNTCB-1 and OWNTCB-2: the block lies in the slot, on which no thread runs, and
            // above the frames of the next one.
            unsafe { tcb::write(tcb.thread_pointer, &image) };
        }
        // SAFETY: written just now, or when the TCB was created (OWNTCB-1).
        let data = unsafe { tcb::data_of(tcb.thread_pointer) };
        CloneTls {
            tls: tcb.thread_pointer as usize,
            parent_tid: data.tid.as_ptr() as usize,
            stack_top: tcb.stack_top,
        }
    }

    unsafe fn cancel_clone(_slot: Slot) {}

    unsafe fn on_thread_start(_slot: Slot) {}

    unsafe fn run_destructors(_slot: Slot) {
        // SAFETY: null, or the calling thread's record, which is permanent memory; its closure has
        // ended.
        unsafe {
            if let Some(record) = Self::current().as_ref() {
                record.tls_values().run_dtors();
            }
        }
    }

    unsafe fn on_thread_exit(_slot: Slot) {
        // From here no handler of the program runs on this thread.
        signal::block(SigSet::ALL);
        // SAFETY: null.
        unsafe { Self::set_current(ptr::null()) };
    }

    unsafe fn reset_for_reuse(slot: Slot) -> bool {
        // SAFETY: passed on.
        unsafe { Self::on_thread_exit(slot) };
        if let Some(image) = tls_image::get() {
            // SAFETY: OWNTCB-1; no code of the program runs on this thread before its next task.
            unsafe { tcb::reset_tls((*slot.tcb()).thread_pointer, &image) };
        }
        // The kernel starts a thread without an alternate stack; the task's goes with its memory.
        // SAFETY: none is installed, and nothing runs on the old one.
        let _ = unsafe { signal::set_alternate_stack(ptr::null_mut(), 0) };
        // And without a robust list, which the kernel walks at the thread's end only.
        !task::robust_list().is_ok_and(|head| !head.is_null())
    }

    /// The next `prepare_clone` writes the whole TCB.
    unsafe fn recover(slot: Slot, _is_intact: bool) -> bool {
        CACHE.owns(slot)
    }

    fn fork_generation() -> u32 {
        CACHE.fork_generation()
    }

    fn tid() -> i32 {
        current_data().map_or_else(task::tid, |data| data.tid.load(Ordering::Relaxed))
    }

    fn native_stack() -> (usize, usize) {
        if task::tid() == task::pid() {
            main_stack()
        } else {
            (0, 0)
        }
    }

    fn current() -> RecordPtr {
        current_data().map_or(ptr::null(), |data| {
            data.record.load(Ordering::Relaxed).cast_const()
        })
    }

    unsafe fn set_current(record: RecordPtr) {
        if let Some(data) = current_data() {
            data.record.store(record.cast_mut(), Ordering::Relaxed);
        }
    }
}

#[cfg(all(feature = "start", not(test)))]
use start::{main_stack, note_fork};

/// Not known: `start` did not start the program.
#[cfg(not(all(feature = "start", not(test))))]
fn main_stack() -> (usize, usize) {
    (0, 0)
}

/// The code that started the program ends it.
#[cfg(not(all(feature = "start", not(test))))]
fn note_fork(_from: i32, _tid: i32) {}

/// In the child of a fork: the calling thread has another tid than the copied words say, the kernel
/// clears no word at its end, and the parent's threads are not here (SLOT-4 of `stack::slot`).
pub(crate) fn after_fork() {
    CACHE.clear_after_fork();
    if let Some(data) = current_data() {
        let tid = task::tid();
        note_fork(data.tid.load(Ordering::Relaxed), tid);
        data.tid.store(tid, Ordering::Relaxed);
    }
    let thread_pointer = arch::thread_pointer();
    let slot = CACHE.iter().find(|slot| {
        // SAFETY: the field of a permanent entry; this process has no other thread that writes it.
        unsafe { (&raw const (*slot.tcb()).thread_pointer).read() == thread_pointer }
    });
    let address = slot.map_or(ptr::null_mut(), |slot| {
        ptr::from_ref(slot).cast_mut().cast()
    });
    // SAFETY: null, or the calling thread's record.
    unsafe { record::after_fork(Freestanding::current(), address) };
    if let Some(slot) = slot {
        // SAFETY: the slot's control words are never unmapped.
        let set = unsafe { task::set_tid_address(slot.clear_tid().as_ptr()) };
        // Where a filter refuses, the kernel will not signal this thread's end: the slot stays the
        // parent's, which nothing here waits for or uses again.
        if set.is_ok() {
            CACHE.adopt(slot);
            slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        }
    }
}

/// Notes which packet's closure runs on the calling thread; null for none.
#[cfg(feature = "panic-thread")]
pub(crate) fn set_running(packet: *mut ()) {
    if let Some(data) = current_data() {
        data.running.store(packet, Ordering::Relaxed);
    }
}

/// The packet whose closure runs on the calling thread; null for none.
#[cfg(feature = "panic-thread")]
pub(crate) fn running() -> *mut () {
    current_data().map_or(ptr::null_mut(), |data| data.running.load(Ordering::Relaxed))
}

/// Notes that the calling thread panics; whether it did already.
#[cfg(feature = "panic-thread")]
pub(crate) fn begin_panic() -> bool {
    current_data().is_some_and(|data| data.panicking.swap(true, Ordering::Relaxed))
}

/// Whether the calling thread panics.
#[cfg(feature = "panic-thread")]
pub(crate) fn is_panicking() -> bool {
    current_data().is_some_and(|data| data.panicking.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::cache::{self, Acquired};

    /// `after_fork` finds the calling thread's slot by the thread pointer, and addresses come again.
    #[test]
    fn a_slot_without_tcb_has_no_thread_pointer() {
        let Ok(Acquired::Uninit(slot)) = CACHE.acquire(64 * 1024, cache::default_guard()) else {
            panic!("no thread has used a slot in this program, so none has a TCB");
        };
        let thread_pointer = slot.region().stack().0;
        // SAFETY: the slot was just taken; it is given a TCB as far as `destroy_tcb` is concerned.
        let left = unsafe {
            (*slot.tcb()).thread_pointer = thread_pointer;
            assert!(Freestanding::destroy_tcb(slot));
            (*slot.tcb()).thread_pointer
        };
        assert!(left.is_null());
        CACHE.put_uninit(slot);
    }
}
