//! Memory that LeakSanitizer is to search: what is referred to from there is no leak.
//!
//! The tool searches the heap, variables of the program, and stacks of threads that live. This crate keeps
//! references to the heap in mappings of its own, too: names in records, the results of threads that have
//! ended and were not joined yet. In a program without the tool nothing is done here.
//!
//! Source: `lsan_interface.h` of LLVM's compiler-rt.
#![allow(unsafe_code, reason = "calls a tool's functions")]

#[cfg(all(feature = "hosted", target_env = "gnu"))]
type Function = unsafe extern "C" fn(*const u8, usize);

/// The tool's function that takes a region, or drops one, if the program has the tool.
#[cfg(all(feature = "hosted", target_env = "gnu"))]
fn function(index: usize) -> Option<Function> {
    let mut addresses = [0; 2];
    super::arch::weak_leak_roots(&mut addresses);
    let address = core::ptr::with_exposed_provenance::<u8>(addresses[index]);
    // SAFETY: null, which is `None`, or a function of this type, by the tool's header.
    unsafe { core::mem::transmute::<*const u8, Option<Function>>(address) }
}

/// Adds `len` bytes from `base` on. What of them is not mapped is left out.
#[cfg(all(feature = "hosted", target_env = "gnu"))]
pub(crate) fn add(base: *const u8, len: usize) {
    if let Some(add) = function(0) {
        // SAFETY: the tool notes two numbers, and reads what is mapped when the process ends.
        unsafe { add(base, len) };
    }
}

/// Takes back what [`add`] was given with the same numbers.
///
/// # Safety
/// It was added, and not taken back: else the tool ends the process.
#[cfg(all(feature = "hosted", target_env = "gnu"))]
pub(crate) unsafe fn remove(base: *const u8, len: usize) {
    if let Some(remove) = function(1) {
        // SAFETY: by the contract it is noted.
        unsafe { remove(base, len) };
    }
}

/// Without a libc, and with another than glibc, there is no such tool.
#[cfg(not(all(feature = "hosted", target_env = "gnu")))]
pub(crate) fn add(_base: *const u8, _len: usize) {}

/// As above.
///
/// # Safety
/// None: nothing is done.
#[cfg(not(all(feature = "hosted", target_env = "gnu")))]
#[allow(
    dead_code,
    reason = "only where a libc makes threads, or a mapping holds one value"
)]
pub(crate) unsafe fn remove(_base: *const u8, _len: usize) {}
