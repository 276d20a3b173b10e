//! Symbols that a libc may or may not have.
#![allow(unsafe_code, reason = "asks the dynamic linker")]

use core::ffi::{CStr, c_void};

/// The address of a symbol of the process's libc; null if it has none of that name, or if the
/// program is static and has no dynamic symbols.
pub(super) fn find(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in NUL; RTLD_DEFAULT needs no handle.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// A function of type `F` by that name.
///
/// # Safety
/// `F` must be the function's type: a plain `extern "C"` function pointer.
pub(super) unsafe fn function<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let address = find(name);
    // SAFETY: a non-null symbol of the type that the caller vouches for.
    (!address.is_null()).then(|| unsafe { core::mem::transmute_copy::<*mut c_void, F>(&address) })
}
