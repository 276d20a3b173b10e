//! System calls that a task may make before it has a libc of its own to speak of.
//!
//! A task made with `CLONE_VM` and without `CLONE_SETTLS` runs on its maker's thread pointer: an
//! `errno` it writes is the maker's. So these functions call nothing but `syscall(2)`, allocate
//! nothing and never panic, and whoever makes such a task keeps the maker inside one system call
//! that cannot fail until the task is gone (`probe::spawn`). Then no other task looks at that
//! `errno`, and reading it right after the call gives this call's answer.
#![allow(
    unsafe_code,
    reason = "system calls for tasks without a thread pointer of their own"
)]

use libc::{c_int, c_long};

/// The kernel's answer: a value, or an errno.
pub(crate) type SysResult = Result<usize, i32>;

/// One system call.
///
/// # Safety
/// The arguments must be sound for that call: pointers to what it reads and writes.
pub(crate) unsafe fn syscall(number: c_long, args: [usize; 6]) -> SysResult {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller vouches for the arguments.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if returned == -1 {
        // SAFETY: the address of the calling task's errno is always readable.
        Err(unsafe { *libc::__errno_location() })
    } else {
        Ok(returned as usize)
    }
}

/// The calling task's id.
pub(crate) fn gettid() -> i32 {
    // SAFETY: no arguments.
    unsafe { syscall(libc::SYS_gettid, [0; 6]) }.unwrap_or(0) as i32
}

/// The calling task's thread group id.
pub(crate) fn getpid() -> i32 {
    // SAFETY: no arguments.
    unsafe { syscall(libc::SYS_getpid, [0; 6]) }.unwrap_or(0) as i32
}

/// Reads one byte; 0 bytes at the end of the pipe count as one.
pub(crate) fn read_byte(fd: c_int) -> SysResult {
    let mut byte = 0u8;
    // SAFETY: the kernel writes one byte into `byte`.
    unsafe {
        syscall(
            libc::SYS_read,
            [fd as usize, (&raw mut byte) as usize, 1, 0, 0, 0],
        )
    }
}

/// Writes one byte.
pub(crate) fn write_byte(fd: c_int) -> SysResult {
    let byte = 1u8;
    // SAFETY: the kernel reads one byte of `byte`.
    unsafe {
        syscall(
            libc::SYS_write,
            [fd as usize, (&raw const byte) as usize, 1, 0, 0, 0],
        )
    }
}

/// Ends the calling task alone.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: the task's frames are never needed again: every caller says so by calling.
        let _ = unsafe { syscall(libc::SYS_exit, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

/// The kernel's `struct sigaction` on x86-64 and aarch64.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Action {
    pub(crate) handler: usize,
    pub(crate) flags: usize,
    pub(crate) restorer: usize,
    pub(crate) mask: u64,
}

/// Reads and, with `new`, replaces what `signal` does.
///
/// # Safety
/// A handler in `new` must be a function that is sound as one.
pub(crate) unsafe fn sigaction(signal: i32, new: Option<&Action>) -> Result<Action, i32> {
    let mut old = Action::default();
    let new = new.map_or(0, |new| core::ptr::from_ref(new) as usize);
    // SAFETY: both structures have the kernel's layout; the mask is 8 bytes long.
    unsafe {
        syscall(
            libc::SYS_rt_sigaction,
            [signal as usize, new, (&raw mut old) as usize, 8, 0, 0],
        )
    }?;
    Ok(old)
}

/// Sets the calling task's signal mask and gives the old one.
pub(crate) fn set_mask(mask: u64) -> Result<u64, i32> {
    let mut old = 0u64;
    // SAFETY: both masks are 8 bytes long, as the last argument says.
    unsafe {
        syscall(
            libc::SYS_rt_sigprocmask,
            [
                libc::SIG_SETMASK as usize,
                (&raw const mask) as usize,
                (&raw mut old) as usize,
                8,
                0,
                0,
            ],
        )
    }?;
    Ok(old)
}
