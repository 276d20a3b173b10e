//! `fork`: a copy of the calling process.
#![allow(
    unsafe_code,
    reason = "makes a process that returns from this very call"
)]

use super::by_number::ByNumber;
use super::child::Child;
use super::clone_error;
use super::steps;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::sys::Errno;
use crate::sys::file::OwnedFd;
use crate::sys::wait;

/// Where [`fork`] returned.
///
/// ```
/// use rawthread::process::{Fork, fork};
///
/// # fn main() -> Result<(), rawthread::Error> {
/// // SAFETY: the child only exits.
/// match unsafe { fork() }? {
///     Fork::Child => unsafe { libc::_exit(3) },
///     Fork::Parent(mut child) => assert_eq!(child.wait()?.code(), Some(3)),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "both processes must know which one they are"]
pub enum Fork {
    /// In the process that called: the new one's handle.
    Parent(Child),
    /// In the new process.
    Child,
}

/// Makes a copy of the calling process with one thread, the caller; returns in both.
///
/// In a program with a libc it is the libc's own `fork`: it alone can put the libc's locks (of
/// `malloc`, of stdio) in order for the child, and it runs what `pthread_atfork` registered. In a
/// program without one it is the bare system call. To copy without that, or to share more or less,
/// take [`Builder`](super::Builder). Without a libc the child ends by `start::exit`, where the
/// examples have `libc::_exit`.
///
/// # Errors
/// `EAGAIN` at a limit of tasks, `ENOMEM`.
///
/// # Safety
/// If the process has other threads, they do not exist in the child, and what they held at that
/// moment stays as it was: locked locks stay locked, half-changed data stays half changed. Until
/// the child calls `execve` or `_exit`, it may only use what is known to survive that:
/// async-signal-safe functions (`signal-safety(7)`), this crate, the allocator of a libc that
/// promises so (glibc and musl do), and data that the calling thread alone used. Owning values
/// exist twice after the call: a value whose drop acts on the world outside (removing a file) must
/// not be dropped in both.
///
/// ```
/// use rawthread::process::{Fork, fork};
///
/// # fn main() -> Result<(), rawthread::Error> {
/// // SAFETY: the child only exits.
/// if let Fork::Parent(mut child) = unsafe { fork() }? {
///     assert!(child.wait()?.success());
/// } else {
///     // SAFETY: ends the child without running the parent's exit handlers twice.
///     unsafe { libc::_exit(0) }
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "clone")]
pub unsafe fn fork() -> Result<Fork, Error> {
    let by_number = ByNumber::take();
    // SAFETY: the caller's contract.
    let pid = unsafe { fork_raw() }.map_err(|errno| {
        let attempt = clone_error::CloneAttempt {
            flags: CloneFlags::empty(),
            exit_signal: libc::SIGCHLD as u32,
            set_tid: false,
        };
        clone_error::clone_failed(attempt, errno)
    })?;
    if pid == 0 {
        steps::after_fork();
        return Ok(Fork::Child);
    }
    // Not reaped yet, so the number is the child's. No pidfd (an old kernel, a full table, SIGCHLD
    // ignored and the child gone): the handle works by number.
    let pidfd = wait::pidfd_open(pid, 0).ok();
    // SAFETY: the call opened it for this caller.
    let pidfd = pidfd.map(|fd| unsafe { OwnedFd::from_raw(fd) });
    let by_number = pidfd.is_none().then_some(by_number);
    Ok(Fork::Parent(Child::new(pid, pidfd, by_number)))
}

/// 0 in the child, its pid in the parent.
///
/// # Safety
/// That of [`fork`].
#[cfg(feature = "hosted")]
unsafe fn fork_raw() -> Result<i32, Errno> {
    // SAFETY: the caller's contract; errno is this thread's.
    unsafe {
        match libc::fork() {
            -1 => Err(Errno::new((*libc::__errno_location()).clamp(1, 4095))),
            pid => Ok(pid),
        }
    }
}

/// 0 in the child, its pid in the parent.
///
/// # Safety
/// That of [`fork`].
#[cfg(not(feature = "hosted"))]
unsafe fn fork_raw() -> Result<i32, Errno> {
    let request = crate::sys::clone::CloneArgs {
        exit_signal: libc::SIGCHLD as u64,
        ..Default::default()
    };
    // SAFETY: no CLONE_VM, so the child has its own copy of this stack; the rest is the caller's
    // contract.
    let pid = unsafe { crate::sys::clone::clone_fork(&request) }?;
    if pid == 0 {
        after_fork_in_child();
    }
    Ok(pid)
}

/// In a child that has its own copy of the memory, made without libc's `fork`: first thing.
#[cfg(not(feature = "hosted"))]
pub(super) fn after_fork_in_child() {
    crate::runtime::freestanding::after_fork();
}

/// In a child that has its own copy of the memory, made without libc's `fork`: first thing.
#[cfg(feature = "hosted")]
pub(super) fn after_fork_in_child() {
    crate::runtime::hosted::fork::in_bare_child();
}
