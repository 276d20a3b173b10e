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

/// Which word of the TCB holds the address of glibc's vector of TLS blocks (tcbhead_t of
/// sysdeps/x86_64/nptl/tls.h).
#[cfg(feature = "hosted")]
pub(crate) const TCB_DTV_WORD: usize = 1;

/// The thread pointer: the word at fs:0, which x86-64's TLS ABI makes point at itself.
#[inline]
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: reads the TCB's self-pointer, which every TLS-bearing thread has.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

/// The stack pointer. Not the address of a local: a sanitizer may keep those elsewhere.
#[inline(always)]
pub(crate) fn stack_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Whether the processor keeps return addresses on a shadow stack for the calling thread.
#[cfg(feature = "hosted")]
pub(crate) fn has_shadow_stack() -> bool {
    let pointer: usize;
    // `rdsspq rax`: the shadow stack's pointer; no operation where there is none, also on
    // processors that do not know it.
    // SAFETY: changes nothing but rax.
    unsafe {
        asm!(
            "xor eax, eax",
            ".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8",
            out("rax") pointer,
            options(nomem, nostack),
        );
    }
    pointer != 0
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

/// The x87 exception bits (and the stack fault bit) of a status word.
const X87_EXCEPTIONS: u16 = 0x7f;

/// The calling thread's floating-point environment: MXCSR, then the x87 control word, then the x87
/// exceptions.
pub(crate) fn float_environment() -> u64 {
    let (mut mxcsr, mut control, mut status) = (0u32, 0u16, 0u16);
    // SAFETY: each instruction writes its operand's size to one local.
    unsafe {
        asm!(
            "stmxcsr [{mxcsr}]",
            "fnstcw [{control}]",
            "fnstsw [{status}]",
            mxcsr = in(reg) &raw mut mxcsr,
            control = in(reg) &raw mut control,
            status = in(reg) &raw mut status,
            options(nostack, preserves_flags),
        );
    }
    u64::from(mxcsr) | u64::from(control) << 32 | u64::from(status & X87_EXCEPTIONS) << 48
}

/// Sets the calling thread's floating-point environment.
///
/// # Safety
/// It must come from [`float_environment`], in this process (MXCSR has bits that fault), and the
/// code that follows must expect it.
pub(crate) unsafe fn set_float_environment(environment: u64) {
    let present = float_environment();
    let mxcsr = environment as u32;
    if present as u32 != mxcsr {
        // SAFETY: the caller vouches for the value.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, preserves_flags));
        }
    }
    if present >> 32 == environment >> 32 {
        return;
    }
    // The x87 environment in 64-bit mode: control, status and tag words in a double word each, and
    // four more.
    let mut x87 = [0u32; 7];
    // SAFETY: stores 28 bytes; the exceptions that it masks are set again below.
    unsafe { asm!("fnstenv [{}]", in(reg) &raw mut x87, options(nostack, preserves_flags)) };
    let exceptions = u32::from(X87_EXCEPTIONS);
    x87[0] = x87[0] & 0xffff_0000 | (environment >> 32) as u32 & 0xffff;
    x87[1] = x87[1] & !exceptions | (environment >> 48) as u32 & exceptions;
    // SAFETY: what was stored just now, but for the caller's control word and exceptions.
    unsafe { asm!("fldenv [{}]", in(reg) &raw const x87, options(nostack, preserves_flags)) };
}

/// The page size in bytes: x86-64 has one only.
pub(crate) const FIXED_PAGE_SIZE: usize = 4096;

/// The fourth and the fifth argument of `clone`: the child's tid word, then the thread pointer.
pub(crate) const fn order_clone_tail(child_tid: usize, tls: usize) -> [usize; 2] {
    [child_tid, tls]
}

/// `dup2(2)` and `poll(2)`, which `dup3(2)` and `ppoll(2)` came after; newer architectures lack them.
#[cfg(feature = "alloc")]
pub(crate) const SYS_DUP2: Option<i64> = Some(libc::SYS_dup2);
/// As [`SYS_DUP2`].
pub(crate) const SYS_POLL: Option<i64> = Some(libc::SYS_poll);

/// How seccomp names this machine's ABI: `AUDIT_ARCH_*` (linux/audit.h).
#[cfg(feature = "alloc")]
pub(crate) const AUDIT_ARCH: u32 = 0xc000_003e;

/// The signature of rseq areas, which glibc's abort handlers carry (`RSEQ_SIG` of sys/rseq.h).
#[cfg(feature = "hosted")]
pub(crate) const RSEQ_SIGNATURE: u32 = 0x5305_3053;

/// The type of relocations "load bias plus addend" (`R_X86_64_RELATIVE`).
#[cfg(all(not(feature = "hosted"), any(feature = "start", test)))]
pub(crate) const R_RELATIVE: usize = 8;

/// The type of relocations that call a function for the value (`R_X86_64_IRELATIVE`).
#[cfg(all(not(feature = "hosted"), feature = "start", not(test)))]
pub(crate) const R_IRELATIVE: u32 = 37;

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
