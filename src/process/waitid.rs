//! Waiting for a child process by `waitid(2)`.
#![allow(unsafe_code, reason = "reads the union in siginfo_t")]

use core::time::Duration;

use super::status::ExitStatus;
use super::usage::Usage;
use crate::sys::file::OwnedFd;
use crate::sys::futex::Deadline;
use crate::sys::sched::Pauses;
use crate::sys::{Errno, wait};

/// Waits once for `pid`; `None` if `WNOHANG` was asked for and it still runs.
///
/// Always with `__WALL`: a child whose exit signal is not SIGCHLD is invisible without it, and it
/// hides nothing.
pub(super) fn waitid_once(
    pid: i32,
    pidfd: Option<&OwnedFd>,
    options: i32,
    usage: &mut Option<Usage>,
) -> Result<Option<ExitStatus>, Errno> {
    let mut used = no_usage();
    let options = libc::WEXITED | libc::__WALL | options;
    let mut target = match pidfd {
        Some(pidfd) => (libc::P_PIDFD, pidfd.as_raw() as u32),
        None => (libc::P_PID, pid as u32),
    };
    loop {
        match wait::waitid(target.0, target.1, options, Some(&mut used)) {
            Ok(info) => {
                // SAFETY: waitid filled the fields of a child's change, or left them zero.
                let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
                if child != 0 && !is_end(info.si_code) {
                    // A stop, which a tracer is told unasked.
                    match options & libc::WNOHANG {
                        0 => continue,
                        _ => return Ok(None),
                    }
                }
                if child != 0 {
                    *usage = Some(Usage::from_kernel(&used));
                }
                return Ok((child != 0).then(|| ExitStatus::from_waitid(info.si_code, status)));
            }
            Err(Errno::EINTR) => {}
            // Linux before 5.4 has pidfds and does not wait on them.
            Err(Errno::EINVAL) if target.0 == libc::P_PIDFD => target = (libc::P_PID, pid as u32),
            // A sandbox may know the older call alone, which libcs' waitpid makes.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let options = options & (libc::WNOHANG | libc::__WALL);
                let (child, status) = wait4_through(pid, options, &mut used)?;
                if child != 0 && is_stop(status) {
                    match options & libc::WNOHANG {
                        0 => continue,
                        _ => return Ok(None),
                    }
                }
                if child != 0 {
                    *usage = Some(Usage::from_kernel(&used));
                }
                return Ok((child != 0).then(|| ExitStatus::from_raw(status)));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// The signal at which the traced child is stopped, if it is; the stop stays to be waited for.
pub(super) fn stop_signal(pid: i32) -> Option<i32> {
    let options = libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    let info = wait::waitid(libc::P_PID, pid as u32, options, None).ok()?;
    // SAFETY: waitid filled the fields of a child's change, or left them zero.
    let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
    (child != 0).then_some(status & 0x7f)
}

pub(super) fn no_usage() -> libc::rusage {
    // SAFETY: all zero bytes are a valid rusage.
    unsafe { core::mem::zeroed() }
}

/// `wait4(2)`, begun again after signals.
fn wait4_through(pid: i32, options: i32, used: &mut libc::rusage) -> Result<(i32, i32), Errno> {
    loop {
        match wait::wait4(pid, options, used) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Waits until a child of this process in a process group has ended, which is not reaped by that: its pid.
pub(super) fn wait_for_member(group: i32) -> Result<i32, Errno> {
    let options = libc::WEXITED | libc::__WALL | libc::WNOWAIT;
    loop {
        match wait::waitid(libc::P_PGID, group as u32, options, None) {
            Ok(info) => {
                // SAFETY: waitid filled the fields of a child's change.
                let child = unsafe { info.si_pid() };
                if is_end(info.si_code) {
                    return Ok(child);
                }
                // A stop: taken, or it would be reported again. An end is not taken by that.
                let stop = libc::WSTOPPED | libc::__WALL | libc::WNOHANG;
                let _ = wait::waitid(libc::P_PID, child as u32, stop, None);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps the child of a pidfd if it has ended; not by its number.
pub(super) fn reap_by_pidfd(pidfd: &OwnedFd) -> Result<(), Errno> {
    let options = libc::WEXITED | libc::__WALL | libc::WNOHANG;
    wait::waitid(libc::P_PIDFD, pidfd.as_raw() as u32, options, None).map(drop)
}

/// As [`waitid_once`]; where the kernel or another call has reaped the child, the pidfd may still have
/// its status.
pub(super) fn wait_for_status(
    pid: i32,
    pidfd: Option<&OwnedFd>,
    options: i32,
    usage: &mut Option<Usage>,
) -> Result<Option<ExitStatus>, Errno> {
    let waited = waitid_once(pid, pidfd, options, usage);
    let (Err(errno), Some(pidfd)) = (waited, pidfd) else {
        return waited;
    };
    if errno.number() != libc::ECHILD {
        return Err(errno);
    }
    /// A waiter is woken a few instructions before the pidfd has the status.
    const TRIES: usize = 100;
    let tries = if options & libc::WNOHANG == 0 {
        TRIES
    } else {
        1
    };
    let mut pauses = Pauses::new();
    for _ in 0..tries {
        match wait::pidfd_exit_status(pidfd.as_raw()) {
            Ok(Some(status)) => return Ok(Some(ExitStatus::from_raw(status))),
            Ok(None) if has_ended(pidfd.as_raw()) => pauses.pause(),
            Ok(None) | Err(_) => break,
        }
    }
    // Before Linux 6.15; or it is no child of this process, but of one that has not reaped it.
    Err(errno)
}

/// Whether the child `pid` of this process has ended, which is not reaped by that.
pub(super) fn is_over(pid: i32) -> bool {
    let options = libc::WEXITED | libc::__WALL | libc::WNOHANG | libc::WNOWAIT;
    match wait::waitid(libc::P_PID, pid as u32, options, None) {
        Ok(info) => {
            // SAFETY: waitid filled the fields of a child's change, or left them zero.
            let child = unsafe { info.si_pid() };
            child != 0 && is_end(info.si_code)
        }
        // Reaped, by the kernel where SIGCHLD is ignored.
        Err(errno) => errno.number() == libc::ECHILD,
    }
}

/// Whether a code of `waitid(2)` is of an end, and not of a stop, which a tracer is told unasked.
fn is_end(code: i32) -> bool {
    matches!(code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED)
}

/// As [`is_end`] of a status of `wait4(2)`, the other way round.
fn is_stop(status: i32) -> bool {
    status & 0x7f == 0x7f
}

/// Whether the process of `pidfd` has ended, reaped or not.
pub(super) fn has_ended(pidfd: i32) -> bool {
    let mut fds = [libc::pollfd {
        fd: pidfd,
        events: libc::POLLIN,
        revents: 0,
    }];
    let now = Deadline::after(Duration::ZERO);
    wait::poll(&mut fds, now.as_ref()) == Ok(1) && fds[0].revents & libc::POLLIN != 0
}
