//! A bare clone whose child leaves at once.
//!
//! The child may share its caller's memory and run on the very same stack, at the same time: it
//! must not touch the stack, not even to return. No compiled function can promise that, so these
//! few instructions are written down. Beside the bare clones of the benches they are the only
//! assembly outside of `src/sys/arch`.
#![allow(unsafe_code, reason = "a bare system call")]

use core::arch::asm;

/// Makes the system call `number` (`clone` or `clone3`); the child exits with status 0, the caller
/// gets the kernel's raw answer.
///
/// # Safety
/// The arguments must be such that the kernel writes only to memory meant for it.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone_and_leave(number: i64, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: the child runs four instructions on registers and is gone; the caller goes on behind
    // the label with all but rax, rcx and r11 as they were.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") number as isize => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Makes the system call `number` (`clone` or `clone3`); the child exits with status 0, the caller
/// gets the kernel's raw answer.
///
/// # Safety
/// The arguments must be such that the kernel writes only to memory meant for it.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn clone_and_leave(number: i64, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: the child runs three instructions on registers and is gone, with 0 in x0 for its
    // status; the caller goes on behind the label.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x8, {exit}",
            "svc 0",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("x0") a => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            in("x8") number,
            options(nostack),
        );
    }
    answer
}
