//! A bare clone: one `clone` onto memory that is mapped already, and an exit at once. Without std, for
//! the benches of programs with libc and without.

#![allow(unsafe_code, reason = "a bare clone")]

use core::arch::asm;

const FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_CHILD_CLEARTID;

/// Makes a thread that exits at once; returns its tid or an error number below 0.
///
/// # Safety
/// No thread uses the stack; `word` lives until the kernel has cleared it.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone_and_exit(stack_top: *mut u8, word: *mut u32) -> isize {
    let returned;
    // SAFETY: the child runs three instructions on registers alone; the parent sees a system call.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") libc::SYS_clone as isize => returned,
            in("rdi") FLAGS as usize,
            in("rsi") stack_top,
            in("rdx") 0usize,
            in("r10") word,
            in("r8") 0usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// Makes a thread that exits at once; returns its tid or an error number below 0.
///
/// # Safety
/// No thread uses the stack; `word` lives until the kernel has cleared it.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn clone_and_exit(stack_top: *mut u8, word: *mut u32) -> isize {
    let returned;
    // SAFETY: the child runs three instructions on registers alone; the parent sees a system call.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x8, 93",
            "svc 0",
            "2:",
            inlateout("x0") FLAGS as isize => returned,
            in("x1") stack_top,
            in("x2") 0usize,
            in("x3") 0usize,
            in("x4") word,
            in("x8") libc::SYS_clone,
            options(nostack),
        );
    }
    returned
}
