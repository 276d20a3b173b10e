//! AArch64, feature `start`: where the kernel enters, and what the memory functions are made of.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::arch::{asm, naked_asm};

/// Where the kernel starts a program of the feature `start`: hands the initial stack on.
///
/// | register | from the kernel | handed on |
/// |---|---|---|
/// | sp → x0 | initial stack: argc, argv, 0, envp, 0, auxv | `stack` |
/// | x1, x2 | unspecified | `ifuncs`, `ifuncs_end` |
/// | x29, x30 | unspecified | 0, which ends a backtrace |
///
/// The linker defines the two symbols in a program at a fixed address, which has no dynamic section
/// to say it; elsewhere they are weak and both 0. From the global offset table, so that neither has
/// to lie near.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        ".weak __rela_iplt_start",
        ".hidden __rela_iplt_start",
        ".weak __rela_iplt_end",
        ".hidden __rela_iplt_end",
        "adrp x1, :got:__rela_iplt_start",
        "ldr x1, [x1, :got_lo12:__rela_iplt_start]",
        "adrp x2, :got:__rela_iplt_end",
        "ldr x2, [x2, :got_lo12:__rela_iplt_end]",
        "b {begin}",
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
    // SAFETY: the caller vouches for both ranges; a word is read whole before it is written.
    unsafe {
        asm!(
            "2:",
            "cmp {len}, #8",
            "b.lo 3f",
            "ldr {word}, [{from}], #8",
            "str {word}, [{to}], #8",
            "sub {len}, {len}, #8",
            "b 2b",
            "3:",
            "cbz {len}, 4f",
            "ldrb {word:w}, [{from}], #1",
            "strb {word:w}, [{to}], #1",
            "sub {len}, {len}, #1",
            "b 3b",
            "4:",
            len = inout(reg) len => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            word = out(reg) _,
            options(nostack),
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
            "cmp {len}, #8",
            "b.lo 3f",
            "sub {len}, {len}, #8",
            "ldr {word}, [{from}, {len}]",
            "str {word}, [{to}, {len}]",
            "b 2b",
            "3:",
            "cbz {len}, 4f",
            "sub {len}, {len}, #1",
            "ldrb {word:w}, [{from}, {len}]",
            "strb {word:w}, [{to}, {len}]",
            "b 3b",
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
    let word = u64::from(byte) * 0x0101_0101_0101_0101;
    // SAFETY: the caller vouches for the range.
    unsafe {
        asm!(
            "2:",
            "cmp {len}, #8",
            "b.lo 3f",
            "str {word}, [{to}], #8",
            "sub {len}, {len}, #8",
            "b 2b",
            "3:",
            "cbz {len}, 4f",
            "strb {word:w}, [{to}], #1",
            "sub {len}, {len}, #1",
            "b 3b",
            "4:",
            len = inout(reg) len => _,
            to = inout(reg) to => _,
            word = in(reg) word,
            options(nostack),
        );
    }
}

/// Where AArch64 code finds the stack protector's canary.
#[unsafe(no_mangle)]
static __stack_chk_guard: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

/// Sets the canary of every thread. Relaxed: the process has one thread yet.
pub(crate) fn set_canary(canary: usize) {
    __stack_chk_guard.store(canary, core::sync::atomic::Ordering::Relaxed);
}
