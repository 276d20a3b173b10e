//! What must end before the last thread of a forked process ends it.
//!
//! Idle workers of the pool wait for tasks that no thread is left to spawn. The pool lies above this
//! file: it registers the function that ends them.
#![allow(
    unsafe_code,
    reason = "keeps the address of a function in an atomic word"
)]

use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A `fn()`, or null while the process never had a worker. Relaxed: a worker stores it before it can
/// be idle, and the reader has that worker's task behind it or finds no worker.
static END_IDLE_WORKERS: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Pool: registers the function that has idle workers exit.
pub(in crate::thread) fn register(end_idle_workers: fn()) {
    END_IDLE_WORKERS.store(end_idle_workers as *mut (), Ordering::Relaxed);
}

/// Has idle workers exit, if there ever were any.
pub(super) fn end_idle_workers() {
    let registered = END_IDLE_WORKERS.load(Ordering::Relaxed);
    if !registered.is_null() {
        // SAFETY: `register` alone stores here, and only a `fn()`.
        let end = unsafe { mem::transmute::<*mut (), fn()>(registered) };
        end();
    }
}
