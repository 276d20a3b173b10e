//! x86-64, feature `start`: where the kernel enters, and what the memory functions are made of.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::arch::{asm, naked_asm};

/// Where the kernel starts a program of the feature `start`: hands the initial stack on.
///
/// | register | from the kernel | handed on |
/// |---|---|---|
/// | rsp → rdi | initial stack: argc, argv, 0, envp, 0, auxv (System V ABI, 3.4.1) | `stack` |
/// | rsi, rdx | unspecified | `ifuncs`, `ifuncs_end` |
/// | rbp | unspecified | 0, which ends a backtrace |
///
/// The linker defines the two symbols in a program at a fixed address, which has no dynamic section
/// to say it; elsewhere they are weak and both 0. From the global offset table, so that neither has
/// to lie near.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        ".weak __rela_iplt_start",
        ".hidden __rela_iplt_start",
        ".weak __rela_iplt_end",
        ".hidden __rela_iplt_end",
        "mov rsi, qword ptr [rip + __rela_iplt_start@GOTPCREL]",
        "mov rdx, qword ptr [rip + __rela_iplt_end@GOTPCREL]",
        "and rsp, -16",
        "call {begin}",
        "ud2",
        begin = sym __rawthread_begin,
    )
}

unsafe extern "C" {
    /// Where `_start` goes on: `runtime::freestanding::start` defines it.
    fn __rawthread_begin(stack: *const usize, ifuncs: *const u8, ifuncs_end: *const u8) -> !;
}

/// Copies `len` bytes from the lowest address up: right also where `to` lies below an overlapping
/// `from`. Assembly, for the compiler makes a call of `memcpy` out of such a loop.
///
/// # Safety
/// As `memmove(3)`, for those two cases.
#[inline]
pub(crate) unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; the ABI has the direction flag clear.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Copies `len` bytes from the highest address down, eight at a time: right also where `to` lies
/// above an overlapping `from`.
///
/// # Safety
/// As `memmove(3)`, for those two cases.
#[inline]
pub(crate) unsafe fn copy_backward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; a word is read whole before it is written.
    unsafe {
        asm!(
            "2:",
            "cmp {len}, 8",
            "jb 3f",
            "sub {len}, 8",
            "mov {word}, [{from} + {len}]",
            "mov [{to} + {len}], {word}",
            "jmp 2b",
            "3:",
            "test {len}, {len}",
            "jz 4f",
            "dec {len}",
            "mov {word:l}, [{from} + {len}]",
            "mov [{to} + {len}], {word:l}",
            "jmp 3b",
            "4:",
            len = inout(reg) len => _,
            word = out(reg) _,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack),
        );
    }
}

/// Sets `len` bytes to `byte`.
///
/// # Safety
/// As `memset(3)`.
#[inline]
pub(crate) unsafe fn fill_bytes(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller vouches for the range; the ABI has the direction flag clear.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            in("al") byte,
            options(nostack, preserves_flags),
        );
    }
}

/// Nothing: x86-64 code takes its canary from the TCB, where `write_tcb_header` puts it.
pub(crate) fn set_canary(_canary: usize) {}
