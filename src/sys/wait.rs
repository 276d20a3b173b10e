//! Waiting for children, and pidfds.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::time::Duration;

use super::arch::{SYS_POLL, syscall3, syscall4, syscall5};
use super::errno::Errno;
use super::file::OwnedFd;
use super::futex::Deadline;

/// `waitid(2)`: `kind` is `libc::P_*`, `options` `libc::W*` and `libc::__WALL`...
///
/// # Errors
/// ECHILD (nothing to wait for, `__WALL` missing), EINTR, EINVAL.
pub(crate) fn waitid(
    kind: u32,
    id: u32,
    options: i32,
    usage: Option<&mut libc::rusage>,
) -> Result<libc::siginfo_t, Errno> {
    // SAFETY: all zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let usage = usage.map_or(0, |usage| core::ptr::from_mut(usage) as usize);
    // SAFETY: the kernel writes to `info` and `usage` only.
    let returned = unsafe {
        syscall5(
            libc::SYS_waitid,
            kind as usize,
            id as usize,
            core::ptr::from_mut(&mut info) as usize,
            options as usize,
            usage,
        )
    };
    Errno::check(returned).map(|_| info)
}

/// `wait4(2)` for one child: its pid and status, or (0, _) if `WNOHANG` is among the options and it runs.
///
/// # Errors
/// As [`waitid`].
pub(crate) fn wait4(pid: i32, options: i32, usage: &mut libc::rusage) -> Result<(i32, i32), Errno> {
    let mut status = 0i32;
    // SAFETY: the kernel writes to `status` and `usage` only.
    let returned = unsafe {
        syscall4(
            libc::SYS_wait4,
            pid as isize as usize,
            core::ptr::from_mut(&mut status) as usize,
            options as usize,
            core::ptr::from_mut(usage) as usize,
        )
    };
    Errno::check(returned).map(|pid| (pid as i32, status))
}

/// `pidfd_open(2)`; `flags` 0 or `PIDFD_THREAD` (Linux 6.9).
pub(crate) fn pidfd_open(pid: i32, flags: u32) -> Result<i32, Errno> {
    // SAFETY: no memory.
    let returned = unsafe { syscall3(libc::SYS_pidfd_open, pid as usize, flags as usize, 0) };
    Errno::check(returned).map(|fd| fd as i32)
}

/// As [`pidfd_open`], for a caller that keeps it.
pub(crate) fn open_pidfd(pid: i32, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call opened it for this caller.
    pidfd_open(pid, flags).map(|fd| unsafe { OwnedFd::from_raw(fd) })
}

/// `pidfd_send_signal(2)`, Linux 5.1.
pub(crate) fn pidfd_send_signal(pidfd: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: a null siginfo and no flags: what kill(2) does.
    let returned = unsafe {
        syscall4(
            libc::SYS_pidfd_send_signal,
            pidfd as usize,
            signal as usize,
            0,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// `struct pidfd_info` (linux/pidfd.h), the 64 bytes of its first version.
#[derive(Default)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// The wait status of a process that has ended and was reaped, by its pidfd; `None` while it was not.
///
/// # Errors
/// The kernel's: it knows no such request before Linux 6.13, and no status before 6.15.
pub(crate) fn pidfd_exit_status(pidfd: i32) -> Result<Option<i32>, Errno> {
    /// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
    const PIDFD_GET_INFO: usize = 0xc040_ff0b;
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the kernel reads and writes as many bytes as the request's number says: 64.
    let returned = unsafe {
        syscall3(
            libc::SYS_ioctl,
            pidfd as usize,
            PIDFD_GET_INFO,
            core::ptr::from_mut(&mut info) as usize,
        )
    };
    Errno::check(returned)?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// Sleeps until a descriptor of `wanted` is ready or the deadline has passed; returns how many are ready.
pub(crate) fn poll(
    wanted: &mut [libc::pollfd],
    deadline: Option<&Deadline>,
) -> Result<usize, Errno> {
    let left = deadline.map(Deadline::remaining);
    let mut timeout = left.map(|left| libc::timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    let address = timeout
        .as_mut()
        .map_or(0, |time| core::ptr::from_mut(time) as usize);
    // SAFETY: the kernel writes `revents` of that many entries, and the timespec.
    let returned = unsafe {
        syscall5(
            libc::SYS_ppoll,
            wanted.as_mut_ptr() as usize,
            wanted.len(),
            address,
            0,
            0,
        )
    };
    match (Errno::check(returned), SYS_POLL) {
        // A sandbox may know the older call alone.
        (Err(Errno::ENOSYS | Errno::EPERM), Some(number)) => poll_by(number, wanted, left),
        (other, _) => other,
    }
}

/// `poll(2)`, whose timeout counts milliseconds: rounded up.
fn poll_by(
    number: i64,
    wanted: &mut [libc::pollfd],
    left: Option<Duration>,
) -> Result<usize, Errno> {
    let timeout = left.map_or(-1, |left| {
        i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    // SAFETY: the kernel writes `revents` of that many entries.
    let returned = unsafe {
        syscall3(
            number,
            wanted.as_mut_ptr() as usize,
            wanted.len(),
            timeout as usize,
        )
    };
    Errno::check(returned)
}
