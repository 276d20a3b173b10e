//! Symbols that a libc may or may not have.
#![allow(unsafe_code, reason = "asks the linker")]

use core::ffi::{CStr, c_void};
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// What a dynamic program is asked for.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
const NAMES: [&CStr; 20] = [
    c"gnu_get_libc_version",
    c"pthread_key_create",
    c"_r_debug",
    c"__rseq_offset",
    c"__rseq_size",
    c"__call_tls_dtors",
    c"dlerror",
    c"__h_errno_location",
    c"__res_state",
    c"__res_nclose",
    c"__pthread_get_minstack",
    c"__cxa_thread_atexit_impl",
    c"_rtld_global",
    c"dladdr1",
    c"__asan_init",
    c"__tsan_init",
    c"__msan_init",
    c"__hwasan_init",
    c"__lsan_init",
    c"_vgnU_freeres",
];

/// Their addresses, null until [`resolve_all`]. Relaxed: every thread stores the same, and a donor,
/// the only reader, is made afterwards.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
static FOUND: [AtomicPtr<c_void>; NAMES.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; NAMES.len()];

/// Asks the loader for every symbol that [`get`] knows.
///
/// In the thread that wants one, never in a donor: dlsym(3) takes a lock that is held while a
/// library's constructors run, and one of those may wait for the donor.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(super) fn resolve_all() {
    for (name, place) in NAMES.iter().zip(&FOUND) {
        // SAFETY: the name ends in NUL; RTLD_DEFAULT needs no handle.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        place.store(found, Ordering::Relaxed);
    }
}

/// The linker has resolved them.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) fn resolve_all() {}

/// The address of a symbol of the process's libc; null if it has none of that name.
///
/// A static program may contain a copy of this crate that was compiled for dynamic ones, as a Rust
/// library in a C program does: its loader finds nothing, and the linker has resolved a few.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(super) fn get(name: &CStr) -> *mut c_void {
    let index = NAMES.iter().position(|symbol| *symbol == name);
    let found = index.map_or(ptr::null_mut(), |index| {
        FOUND[index].load(Ordering::Relaxed)
    });
    if found.is_null() { linked(name) } else { found }
}

/// The address of a symbol of the program's libc; null if it was not linked or is not one of the
/// few that a static program is asked for.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) fn get(name: &CStr) -> *mut c_void {
    linked(name)
}

/// Only a glibc of known versions is asked for private symbols in a static program.
#[cfg(not(target_env = "gnu"))]
fn linked(_name: &CStr) -> *mut c_void {
    ptr::null_mut()
}

/// The address of a symbol that the linker resolved; null if the program does not contain it.
#[cfg(target_env = "gnu")]
fn linked(name: &CStr) -> *mut c_void {
    use crate::sys::arch;
    let mut addresses = [0; arch::LIBC_SYMBOLS.len()];
    arch::weak_libc_symbols(&mut addresses);
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
    let address = get(name);
    // SAFETY: a non-null symbol of the type that the caller vouches for.
    (!address.is_null()).then(|| unsafe { core::mem::transmute_copy::<*mut c_void, F>(&address) })
}

/// Whether a sanitizer runs in this program, which knows what thread-locals hold.
pub(super) fn has_sanitizer() -> bool {
    [
        c"__asan_init",
        c"__tsan_init",
        c"__msan_init",
        c"__hwasan_init",
        c"__lsan_init",
    ]
    .iter()
    .any(|name| !get(name).is_null())
}

/// Whether valgrind runs the program: its preloaded library has this function.
pub(super) fn has_valgrind() -> bool {
    !get(c"_vgnU_freeres").is_null()
}
