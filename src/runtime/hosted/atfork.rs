//! The handlers that libc's `fork` calls.
#![allow(unsafe_code, reason = "registers handlers with libc")]

use super::{fork, loader_lock, modules, tls_images};
use crate::error::{Error, Operation};
use crate::sys::Errno;

static REGISTER: Operation = Operation {
    name: "pthread_atfork",
    purpose: "keep forks and the loader's lock apart",
    hint: |_| "Free memory.",
};

/// Has libc's fork take part. Twice is once too often, but harmless.
///
/// # Errors
/// ENOMEM.
pub(super) fn register_atfork() -> Result<(), Error> {
    // SAFETY: the handlers take no arguments and touch only words of this crate.
    match unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        errno => Err(Error::from_operation(&REGISTER, Errno::new(errno))),
    }
}

unsafe extern "C" fn before_fork() {
    modules::lock_before_fork();
}

unsafe extern "C" fn in_parent() {
    modules::unlock_in_parent();
}

unsafe extern "C" fn in_child() {
    modules::reset_in_child();
    loader_lock::after_fork();
    tls_images::after_fork();
    fork::in_child();
}
