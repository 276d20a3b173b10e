//! The calling thread's tid, without a system call where a layer above knows how.

use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::sys::task;

/// A `fn() -> i32`, or null. Relaxed: a function is code, which every thread has.
static SOURCE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Registers a function that returns the calling thread's tid, in any thread of the process.
#[cfg(feature = "hosted")]
pub(crate) fn register(source: fn() -> i32) {
    SOURCE.store(source as *mut (), Ordering::Relaxed);
}

/// The calling thread's tid.
#[inline]
pub(crate) fn own_tid() -> i32 {
    let source = SOURCE.load(Ordering::Relaxed);
    if source.is_null() {
        return task::tid();
    }
    #[allow(unsafe_code, reason = "gives a function its type back")]
    // SAFETY: `register` alone stores here, and only a `fn() -> i32`.
    let source = unsafe { mem::transmute::<*mut (), fn() -> i32>(source) };
    source()
}
