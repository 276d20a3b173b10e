//! The edge to ptrace(2): raw numbers end here.
#![allow(unsafe_code, reason = "ptrace")]

use std::io;

use rawthread::flags::CloneFlags;

use super::machine::{self, Filtering};
use super::task::CloneRequest;

/// What a stop inside a system call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyscallStop {
    /// It begins, and would make a task.
    CloneEntry(CloneRequest),
    /// It begins, and asks for a seccomp filter.
    Filters(Filtering),
    /// It ends, with this value or minus an errno.
    Ended(i64),
    /// It is of no interest.
    Other,
}

/// What `waitpid` reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// A task stopped at the beginning or the end of a system call.
    Syscall,
    /// It made a task; `PTRACE_EVENT_FORK`, `_VFORK` or `_CLONE`.
    Made(i32),
    /// It executed a program.
    Exec,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It and its process are stopped by a signal, until SIGCONT.
    GroupStop,
    /// It began, was interrupted by the lab, or goes on after a group stop.
    Interrupted,
    /// It ended; the raw status.
    Ended(i32),
}

/// How far a stopped task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To the next event, or to a call that the filter names.
    Event,
    /// To the next beginning or end of a system call too.
    Syscall,
}

fn check(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Becomes the tracer of `tid` and of what it will make.
///
/// With `kill_at_exit` it dies with the lab.
///
/// # Errors
/// EPERM: a sandbox, Yama or another tracer forbids it. ESRCH: it has ended.
pub(super) fn seize(tid: i32, kill_at_exit: bool) -> io::Result<()> {
    let mut options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESECCOMP;
    if kill_at_exit {
        options |= libc::PTRACE_O_EXITKILL;
    }
    // SAFETY: numbers.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0, options) })
}

/// Whether the kernel minds the set-user-ID bits of programs that the calling process traces: it does
/// for a tracer with CAP_SYS_PTRACE.
pub(super) fn may_set_ids() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.is_some_and(|set| set & 1 << CAP_SYS_PTRACE != 0)
}

/// Stops a running tracee; it reports [`Report::Interrupted`], or another stop that came first.
pub(super) fn interrupt(tid: i32) {
    // SAFETY: numbers. A task that has ended meanwhile is no error: its end will be reported.
    unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0) };
}

/// Lets a stopped task run, with `signal` if that is not 0. A task that was killed meanwhile is no
/// error: its end will be reported.
pub(super) fn resume(tid: i32, until: Until, signal: i32) {
    let request = match until {
        Until::Event => libc::PTRACE_CONT,
        Until::Syscall => libc::PTRACE_SYSCALL,
    };
    // SAFETY: numbers.
    unsafe { libc::ptrace(request, tid, 0, signal) };
}

/// Leaves a task in its group stop; the next SIGCONT is reported.
pub(super) fn listen(tid: i32) {
    // SAFETY: numbers.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, tid, 0, 0) };
}

/// Traces a stopped task no longer, and lets it run, with `signal` if that is not 0.
pub(super) fn detach(tid: i32, signal: i32) {
    // SAFETY: numbers.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, 0, signal) };
}

/// The number that comes with an event: the new task, or an exec's former tid.
pub(super) fn event_number(tid: i32) -> Option<i32> {
    let mut number: libc::c_ulong = 0;
    // SAFETY: the kernel writes one `unsigned long`.
    let asked = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut number) };
    (asked >= 0).then_some(number as i32)
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
const SECCOMP: u8 = 3;

/// The call that a task is stopped at; `None` if the task was killed meanwhile.
///
/// # Errors
/// The kernel does not describe system calls (before Linux 5.3).
pub(super) fn call_of(tid: i32) -> io::Result<Option<SyscallStop>> {
    let mut info = SyscallInfo::default();
    let size = size_of::<SyscallInfo>();
    // SAFETY: the kernel writes at most `size` bytes.
    let asked = unsafe { libc::ptrace(PTRACE_GET_SYSCALL_INFO, tid, size, &raw mut info) };
    match check(asked) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        result => result?,
    }
    Ok(Some(match info.op {
        ENTRY | SECCOMP => decode_clone(tid, info.arch, info.words),
        EXIT => SyscallStop::Ended(info.words[0] as i64),
        _ => SyscallStop::Other,
    }))
}

/// The request in a call's number and arguments.
fn decode_clone(tid: i32, audit: u32, words: [u64; 8]) -> SyscallStop {
    let [number, first, second, third, ..] = words;
    if let Some(filtering) = machine::filtering(audit, number, [first, second, third]) {
        return SyscallStop::Filters(filtering);
    }
    let Some((call, machine)) = machine::find(audit, number) else {
        return SyscallStop::Other;
    };
    let sigchld = libc::SIGCHLD as u32;
    let mut request = CloneRequest {
        call,
        machine,
        flags: CloneFlags::empty(),
        exit_signal: sigchld,
        own_stack: false,
        readable: true,
    };
    match call {
        "clone" => {
            (request.flags, request.exit_signal) = CloneFlags::from_legacy(first);
            request.own_stack = second != 0;
        }
        "clone3" => {
            // Words of `struct clone_args`: flags, exit_signal, stack.
            let read = |index: u64| read_word(tid, first + 8 * index);
            match (read(0), read(4), read(5)) {
                (Ok(flags), Ok(signal), Ok(stack)) => {
                    request.flags = CloneFlags::from_bits_retain(flags);
                    request.exit_signal = signal as u32;
                    request.own_stack = stack != 0;
                }
                // Killed meanwhile: a call that a fatal signal finds at its beginning makes nothing.
                (Err(libc::ESRCH), ..) | (_, Err(libc::ESRCH), _) | (.., Err(libc::ESRCH)) => {
                    return SyscallStop::Other;
                }
                _ => request.readable = false,
            }
        }
        "vfork" => request.flags = CloneFlags::VM | CloneFlags::VFORK,
        _ => {}
    }
    SyscallStop::CloneEntry(request)
}

/// A word of the tracee's memory, or the errno.
fn read_word(tid: i32, address: u64) -> Result<u64, i32> {
    let mut word = 0u64;
    // Not libc's function: its result cannot be told from an error. Not process_vm_readv: it asks
    // for rights that a tracer of a set-user-ID program lacks.
    // SAFETY: the kernel writes one word into `word`.
    let read = unsafe {
        libc::syscall(
            libc::SYS_ptrace,
            libc::PTRACE_PEEKDATA as libc::c_long,
            tid,
            address,
            &raw mut word,
        )
    };
    match check(read) {
        Ok(()) => Ok(word),
        Err(error) => Err(error.raw_os_error().unwrap_or(0)),
    }
}

/// The next report of any tracee.
///
/// `before_reaping` is called with the tid of a task that has ended, while /proc still has it.
///
/// # Errors
/// ECHILD: there is no tracee left. EINTR: a handler ran.
pub(super) fn wait_event(mut before_reaping: impl FnMut(i32)) -> io::Result<(i32, Report)> {
    loop {
        // SAFETY: plain data, which the kernel fills.
        let mut info = unsafe { std::mem::zeroed::<libc::siginfo_t>() };
        let options = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL;
        // SAFETY: the kernel writes one `siginfo_t`.
        let waited = unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) };
        check(waited.into())?;
        // SAFETY: filled for a child.
        let tid = unsafe { info.si_pid() };
        let ended = [libc::CLD_EXITED, libc::CLD_KILLED, libc::CLD_DUMPED].contains(&info.si_code);
        if ended {
            before_reaping(tid);
        }
        let mut status = 0;
        // Not to wait: a stop may have been overtaken by SIGKILL.
        let options = libc::__WALL | libc::WNOHANG;
        // SAFETY: the kernel writes one number.
        if unsafe { libc::waitpid(tid, &mut status, options) } == tid {
            return Ok((tid, report(status)));
        }
    }
}

fn report(status: i32) -> Report {
    if !libc::WIFSTOPPED(status) {
        return Report::Ended(status);
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (signal, 0) if signal == libc::SIGTRAP | 0x80 => Report::Syscall,
        (signal, 0) => Report::Signal(signal),
        (_, libc::PTRACE_EVENT_EXEC) => Report::Exec,
        (_, libc::PTRACE_EVENT_SECCOMP) => Report::Syscall,
        (libc::SIGTRAP, libc::PTRACE_EVENT_STOP) => Report::Interrupted,
        (signal, libc::PTRACE_EVENT_STOP) if STOPS.contains(&signal) => Report::GroupStop,
        (_, libc::PTRACE_EVENT_STOP) => Report::Interrupted,
        (_, event) => Report::Made(event),
    }
}

/// Whether a call ended to be made again by the kernel, after a signal: `ERESTART*`.
pub(super) fn is_restart(value: i64) -> bool {
    (-516..=-512).contains(&value)
}

/// What the kind of an event says of a request that could not be read.
pub(super) fn known_by_event(event: i32) -> (CloneFlags, u32) {
    match event {
        libc::PTRACE_EVENT_VFORK => (CloneFlags::VFORK, 0),
        libc::PTRACE_EVENT_FORK => (CloneFlags::empty(), libc::SIGCHLD as u32),
        _ => (CloneFlags::empty(), 0),
    }
}

/// The signals that stop a process.
const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
