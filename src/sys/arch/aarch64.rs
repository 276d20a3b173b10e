//! AArch64: `svc 0` takes its number in x8 and its arguments in x0 to x5, returns in x0 and keeps
//! every other general register and v0 to v31.
//!
//! It does not keep what SVE adds: the upper parts of z0 to z31, the predicates and FFR are zero
//! after it (Documentation/arch/arm64/sve.rst, "System call behaviour"). No clobber names the upper
//! part of a register. So the system calls are functions that are never inlined: the ABI of a call
//! keeps none of that either.
//!
//! In programs whose branches are checked (BTI) a call may come through a register, and then it
//! must land on `bti c`: hence `hint #34`, its number, for assemblers that do not know the name. A
//! jump to a function goes through x16, which such a landing takes for a call.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::arch::{asm, naked_asm};

use super::types::ChildEntry;

/// A system call with 0 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall0(number: i64) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            lateout("x0") returned,
            options(nostack),
        );
    }
    returned
}

/// A system call with 1 argument.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall1(number: i64, a0: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            options(nostack),
        );
    }
    returned
}

/// A system call with 2 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall2(number: i64, a0: usize, a1: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            in("x1") a1,
            options(nostack),
        );
    }
    returned
}

/// A system call with 3 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall3(number: i64, a0: usize, a1: usize, a2: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            in("x1") a1,
            in("x2") a2,
            options(nostack),
        );
    }
    returned
}

/// A system call with 4 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall4(number: i64, a0: usize, a1: usize, a2: usize, a3: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            in("x1") a1,
            in("x2") a2,
            in("x3") a3,
            options(nostack),
        );
    }
    returned
}

/// A system call with 5 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall5(
    number: i64,
    a0: usize,
    a1: usize,
    a2: usize,
    a3: usize,
    a4: usize,
) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            in("x1") a1,
            in("x2") a2,
            in("x3") a3,
            in("x4") a4,
            options(nostack),
        );
    }
    returned
}

/// A system call with 6 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline(never)]
pub(crate) unsafe fn syscall6(
    number: i64,
    a0: usize,
    a1: usize,
    a2: usize,
    a3: usize,
    a4: usize,
    a5: usize,
) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; see above for the registers.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 => returned,
            in("x1") a1,
            in("x2") a2,
            in("x3") a3,
            in("x4") a4,
            in("x5") a5,
            options(nostack),
        );
    }
    returned
}

/// `clone3`; the child calls `entry(argument)` on the stack that `args` names.
///
/// | register | on entry | at the system call | in the child |
/// |---|---|---|---|
/// | x0 | `args` | args | `argument` |
/// | x1 | `size` | size | |
/// | x2 | `entry` | kept | called |
/// | x3 | `argument` | kept | → x0 |
///
/// # Safety
/// `args` must be sound `clone3` arguments with a stack whose top is aligned to 16 bytes; the
/// child runs `entry` with whatever those arguments share.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn clone3_and_call(
    args: *const libc::clone_args,
    size: usize,
    entry: ChildEntry,
    argument: *mut u8,
) -> isize {
    naked_asm!(
        "hint #34",
        "mov x8, #435",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        // The child. A zero frame pointer and a zero link register end a backtrace here.
        "2:",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, x3",
        "mov x16, x2",
        "br x16",
    )
}

/// `clone`; the child calls `entry(argument)` on the stack that ends at `stack_top`.
///
/// | register | on entry | at the system call | in the child |
/// |---|---|---|---|
/// | x0 | `flags` | flags | `argument` |
/// | x1 | `stack_top` | stack | |
/// | x2 | `parent_tid` | parent tid | |
/// | x3 → x4 | `child_tid` | child tid (fifth here) | |
/// | x4 → x3 | `tls` | tls (fourth here) | |
/// | x5 | `entry` | kept | called |
/// | x6 | `argument` | kept | → x0 |
///
/// # Safety
/// As [`clone3_and_call`], for the arguments of `clone`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn clone_and_call(
    flags: usize,
    stack_top: *mut u8,
    parent_tid: *mut u32,
    child_tid: *mut u32,
    tls: usize,
    entry: ChildEntry,
    argument: *mut u8,
) -> isize {
    naked_asm!(
        "hint #34",
        "mov x7, x3",
        "mov x3, x4",
        "mov x4, x7",
        "mov x8, #220",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        "2:",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, x6",
        "mov x16, x5",
        "br x16",
    )
}

/// Which word of the TCB holds the address of glibc's vector of TLS blocks (tcbhead_t of
/// sysdeps/aarch64/nptl/tls.h).
#[cfg(feature = "hosted")]
pub(crate) const TCB_DTV_WORD: usize = 0;

/// The thread pointer, `tpidr_el0`.
#[inline]
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags))
    };
    pointer
}

/// The stack pointer. Not the address of a local: a sanitizer may keep those elsewhere.
#[inline(always)]
pub(crate) fn stack_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Whether the processor keeps return addresses on a shadow stack (GCS) for the calling thread.
#[cfg(feature = "hosted")]
pub(crate) fn has_shadow_stack() -> bool {
    let off: usize;
    // `chkfeat x16` clears the bits of what is on; a hint, thus no operation, where it is not known.
    // SAFETY: changes nothing but x16.
    unsafe {
        asm!(
            "mov x16, #1",
            "hint #40",
            out("x16") off,
            options(nomem, nostack, preserves_flags),
        );
    }
    off == 0
}

/// Makes `pointer` the calling thread's thread pointer.
///
/// # Safety
/// `pointer` must be the address of a TCB that fits every piece of code this thread runs next.
#[cfg(not(feature = "hosted"))]
pub(crate) unsafe fn set_thread_pointer(pointer: *mut u8) -> isize {
    // SAFETY: the caller vouches for the TCB.
    unsafe { asm!("msr tpidr_el0, {}", in(reg) pointer, options(nostack, preserves_flags)) };
    0
}

/// The calling thread's floating-point environment: FPCR in the low half, FPSR in the high one.
pub(crate) fn float_environment() -> u64 {
    let (control, status): (u64, u64);
    // SAFETY: reads two registers.
    unsafe {
        asm!(
            "mrs {control}, fpcr",
            "mrs {status}, fpsr",
            control = out(reg) control,
            status = out(reg) status,
            options(nomem, nostack, preserves_flags),
        );
    }
    control & 0xffff_ffff | status << 32
}

/// Sets the calling thread's floating-point environment.
///
/// # Safety
/// It must come from [`float_environment`], in this process, and the code that follows must expect
/// it.
pub(crate) unsafe fn set_float_environment(environment: u64) {
    let present = float_environment();
    // Writing FPCR is slow on some processors.
    if present as u32 != environment as u32 {
        // SAFETY: the caller vouches for the value.
        unsafe {
            asm!("msr fpcr, {}", in(reg) environment & 0xffff_ffff, options(nostack, preserves_flags));
        }
    }
    if present >> 32 != environment >> 32 {
        // SAFETY: as above.
        unsafe {
            asm!("msr fpsr, {}", in(reg) environment >> 32, options(nostack, preserves_flags));
        }
    }
}

/// The page size in bytes, or 0: here the kernel's configuration decides, and the auxiliary vector
/// has it.
pub(crate) const FIXED_PAGE_SIZE: usize = 0;

/// The fourth and the fifth argument of `clone`: the thread pointer, then the child's tid word
/// (the kernel's `CONFIG_CLONE_BACKWARDS`).
pub(crate) const fn order_clone_tail(child_tid: usize, tls: usize) -> [usize; 2] {
    [tls, child_tid]
}

/// `dup2(2)` and `poll(2)`, which `dup3(2)` and `ppoll(2)` came after: not on this architecture.
#[cfg(feature = "alloc")]
pub(crate) const SYS_DUP2: Option<i64> = None;
/// As [`SYS_DUP2`].
pub(crate) const SYS_POLL: Option<i64> = None;

/// How seccomp names this machine's ABI: `AUDIT_ARCH_*` (linux/audit.h).
#[cfg(feature = "alloc")]
pub(crate) const AUDIT_ARCH: u32 = 0xc000_00b7;

/// The signature of rseq areas, which glibc's abort handlers carry (`RSEQ_SIG` of sys/rseq.h).
#[cfg(feature = "hosted")]
pub(crate) const RSEQ_SIGNATURE: u32 = 0xd428_bc00;

/// The type of relocations "load bias plus addend" (`R_AARCH64_RELATIVE`).
#[cfg(all(not(feature = "hosted"), any(feature = "start", test)))]
pub(crate) const R_RELATIVE: usize = 1027;

/// The type of relocations that call a function for the value (`R_AARCH64_IRELATIVE`).
#[cfg(all(not(feature = "hosted"), feature = "start", not(test)))]
pub(crate) const R_IRELATIVE: u32 = 1032;

/// The address of the calling thread's TLS block that lies `offset` bytes above the thread pointer.
#[cfg(feature = "hosted")]
pub(crate) fn static_tls_block(offset: usize) -> usize {
    (thread_pointer() as usize).wrapping_add(offset)
}

/// The part of `area` that static TLS of the calling thread lies in: it begins two words above the
/// thread pointer.
#[cfg(feature = "hosted")]
pub(crate) fn static_tls_range(area: core::ops::Range<usize>) -> core::ops::Range<usize> {
    thread_pointer() as usize + 16..area.end
}

/// Saves the caller's frame and calls `next(argument)` on the stack below it; returns when
/// [`restore_context`] continues the frame, on whichever kernel thread calls that.
///
/// Saves what a function must preserve (x19 to x30, d8 to d15) on the stack and the stack pointer
/// in `*frame`.
///
/// | register | on entry | in `next` |
/// |---|---|---|
/// | x0 | `frame` | `argument` |
/// | x1 | `next` | |
/// | x2 | `argument` | |
///
/// # Safety
/// `next` must be sound to run here. The stack at and above the stored pointer must stay untouched
/// until the frame is restored or given up.
#[cfg(feature = "hosted")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn save_context(
    frame: *mut usize,
    next: ChildEntry,
    argument: *mut u8,
) {
    naked_asm!(
        "hint #34",
        "stp x29, x30, [sp, #-160]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x3, sp",
        "str x3, [x0]",
        // Zeroes end a backtrace.
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, x2",
        "mov x16, x1",
        "br x16",
    )
}

/// Returns from the [`save_context`] that stored `frame`, on the calling kernel thread.
///
/// # Safety
/// `frame` must come from `save_context`, be restored at most once, and its stack must be as it left
/// it; the calling thread's own frames are lost.
#[cfg(feature = "hosted")]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn restore_context(frame: usize) -> ! {
    naked_asm!(
        "hint #34",
        "mov sp, x0",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}

/// Ends the calling thread by `exit(0)`: from here on the stack is not touched.
///
/// # Safety
/// The thread's frames are not unwound: no value in them may need to be dropped.
#[inline]
pub(crate) unsafe fn exit_thread() -> ! {
    // SAFETY: the caller is done with this thread; the call does not return.
    unsafe {
        asm!("svc 0", "brk #1", in("x8") libc::SYS_exit, in("x0") 0usize, options(noreturn, nostack));
    }
}
