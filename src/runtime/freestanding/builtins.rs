//! The functions that compilers call without being asked, by the names C gave them (feature
//! `start`): a program without libc has no other definition of them.
#![allow(unsafe_code, reason = "defines C's memory functions")]

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::hint::black_box;

use crate::sys::{arch, file, limits, task};

/// `memcpy(3)`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: as in C.
    unsafe { arch::copy_forward(to.cast(), from.cast(), len) };
    to
}

/// `memmove(3)`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // From below, or from above without overlap: up. SAFETY: as in C.
    unsafe {
        if (to as usize).wrapping_sub(from as usize) >= len {
            arch::copy_forward(to.cast(), from.cast(), len);
        } else {
            arch::copy_backward(to.cast(), from.cast(), len);
        }
    }
    to
}

/// `memset(3)`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, len: usize) -> *mut c_void {
    // SAFETY: as in C; the byte is the int's lowest.
    unsafe { arch::fill_bytes(to.cast(), byte as u8, len) };
    to
}

/// `memcmp(3)`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    let (left, right) = (left.cast::<u8>(), right.cast::<u8>());
    const WORD: usize = size_of::<u64>();
    let mut at = 0;
    // SAFETY: both are readable up to `len`.
    unsafe {
        while at + WORD <= len {
            let a = left.wrapping_add(at).cast::<u64>().read_unaligned();
            let b = right.wrapping_add(at).cast::<u64>().read_unaligned();
            if a != b {
                // As big-endian numbers, words compare like their bytes.
                return if a.swap_bytes() < b.swap_bytes() {
                    -1
                } else {
                    1
                };
            }
            at += WORD;
        }
        while at < len {
            let (a, b) = (*left.wrapping_add(at), *right.wrapping_add(at));
            if a != b {
                return c_int::from(a) - c_int::from(b);
            }
            at += 1;
        }
    }
    0
}

/// `bcmp(3)`: 0 if equal.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, len: usize) -> c_int {
    // SAFETY: as in C.
    unsafe { memcmp(left, right, len) }
}

/// `strlen(3)`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut len = 0;
    // Hidden from the compiler, which would make a call of `strlen` out of this loop.
    // SAFETY: the text ends in a NUL.
    while unsafe { *black_box(text.wrapping_add(len)) } != 0 {
        len += 1;
    }
    len
}

/// What code compiled with a stack protector calls when a frame's canary was overwritten.
#[unsafe(no_mangle)]
extern "C" fn __stack_chk_fail() -> ! {
    let _ = file::write(2, b"fatal: a stack frame was overwritten\n");
    task::abort()
}

/// What the tables for unwinding in Rust's own `core` name. Nothing unwinds here, so nothing calls
/// it; but the linker wants it defined.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    task::abort()
}

/// What the landing pads in Rust's own `alloc` end in. Nothing unwinds here, so none is entered.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    task::abort()
}

/// `getauxval(3)`: Rust's own code for AArch64 asks it for the processor's atomics.
#[unsafe(no_mangle)]
extern "C" fn getauxval(key: c_ulong) -> c_ulong {
    limits::getauxval(key).unwrap_or(0) as c_ulong
}
