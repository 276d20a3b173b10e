//! Symbols that a libc may or may not have.
#![allow(unsafe_code, reason = "asks the linker")]

use core::ffi::{CStr, c_void};

/// The address of a symbol of the process's libc; null if it has none of that name.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(super) fn find(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in NUL; RTLD_DEFAULT needs no handle.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// The address of a symbol of the program's libc; null if it was not linked or is not one of the
/// few that a static program is asked for.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) fn find(name: &CStr) -> *mut c_void {
    use crate::sys::arch;
    let mut addresses = [0; arch::LIBC_SYMBOLS.len()];
    arch::libc_symbols(&mut addresses);
    let index = arch::LIBC_SYMBOLS.iter().position(|symbol| *symbol == name);
    index.map_or(core::ptr::null_mut(), |index| {
        addresses[index] as *mut c_void
    })
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
