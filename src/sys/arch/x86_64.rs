//! x86-64: the `syscall` instruction takes its number in rax and its arguments in rdi, rsi, rdx,
//! r10, r8, r9; it destroys rcx and r11 and nothing else.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::arch::{asm, naked_asm};

use super::types::ChildEntry;

/// A system call with 0 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall0(number: i64) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 1 argument.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall1(number: i64, a0: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 2 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall2(number: i64, a0: usize, a1: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            in("rsi") a1,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 3 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall3(number: i64, a0: usize, a1: usize, a2: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            in("rsi") a1,
            in("rdx") a2,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 4 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall4(number: i64, a0: usize, a1: usize, a2: usize, a3: usize) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            in("rsi") a1,
            in("rdx") a2,
            in("r10") a3,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 5 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
pub(crate) unsafe fn syscall5(
    number: i64,
    a0: usize,
    a1: usize,
    a2: usize,
    a3: usize,
    a4: usize,
) -> isize {
    let returned;
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            in("rsi") a1,
            in("rdx") a2,
            in("r10") a3,
            in("r8") a4,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// A system call with 6 arguments.
///
/// # Safety
/// The call and its arguments must be sound to make here.
#[inline]
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
    // SAFETY: the caller vouches for the call; the clobbers are the instruction's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") a0,
            in("rsi") a1,
            in("rdx") a2,
            in("r10") a3,
            in("r8") a4,
            in("r9") a5,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// `clone3`; the child calls `entry(argument)` on the stack that `args` names.
///
/// | register | on entry | at the system call | in the child |
/// |---|---|---|---|
/// | rdi | `args` | args | `argument` |
/// | rsi | `size` | size | |
/// | rdx | `entry` | kept | called |
/// | rcx → r8 | `argument` | kept in r8 | → rdi |
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
        "mov r8, rcx",
        "mov eax, 435",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        // The child. A zero frame pointer and a zero return address end a backtrace here.
        "2:",
        "xor ebp, ebp",
        "mov rdi, r8",
        "push rbp",
        "jmp rdx",
    )
}

/// `clone`; the child calls `entry(argument)` on the stack that ends at `stack_top`.
///
/// | register | on entry | at the system call | in the child |
/// |---|---|---|---|
/// | rdi | `flags` | flags | `argument` |
/// | rsi | `stack_top` | stack, 16 bytes lower, where `argument` lies | |
/// | rdx | `parent_tid` | parent tid | |
/// | rcx → r10 | `child_tid` | child tid | |
/// | r8 | `tls` | tls | |
/// | r9 | `entry` | kept | called |
/// | [rsp+8] | `argument` | at the child's stack top | → rdi |
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
        "mov rax, [rsp + 8]",
        "sub rsi, 16",
        "mov [rsi], rax",
        "mov r10, rcx",
        "mov eax, 56",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "mov rdi, [rsp]",
        // The slot below the argument becomes the return address: zero, and rsp is 8 modulo 16
        // as the ABI has it at a function's first instruction.
        "add rsp, 8",
        "mov [rsp], rbp",
        "jmp r9",
    )
}

/// The thread pointer: the word at fs:0, which x86-64's TLS ABI makes point at itself.
#[inline]
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: reads the TCB's self-pointer, which every TLS-bearing thread has.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

/// Makes `pointer` the calling thread's thread pointer (`arch_prctl(ARCH_SET_FS)`).
///
/// # Safety
/// `pointer` must be the address of a TCB that fits every piece of code this thread runs next.
#[cfg(not(feature = "hosted"))]
pub(crate) unsafe fn set_thread_pointer(pointer: *mut u8) -> isize {
    const ARCH_SET_FS: usize = 0x1002;
    // SAFETY: the caller vouches for the TCB.
    unsafe { syscall2(libc::SYS_arch_prctl, ARCH_SET_FS, pointer as usize) }
}

/// The page size in bytes: x86-64 has one only.
pub(crate) const FIXED_PAGE_SIZE: usize = 4096;

/// The fourth and the fifth argument of `clone`: the child's tid word, then the thread pointer.
pub(crate) const fn order_clone_tail(child_tid: usize, tls: usize) -> [usize; 2] {
    [child_tid, tls]
}

/// The signature of rseq areas, which glibc's abort handlers carry (`RSEQ_SIG` of sys/rseq.h).
#[cfg(feature = "hosted")]
pub(crate) const RSEQ_SIGNATURE: u32 = 0x5305_3053;

/// The type of relocations "load bias plus addend" (`R_X86_64_RELATIVE`).
#[cfg(all(not(feature = "hosted"), any(feature = "start", test)))]
pub(crate) const R_RELATIVE: usize = 8;

/// The address of the calling thread's TLS block that lies `offset` bytes below the thread pointer.
#[cfg(feature = "hosted")]
pub(crate) fn static_tls_block(offset: usize) -> usize {
    (thread_pointer() as usize).wrapping_sub(offset)
}

/// The part of `area` that static TLS of the calling thread lies in: it ends at the thread pointer.
#[cfg(feature = "hosted")]
pub(crate) fn static_tls_range(area: core::ops::Range<usize>) -> core::ops::Range<usize> {
    area.start..thread_pointer() as usize
}

/// Saves the caller's frame and calls `next(argument)` on the stack below it; returns when
/// [`restore_context`] continues the frame, on whichever kernel thread calls that.
///
/// Saves what a function must preserve (rbx, rbp, r12 to r15) on the stack and the stack pointer
/// in `*frame`.
///
/// | register | on entry | in `next` |
/// |---|---|---|
/// | rdi | `frame` | `argument` |
/// | rsi | `next` | |
/// | rdx | `argument` | |
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
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        // Zeroes end a backtrace; the pad keeps rsp at 8 modulo 16, as after a call.
        "xor ebp, ebp",
        "mov rdi, rdx",
        "sub rsp, 8",
        "push rbp",
        "jmp rsi",
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
        "mov rsp, rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
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
        asm!("syscall", "ud2", in("rax") libc::SYS_exit, in("rdi") 0usize, options(noreturn, nostack));
    }
}

/// Unmaps `[base, base + len)`, which may hold the stack that this runs on, and ends the
/// calling thread by `exit(0)`.
///
/// # Safety
/// As [`exit_thread`]; and no other thread may access the range any more.
#[inline]
pub(crate) unsafe fn unmap_and_exit_thread(base: *mut u8, len: usize) -> ! {
    // SAFETY: between the two calls only registers are used.
    unsafe {
        asm!(
            "syscall",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "ud2",
            in("rax") libc::SYS_munmap,
            in("rdi") base,
            in("rsi") len,
            options(noreturn, nostack),
        );
    }
}

/// Writes the addresses of [`LIBC_SYMBOLS`](super::types::LIBC_SYMBOLS) into `addresses`, 0 for those that
/// the program lacks. By weak references: a static program has no symbol table to look them up in.
#[cfg(all(feature = "hosted", target_env = "gnu", target_feature = "crt-static"))]
#[unsafe(naked)]
pub(crate) extern "C" fn weak_libc_symbols(
    addresses: &mut [usize; super::types::LIBC_SYMBOLS.len()],
) {
    naked_asm!(
        "mov rax, [rip + gnu_get_libc_version@GOTPCREL]",
        "mov [rdi + 0], rax",
        ".weak __rseq_offset",
        "mov rax, [rip + __rseq_offset@GOTPCREL]",
        "mov [rdi + 8], rax",
        ".weak __rseq_size",
        "mov rax, [rip + __rseq_size@GOTPCREL]",
        "mov [rdi + 16], rax",
        ".weak __call_tls_dtors",
        "mov rax, [rip + __call_tls_dtors@GOTPCREL]",
        "mov [rdi + 24], rax",
        ".weak __libc_thread_freeres",
        "mov rax, [rip + __libc_thread_freeres@GOTPCREL]",
        "mov [rdi + 32], rax",
        "ret",
    )
}
