//! The edge to ptrace(2): raw numbers end here.
#![allow(unsafe_code, reason = "ptrace")]

use std::io;

use rawthread::flags::CloneFlags;

/// How a task was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CloneRequest {
    /// "clone3", "clone", "fork" or "vfork".
    pub(super) call: &'static str,
    pub(super) flags: CloneFlags,
    pub(super) exit_signal: u32,
}

/// Where a system call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyscallStop {
    /// It begins, and would make a task.
    CloneEntry(CloneRequest),
    /// It ends, with this value or minus an errno.
    Ended(i64),
    /// It is of no interest.
    Other,
}

/// Asks to be traced; for the child, before its exec.
pub(super) fn trace_me() -> io::Result<()> {
    // SAFETY: PTRACE_TRACEME takes no arguments.
    check(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) })
}

fn check(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Follows what `tid` makes, and sees its system calls and its execs; it dies with the lab.
pub(super) fn follow(tid: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // SAFETY: numbers.
    check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, options) })
}

/// Lets a stopped task run to its next system call, with `signal` if that is not 0. A task that
/// was killed meanwhile is no error: its end will be reported.
pub(super) fn resume(tid: i32, signal: i32) {
    // SAFETY: numbers.
    unsafe { libc::ptrace(libc::PTRACE_SYSCALL, tid, 0, signal) };
}

/// The number that comes with an event: the new task, or an exec's former tid.
pub(super) fn event_number(tid: i32) -> Option<i32> {
    let mut number: libc::c_ulong = 0;
    // SAFETY: the kernel writes one `unsigned long`.
    let asked = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut number) };
    (asked >= 0).then_some(number as i32)
}

/// Whether a stop is a group's, not a signal's delivery.
pub(super) fn is_group_stop(tid: i32) -> bool {
    // SAFETY: the kernel writes one `siginfo_t`.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info) < 0
    }
}

/// `struct ptrace_syscall_info`, as far as it is read here (Linux 5.3).
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    /// At the entry: the number and six arguments. At the exit: the value.
    words: [u64; 8],
}

const PTRACE_GET_SYSCALL_INFO: libc::c_uint = 0x420e;
const ENTRY: u8 = 1;
const EXIT: u8 = 2;

/// AUDIT_ARCH_*: the machine whose call numbers libc's constants are.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

/// The call that a task is stopped at.
///
/// # Errors
/// The kernel cannot tell (before Linux 5.3).
pub(super) fn call_of(tid: i32) -> io::Result<SyscallStop> {
    let mut info = SyscallInfo::default();
    let size = size_of::<SyscallInfo>();
    // SAFETY: the kernel writes at most as many bytes as it is told.
    let asked = unsafe { libc::ptrace(PTRACE_GET_SYSCALL_INFO, tid, size, &raw mut info) };
    check(asked)?;
    Ok(match info.op {
        ENTRY if info.arch == NATIVE => decode_clone(tid, info.words),
        EXIT => SyscallStop::Ended(info.words[0] as i64),
        _ => SyscallStop::Other,
    })
}

/// The request in a call's number and arguments.
fn decode_clone(tid: i32, words: [u64; 8]) -> SyscallStop {
    let [number, first, ..] = words;
    let asked = |call, (flags, exit_signal)| {
        SyscallStop::CloneEntry(CloneRequest {
            call,
            flags,
            exit_signal,
        })
    };
    let child = libc::SIGCHLD as u32;
    match number as libc::c_long {
        libc::SYS_clone => asked("clone", CloneFlags::from_legacy(first)),
        libc::SYS_clone3 => {
            // flags is the first word of clone_args, exit_signal the fifth.
            let flags = CloneFlags::from_bits_retain(read_word(tid, first).unwrap_or(0));
            let exit_signal = read_word(tid, first + 32).unwrap_or(0) as u32;
            asked("clone3", (flags, exit_signal))
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork => asked("fork", (CloneFlags::empty(), child)),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork => asked("vfork", (CloneFlags::VM | CloneFlags::VFORK, child)),
        _ => {
            let _ = child;
            SyscallStop::Other
        }
    }
}

/// A word of the tracee's memory.
fn read_word(tid: i32, address: u64) -> Option<u64> {
    let mut word = 0u64;
    let here = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: 8,
    };
    let there = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: 8,
    };
    // SAFETY: the kernel writes at most eight bytes into `word`.
    let read = unsafe { libc::process_vm_readv(tid, &here, 1, &there, 1, 0) };
    (read == 8).then_some(word)
}

/// What `waitpid` reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A task stopped at the beginning or the end of a system call.
    Syscall,
    /// It made a task.
    Made,
    /// It became another program.
    Exec,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It ended; the raw status.
    Ended(i32),
}

/// The next report of any tracee; `None` when there is none left.
pub(super) fn wait_event() -> Option<(i32, Report)> {
    let mut status = 0;
    let tid = loop {
        // SAFETY: the kernel writes one number.
        let tid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL) };
        if tid >= 0 {
            break tid;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    };
    if !libc::WIFSTOPPED(status) {
        return Some((tid, Report::Ended(status)));
    }
    let report = match (libc::WSTOPSIG(status), status >> 16) {
        (signal, 0) if signal == libc::SIGTRAP | 0x80 => Report::Syscall,
        (signal, 0) => Report::Signal(signal),
        (_, libc::PTRACE_EVENT_EXEC) => Report::Exec,
        (_, _) => Report::Made,
    };
    Some((tid, report))
}
