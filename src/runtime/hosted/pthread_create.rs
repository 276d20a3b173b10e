//! Has libc make a thread on memory of this crate's.
#![allow(unsafe_code, reason = "has libc lay out a TCB on memory of ours")]

use core::ffi::c_void;
use core::mem::MaybeUninit;

use super::tcb::INLINE_PACKET_MAX;
use super::tls_snapshot;
use crate::error::Operation;
use crate::sys::Errno;

pub(super) static CREATE: Operation = Operation {
    name: "pthread_create",
    purpose: "have libc lay out a thread control block",
    hint: |_| "See pthread_create(3) for what this errno means.",
};

/// Has libc make a thread on `len` bytes from `base`, as it makes every donor; its handle is written
/// on success.
///
/// # Errors
/// What pthread_create(3) says.
///
/// # Safety
/// The memory must stay the thread's until it was joined. `main` must be sound to run there with
/// `argument`.
pub(super) unsafe fn create_on(
    base: *mut u8,
    len: usize,
    main: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
    handle: &mut MaybeUninit<libc::pthread_t>,
) -> Result<(), Errno> {
    let len = len - INLINE_PACKET_MAX - tls_snapshot::storage_size();
    // SAFETY: passed on.
    unsafe { create_with_attributes(base, len, main, argument, handle) }
}

/// Has libc make a thread on exactly these `len` bytes from `base`.
///
/// # Errors
/// As [`create_on`].
///
/// # Safety
/// As [`create_on`].
pub(super) unsafe fn create_with_attributes(
    base: *mut u8,
    len: usize,
    main: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
    handle: &mut MaybeUninit<libc::pthread_t>,
) -> Result<(), Errno> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the functions fill what they are given, in this order; the rest is the caller's to
    // vouch for.
    unsafe {
        let attributes = attributes.as_mut_ptr();
        errno_result(libc::pthread_attr_init(attributes))?;
        let created = errno_result(libc::pthread_attr_setstack(attributes, base.cast(), len))
            .and_then(|()| {
                let handle = handle.as_mut_ptr();
                errno_result(libc::pthread_create(handle, attributes, main, argument))
            });
        libc::pthread_attr_destroy(attributes);
        created
    }
}

/// What a function that returns an errno said.
pub(super) fn errno_result(returned: i32) -> Result<(), Errno> {
    if returned == 0 {
        Ok(())
    } else {
        Err(Errno::new(returned))
    }
}
