//! Which process a child is, and its end: the part of a handle that has a destructor.
#![allow(unsafe_code, reason = "takes over descriptors that the kernel made")]

use super::by_number::ByNumber;
use super::child_stack::ChildStack;
use super::reaper;
use super::status::ExitStatus;
use super::usage::Usage;
use super::waitid::{has_ended, is_over, wait_for_status};
use crate::error::{Error, Operation};
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, signal, wait};

pub(super) static WAIT: Operation = Operation {
    name: "waitid",
    purpose: "wait for the child",
    hint: |errno| match errno.number() {
        libc::ECHILD => {
            "Another call reaped it, SIGCHLD is ignored here, or this process is not the one that \
             made it."
        }
        _ => "See waitid(2).",
    },
};
static PIDFD_OPEN: Operation = Operation {
    name: "pidfd_open",
    purpose: "open a pidfd to wait with a timeout",
    hint: |_| "It needs Linux 5.3 and a free descriptor; try_wait does not.",
};
/// A process to wait for. Dropped, it leaves no zombie: see [`Child`](super::Child).
pub(super) struct ProcessHandle {
    pub(super) pid: i32,
    pub(super) pidfd: Option<OwnedFd>,
    /// Of one that was made without a pidfd, until it is reaped.
    pub(super) by_number: Option<ByNumber>,
    /// The child's stack, if it shares this process's memory and may still run.
    pub(super) stack: Option<ChildStack>,
    pub(super) status: Option<ExitStatus>,
    pub(super) usage: Option<Usage>,
    /// Whether this process is the parent: not for `CLONE_PARENT`.
    pub(super) is_our_child: bool,
}

impl ProcessHandle {
    /// `by_number` is taken before the child is made, unless it has a pidfd.
    pub(super) fn new(pid: i32, pidfd: Option<OwnedFd>, by_number: Option<ByNumber>) -> Self {
        Self {
            pid,
            pidfd,
            by_number,
            stack: None,
            status: None,
            usage: None,
            is_our_child: true,
        }
    }

    /// The number of the pidfd, which is opened if there is none yet. The child must not be reaped.
    pub(super) fn open_pidfd(&mut self) -> Result<i32, Error> {
        if let Some(pidfd) = &self.pidfd {
            return Ok(pidfd.as_raw());
        }
        // The child is not reaped, so its number is still its own.
        let opened = wait::pidfd_open(self.pid, 0)
            .map_err(|errno| Error::from_operation(&PIDFD_OPEN, errno))?;
        // SAFETY: the call opened it for this caller.
        Ok(self
            .pidfd
            .insert(unsafe { OwnedFd::from_raw(opened) })
            .as_raw())
    }

    pub(super) fn signal(&self, signal: i32) -> Result<(), Errno> {
        // A reaped child's number may belong to another process by now.
        match (&self.pidfd, self.status) {
            (_, Some(_)) => Err(Errno::ESRCH),
            (Some(pidfd), None) => match wait::pidfd_send_signal(pidfd.as_raw(), signal) {
                // An old kernel, or a sandbox. The child is not reaped: the number is its own.
                Err(Errno::ENOSYS | Errno::EPERM) => signal::send_to_process(self.pid, signal),
                other => other,
            },
            (None, None) => signal::send_to_process(self.pid, signal),
        }
    }

    /// Whether the child has ended, reaped or not, as far as that can be seen.
    pub(super) fn is_gone(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) if has_ended(pidfd.as_raw()) => true,
            _ if self.is_our_child => is_over(self.pid),
            _ => signal::send_to_process(self.pid, 0) == Err(Errno::ESRCH),
        }
    }

    pub(super) fn reap(&mut self, options: i32) -> Result<Option<ExitStatus>, Error> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        if !self.is_our_child {
            return Err(Error::refused(
                "a child made with CLONE_PARENT is this process's sibling, and only the common \
                 parent can wait for it",
                "Poll its pidfd to learn of its end.",
                Errno::new(libc::ECHILD),
            ));
        }
        let mut usage = None;
        let status = wait_for_status(self.pid, self.pidfd.as_ref(), options, &mut usage)
            .map_err(|errno| Error::from_operation(&WAIT, errno))?;
        if let Some(status) = status {
            self.set_reaped(status, usage);
        }
        Ok(status)
    }

    /// The child was waited for: no task runs on its stack.
    pub(super) fn set_reaped(&mut self, status: ExitStatus, usage: Option<Usage>) {
        self.status = Some(status);
        self.usage = usage;
        self.by_number = None;
        if let Some(mut stack) = self.stack.take() {
            stack.set_status(status);
        }
    }
}

impl Drop for ProcessHandle {
    fn drop(&mut self) {
        let stack = self.stack.take();
        match self.is_our_child.then(|| self.reap(libc::WNOHANG)) {
            // Running: a thread must wait for its end.
            Some(Ok(None)) => {
                let _ = reaper::reap_in_background(
                    self.pid,
                    self.pidfd.take(),
                    self.by_number.take(),
                    stack,
                );
            }
            // Reaped: no task runs on the stack.
            Some(Ok(Some(_))) => drop(stack),
            // Not ours, or reaped by another call (by the kernel, where SIGCHLD is ignored).
            Some(Err(_)) | None => {
                let pidfd = self.pidfd.as_ref().map(OwnedFd::as_raw);
                let gone = pidfd.is_some_and(has_ended)
                    || stack.as_ref().is_some_and(ChildStack::has_exited);
                if !gone {
                    // It may still run on the stack, and nothing tells when it leaves.
                    core::mem::forget(stack);
                }
            }
        }
    }
}
