//! What the experiments have in common: children, pipes, and looks at /proc.
#![allow(
    unsafe_code,
    reason = "makes children that share memory with the experiment"
)]

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Child, Fork, fork};

use super::log::ExperimentLog;
use crate::syscall;

/// A child of these flags that runs `f`, which must keep to the rules of `syscall` if memory is shared.
///
/// Logs it and returns nothing if a right is missing or it fails otherwise.
pub(crate) fn spawn_child<F>(
    log: &mut ExperimentLog,
    flags: CloneFlags,
    signal: u32,
    f: F,
) -> Option<Child>
where
    F: FnOnce() -> i32 + 'static,
{
    let builder = Builder::new()
        .flags(flags)
        .own_tls(false)
        .exit_signal(signal);
    // SAFETY: the experiments' closures make raw system calls on numbers and atomics alone, and
    // own what they use; the experiment has one thread, which waits while the child runs.
    match unsafe { builder.spawn(f) } {
        Ok(child) => Some(child),
        Err(error) => {
            match error.raw_os_error() {
                Some(libc::EPERM | libc::ENOSPC | libc::ENOSYS | libc::EAGAIN) => log.skip(error),
                _ => log.check(false, error),
            }
            None
        }
    }
}

/// The command by which the lab, as another program, reports its ids.
pub(crate) const EXEC_REPORT: &str = "exec-report";

/// Whether this libc is glibc.
pub(crate) const GLIBC: bool = cfg!(target_env = "gnu");

/// `SIGCHLD` as an exit signal.
pub(crate) const SIGCHLD: u32 = libc::SIGCHLD as u32;

/// The exit code of `f` in a fork of the experiment; -1 if it died otherwise.
pub(crate) fn in_a_fork(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: an experiment forks while it has one thread, or calls nothing in the child that the
    // others could have left half done but the allocator, which libc's fork leaves usable.
    match unsafe { fork() } {
        Ok(Fork::Child) => {
            let code = f();
            // SAFETY: ends the fork without the experiment's exit handlers.
            unsafe { libc::_exit(code) }
        }
        Ok(Fork::Parent(mut child)) => child.wait().ok().and_then(|end| end.code()).unwrap_or(-1),
        Err(_) => -1,
    }
}

/// A pipe: (reading end, writing end). Without `O_CLOEXEC`, for children that become programs.
pub(crate) fn pipe() -> (i32, i32) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let made = unsafe { libc::pipe(ends.as_mut_ptr()) };
    assert!(made == 0, "no descriptor left for a pipe");
    (ends[0], ends[1])
}

/// Sends a number through a pipe; for children of every kind.
pub(crate) fn send(fd: i32, number: i32) {
    // SAFETY: the kernel reads four bytes of `number`.
    let _ = unsafe {
        syscall::syscall(
            libc::SYS_write,
            [fd as usize, (&raw const number) as usize, 4, 0, 0, 0],
        )
    };
}

/// The number that comes through a pipe; `None` at its end.
pub(crate) fn receive(fd: i32) -> Option<i32> {
    let mut number = 0i32;
    // SAFETY: the kernel writes at most four bytes.
    let read = unsafe {
        syscall::syscall(
            libc::SYS_read,
            [fd as usize, (&raw mut number) as usize, 4, 0, 0, 0],
        )
    };
    (read == Ok(4)).then_some(number)
}

/// `receive`, unless the sender is known to have failed.
pub(crate) fn receive_if(sent: bool, fd: i32) -> Option<i32> {
    if sent { receive(fd) } else { None }
}

/// All bytes that come through a pipe until its end.
pub(crate) fn read_all(fd: i32) -> Vec<u8> {
    let mut all = Vec::new();
    let mut some = [0u8; 256];
    loop {
        // SAFETY: the kernel writes at most 256 bytes.
        let got = unsafe { libc::read(fd, some.as_mut_ptr().cast(), some.len()) };
        match usize::try_from(got) {
            Ok(0) | Err(_) => return all,
            Ok(got) => all.extend_from_slice(&some[..got]),
        }
    }
}

/// Closes a descriptor of the experiment's own.
pub(crate) fn close(fd: i32) -> syscall::SysResult {
    // SAFETY: the experiment's own descriptor.
    unsafe { syscall::syscall(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) }
}

/// 0, or the errno of the last call of libc's, which returned `answer`.
pub(crate) fn errno_of(answer: i32) -> i32 {
    if answer >= 0 {
        return 0;
    }
    std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

/// Whether a listing of /proc has an entry of this number.
pub(crate) fn is_listed(number: i32) -> bool {
    let name = number.to_string();
    std::fs::read_dir("/proc").is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_str() == Some(&name))
    })
}

/// How many threads this process has.
pub(crate) fn threads_here() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Whether a wait with these options finds the child `pid`, which has ended; it stays as it is.
pub(crate) fn can_wait(pid: i32, options: i32) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | options;
    // SAFETY: `siginfo_t` is plain data, and the kernel fills it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as u32, &mut info, options) == 0
    }
}

/// A fork of the experiment that runs `f` and exits with what it returns.
pub(crate) fn fork_child(f: impl FnOnce() -> i32) -> Result<Child, rawthread::Error> {
    // SAFETY: as in `in_a_fork`.
    match unsafe { fork() }? {
        Fork::Child => {
            let code = f();
            // SAFETY: ends the fork without the experiment's exit handlers.
            unsafe { libc::_exit(code) }
        }
        Fork::Parent(child) => Ok(child),
    }
}

/// From here on, no end of this process leaves a core file.
pub(crate) fn no_core() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads one `rlimit`.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}
