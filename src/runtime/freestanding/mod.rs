//! Threads with no libc: this crate owns the thread pointer.
//!
//! * [`image`]: the program's thread-local image, found through its program headers.
//! * `start`: from the kernel's first instruction to the program's `main`, and its end;
//!   `relocate`: a static PIE moves itself; `symbols`: what compilers call unasked.
//! * [`control`]: where TLS block and control words lie around a thread pointer, by the
//!   architecture's TLS variant.
//!
//! The main thread must have been adopted ([`adopt_main`], which `start` calls) before the first
//! spawn: in a process that a libc started, a thread without the libc's control block would
//! corrupt `errno` and the heap, so there `spawn` says `Unsupported`.
#![allow(unsafe_code, reason = "builds thread control blocks")]

mod control;
mod image;
#[cfg(any(feature = "start", test))]
mod relocate;
#[cfg(all(feature = "start", not(test)))]
pub mod start;
#[cfg(all(feature = "start", not(test)))]
mod symbols;

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{Runtime, Slot, Words, locals, record};
use crate::error::Error;
use crate::stack::slot::Cache;
use crate::stack::table::Cell;
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, task};
use control::Control;

/// The freestanding runtime.
#[derive(Debug)]
pub(crate) struct Freestanding;

/// What minting leaves on a slot.
///
/// Invariants of a minted identity:
/// * OWNTCB-1: `thread_pointer` and the TLS block around it lie at the top of the slot's stack.
/// * OWNTCB-2: nothing above `stack_top` is used by frames.
#[derive(Debug)]
pub(crate) struct Identity {
    thread_pointer: *mut u8,
    stack_top: usize,
}

// SAFETY: zero is null and 0; access follows SLOT-1 of `stack::slot`.
unsafe impl Cell for Identity {}
// SAFETY: the addresses are used by whoever holds the slot.
unsafe impl Sync for Identity {}

static CACHE: Cache<Identity> = Cache::new();

/// Whether the main thread has a control block of ours.
///
/// | value | meaning |
/// |---|---|
/// | 0 | not adopted: no threads can be made |
/// | 1 | adopted |
///
/// Release and Acquire: the image before the word.
static ADOPTED: AtomicU32 = AtomicU32::new(0);

impl Runtime for Freestanding {
    type Identity = Identity;

    fn cache() -> &'static Cache<Identity> {
        &CACHE
    }

    fn ready() -> Result<(), Error> {
        if ADOPTED.load(Ordering::Acquire) == 1 {
            return Ok(());
        }
        Err(Error::unsupported(
            "this program's main thread was not adopted, so a libc may own the thread pointer",
            "Use the feature `start`, or call `runtime::adopt_main` once in a program without \
             libc; with a libc use the feature `hosted`.",
            None,
        ))
    }

    fn headroom() -> usize {
        image::get().map_or(0, |image| control::room(&image)) + 1024
    }

    unsafe fn mint(slot: Slot) -> Result<(), Error> {
        let Some(image) = image::get() else {
            return Self::ready();
        };
        let (base, len) = slot.region().stack();
        let (thread_pointer, stack_top) = control::place(base as usize + len, &image);
        // SAFETY: the slot is the caller's alone.
        unsafe {
            *slot.identity() = Identity {
                thread_pointer: thread_pointer as *mut u8,
                stack_top,
            };
        }
        Ok(())
    }

    unsafe fn retire(_slot: Slot) -> bool {
        true
    }

    unsafe fn prepare(slot: Slot) -> Words {
        // SAFETY: the slot is the caller's alone (SLOT-1) and minted.
        let identity = unsafe { &*slot.identity() };
        if let Some(image) = image::get() {
            // SAFETY: OWNTCB-1: the block lies in the slot, on which no thread stands.
            unsafe { control::write(identity.thread_pointer, &image) };
        }
        Words {
            tls: identity.thread_pointer as usize,
            parent_tid: control::of(identity.thread_pointer).tid.as_ptr() as usize,
            stack_top: identity.stack_top,
        }
    }

    unsafe fn abandon(_slot: Slot) {}

    unsafe fn begin(_slot: Slot) {}

    unsafe fn run_destructors(_slot: Slot) {
        locals::run();
    }

    unsafe fn leave(_slot: Slot) {
        // From here no handler of the program runs on this thread.
        signal::block(SigSet::ALL);
        Self::set_current(ptr::null_mut());
    }

    unsafe fn renew(slot: Slot) -> bool {
        // SAFETY: passed on.
        unsafe { Self::leave(slot) };
        if let Some(image) = image::get() {
            // SAFETY: OWNTCB-1; no code of the program runs on this thread before its next task.
            unsafe { control::refresh((*slot.identity()).thread_pointer, &image) };
        }
        // The kernel starts a thread without an alternate stack; the task's goes with its memory.
        // SAFETY: none is installed, and nothing runs on the old one.
        let _ = unsafe { signal::set_alternate_stack(ptr::null_mut(), 0) };
        // And without a robust list, which the kernel walks at the thread's end only.
        !task::robust_list().is_ok_and(|head| !head.is_null())
    }

    fn epoch() -> u32 {
        EPOCH.load(Ordering::Relaxed)
    }

    fn tid() -> i32 {
        own().map_or_else(task::tid, |own| own.tid.load(Ordering::Relaxed))
    }

    fn foreign_stack() -> (usize, usize) {
        if task::tid() == task::pid() {
            main_stack()
        } else {
            (0, 0)
        }
    }

    fn current() -> *mut () {
        own().map_or(ptr::null_mut(), |own| own.record.load(Ordering::Relaxed))
    }

    fn set_current(record: *mut ()) {
        if let Some(own) = own() {
            own.record.store(record, Ordering::Relaxed);
        }
    }
}

#[cfg(all(feature = "start", not(test)))]
use start::main_stack;

/// Who started the program did not say.
#[cfg(not(all(feature = "start", not(test))))]
fn main_stack() -> (usize, usize) {
    (0, 0)
}

/// How many forks lie between the first process and this one. Relaxed: changed by a child that has
/// one thread.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// The calling thread's control words; `None` before the main thread was adopted.
fn own() -> Option<&'static Control> {
    (ADOPTED.load(Ordering::Acquire) == 1).then(|| control::of(arch::thread_pointer()))
}

/// In the child of a fork: the calling thread has another tid than the copied words say, and idle
/// threads of the parent's are not here.
pub(crate) fn forked() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    let tid = task::tid();
    if let Some(own) = own() {
        own.tid.store(tid, Ordering::Relaxed);
        let record = own.record.load(Ordering::Relaxed);
        if !record.is_null() {
            // SAFETY: the calling thread's record.
            unsafe { record::behind(record) }.set_tid(tid);
        }
    }
}

/// Notes which packet's closure runs on the calling thread; null for none.
#[cfg(feature = "panic-thread")]
pub(crate) fn set_running(packet: *mut ()) {
    if let Some(own) = own() {
        own.running.store(packet, Ordering::Relaxed);
    }
}

/// The packet whose closure runs on the calling thread; null for none.
#[cfg(feature = "panic-thread")]
pub(crate) fn running() -> *mut () {
    own().map_or(ptr::null_mut(), |own| own.running.load(Ordering::Relaxed))
}

/// Notes that the calling thread panics; whether it did already.
#[cfg(feature = "panic-thread")]
pub(crate) fn begin_panic() -> bool {
    own().is_some_and(|own| own.panicking.swap(true, Ordering::Relaxed))
}

/// Whether the calling thread panics.
#[cfg(feature = "panic-thread")]
pub(crate) fn is_panicking() -> bool {
    own().is_some_and(|own| own.panicking.load(Ordering::Relaxed))
}

/// Gives the calling thread, the only one of a program without libc, a control block and TLS of
/// this crate's, and lets threads be made from now on. `start` does it by itself.
///
/// # Errors
/// ENOMEM; `Unsupported` if the program headers are not found.
///
/// # Safety
/// The process must have one thread, no libc, and no thread-local of any module may have been
/// used: the thread pointer changes.
///
/// ```no_run
/// // SAFETY: the program has just begun: one thread, no libc, no thread-local used.
/// unsafe { rawthread::runtime::adopt_main() }?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub unsafe fn adopt_main() -> Result<(), Error> {
    let Some(image) = image::find() else {
        return Err(Error::unsupported(
            "the program headers are not found in the auxiliary vector",
            "Mount /proc, or use the feature `start`.",
            None,
        ));
    };
    let room = control::room(&image);
    let page = crate::sys::memory::page_size();
    let block = crate::sys::memory::map(room.next_multiple_of(page))
        .map_err(|errno| Error::from_raw_os_error(errno.number()))?;
    let end = block.as_ptr() as usize + room.next_multiple_of(page);
    let (thread_pointer, _) = control::place(end, &image);
    let thread_pointer = thread_pointer as *mut u8;
    // SAFETY: a fresh mapping with room for the block, which stays for good; the caller says that
    // nobody relies on the old thread pointer.
    unsafe {
        control::write(thread_pointer, &image);
        arch::set_thread_pointer(thread_pointer);
    }
    control::of(thread_pointer)
        .tid
        .store(task::tid(), Ordering::Relaxed);
    ADOPTED.store(1, Ordering::Release);
    Ok(())
}
