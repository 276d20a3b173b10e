//! Threads with no libc: this crate owns the thread pointer.
//!
//! * [`tls_image`]: the program's thread-local image, found through its program headers.
//! * `start`: from the kernel's first instruction to the program's `main`, and its end;
//!   `relocate`: a static PIE moves itself; `builtins`: what compilers call unasked.
//! * [`tcb`]: where TLS block and control words lie around a thread pointer, by the
//!   architecture's TLS variant.
//!
//! The main thread must have been initialized ([`init_main_thread`], which `start` calls) before
//! the first spawn: in a process that a libc started, a thread without the libc's control block would
//! corrupt `errno` and the heap, so there `spawn` says `Unsupported`.
#![allow(unsafe_code, reason = "builds thread control blocks")]

#[cfg(all(feature = "start", not(test)))]
mod builtins;
#[cfg(any(feature = "start", test))]
mod relocate;
#[cfg(all(feature = "start", not(test)))]
pub mod start;
mod tcb;
mod tls_image;

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::{CloneTls, Runtime, Slot, record, tls_values};
use crate::arena::Zeroable;
use crate::error::Error;
use crate::stack::slot::{ALIVE, Cache};
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, task};
use tcb::ThreadData;

/// The freestanding runtime.
#[derive(Debug)]
pub(crate) struct Freestanding;

/// What `create_tcb` leaves on a slot.
///
/// Invariants of such a TCB:
/// * OWNTCB-1: `thread_pointer` and the TLS block around it lie at the top of the slot's stack.
/// * OWNTCB-2: nothing above `stack_top` is used by frames.
#[derive(Debug)]
pub(crate) struct Tcb {
    thread_pointer: *mut u8,
    stack_top: usize,
}

// SAFETY: zero is null and 0; access follows SLOT-1 of `stack::slot`.
unsafe impl Zeroable for Tcb {}
// SAFETY: the addresses are used by whoever holds the slot.
unsafe impl Sync for Tcb {}

static CACHE: Cache<Tcb> = Cache::new();

/// Whether the main thread has a control block of ours.
///
/// | value | meaning |
/// |---|---|
/// | 0 | not initialized: no threads can be made |
/// | 1 | initialized |
///
/// Release and Acquire: the image before the word.
static INITIALIZED: AtomicU32 = AtomicU32::new(0);

impl Runtime for Freestanding {
    type Tcb = Tcb;

    fn cache() -> &'static Cache<Tcb> {
        &CACHE
    }

    fn ensure_init() -> Result<(), Error> {
        if INITIALIZED.load(Ordering::Acquire) == 1 {
            return Ok(());
        }
        Err(Error::unsupported(
            "this program's main thread was not initialized, so a libc may own the thread pointer",
            "Use the feature `start`, or call `runtime::init_main_thread` once in a program without \
             libc; with a libc use the feature `hosted`.",
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
            };
        }
        Ok(())
    }

    unsafe fn destroy_tcb(_slot: Slot) -> bool {
        true
    }

    unsafe fn prepare_clone(slot: Slot) -> CloneTls {
        // SAFETY: the slot is the caller's alone (SLOT-1) and has a TCB.
        let tcb = unsafe { &*slot.tcb() };
        if let Some(image) = tls_image::get() {
            // SAFETY: OWNTCB-1: the block lies in the slot, on which no thread stands.
            unsafe { tcb::write(tcb.thread_pointer, &image) };
        }
        CloneTls {
            tls: tcb.thread_pointer as usize,
            parent_tid: tcb::data_of(tcb.thread_pointer).tid.as_ptr() as usize,
            stack_top: tcb.stack_top,
        }
    }

    unsafe fn cancel_clone(_slot: Slot) {}

    unsafe fn on_thread_start(_slot: Slot) {}

    unsafe fn run_destructors(_slot: Slot) {
        tls_values::run_dtors();
    }

    unsafe fn on_thread_exit(_slot: Slot) {
        // From here no handler of the program runs on this thread.
        signal::block(SigSet::ALL);
        Self::set_current(ptr::null_mut());
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

    fn fork_generation() -> u32 {
        CACHE.process()
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

    fn current() -> *mut () {
        current_data().map_or(ptr::null_mut(), |data| data.record.load(Ordering::Relaxed))
    }

    fn set_current(record: *mut ()) {
        if let Some(data) = current_data() {
            data.record.store(record, Ordering::Relaxed);
        }
    }
}

#[cfg(all(feature = "start", not(test)))]
use start::{main_stack, note_fork};

/// Who started the program did not say.
#[cfg(not(all(feature = "start", not(test))))]
fn main_stack() -> (usize, usize) {
    (0, 0)
}

/// What began the program otherwise sees to its end.
#[cfg(not(all(feature = "start", not(test))))]
fn note_fork(_from: i32, _tid: i32) {}

/// The calling thread's control words; `None` before the main thread was initialized.
fn current_data() -> Option<&'static ThreadData> {
    (INITIALIZED.load(Ordering::Acquire) == 1).then(|| tcb::data_of(arch::thread_pointer()))
}

/// In the child of a fork: the calling thread has another tid than the copied words say, the kernel
/// clears no word at its end, and the parent's threads are not here (SLOT-4 of `stack::slot`).
pub(crate) fn after_fork() {
    CACHE.clear_after_fork();
    if let Some(data) = current_data() {
        let tid = task::tid();
        note_fork(data.tid.load(Ordering::Relaxed), tid);
        data.tid.store(tid, Ordering::Relaxed);
    }
    record::after_fork();
    let thread_pointer = arch::thread_pointer();
    let slot = CACHE.iter().find(|slot| {
        // SAFETY: the field of a permanent cell; this process has no other thread that writes it.
        unsafe { (&raw const (*slot.tcb()).thread_pointer).read() == thread_pointer }
    });
    if let Some(slot) = slot {
        // SAFETY: the slot's control words are never unmapped.
        let set = unsafe { task::set_tid_address(slot.clear_tid().as_ptr()) };
        // Where a filter refuses, the kernel will not tell of this thread's end: the slot stays the
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
/// unsafe { rawthread::runtime::init_main_thread() }?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub unsafe fn init_main_thread() -> Result<(), Error> {
    let Some(image) = tls_image::find() else {
        return Err(Error::unsupported(
            "the program headers are not found in the auxiliary vector",
            "Mount /proc, or use the feature `start`.",
            None,
        ));
    };
    let size = tcb::size(&image);
    let page = crate::sys::memory::page_size();
    let block = crate::sys::memory::map(size.next_multiple_of(page))
        .map_err(|errno| Error::from_raw_os_error(errno.number()))?;
    let end = block.as_ptr() as usize + size.next_multiple_of(page);
    let (thread_pointer, _) = tcb::layout_tcb(end, &image);
    let thread_pointer = thread_pointer as *mut u8;
    // SAFETY: a fresh mapping with room for the block, which stays for good; the caller says that
    // nobody relies on the old thread pointer.
    unsafe {
        tcb::write(thread_pointer, &image);
        arch::set_thread_pointer(thread_pointer);
    }
    tcb::data_of(thread_pointer)
        .tid
        .store(task::tid(), Ordering::Relaxed);
    INITIALIZED.store(1, Ordering::Release);
    Ok(())
}
