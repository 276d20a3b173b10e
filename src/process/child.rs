//! The handle of a child process.
#![allow(unsafe_code, reason = "lends a descriptor")]

use core::fmt;
use core::time::Duration;

use super::by_number::ByNumber;
use super::child_stack::ChildStack;
use super::pipe::Pipe;
use super::process_handle::ProcessHandle;
use super::status::ExitStatus;
use super::usage::Usage;
use crate::error::{Error, Operation};
use crate::sys::file::OwnedFd;
use crate::sys::futex::Deadline;
use crate::sys::{Errno, wait};

static KILL: Operation = Operation {
    name: "pidfd_send_signal",
    purpose: "signal the child",
    hint: |errno| match errno {
        Errno::ESRCH => "It has ended.",
        Errno::EPERM => "It changed its user id.",
        _ => "See kill(2).",
    },
};
static POLL: Operation = Operation {
    name: "ppoll",
    purpose: "wait for the child's pidfd",
    hint: |_| "Free some memory.",
};

/// A child process, made by [`Builder`](super::Builder), `Command` or
/// [`fork`](super::fork()).
///
/// # What drop does
///
/// Drop neither kills the child nor waits for it: the child runs on, as with `std::process::Child`. But
/// no zombie stays behind. A child that has ended is reaped on the spot; for one that still runs, a sleeping thread
/// of this crate waits (it runs no code of the program, and changes its ids with the process). If no
/// such thread can be made, for want of a task or in a program without libc that adopted no main
/// thread, the zombie stays until this process ends. To end the child with its handle, call [`kill`](Self::kill) and
/// [`wait`](Self::wait).
///
/// ```
/// use rawthread::process;
///
/// # fn main() -> Result<(), rawthread::Error> {
/// // SAFETY: the child shares nothing and only computes.
/// let mut child = unsafe { process::Builder::new().spawn(|| 7) }?;
/// assert!(child.pid() > 0);
/// assert_eq!(child.wait()?.code(), Some(7));
/// # Ok(())
/// # }
/// ```
pub struct Child {
    /// The parent's end of the child's stdin, if it is a pipe. Closed by [`wait`](Self::wait), so
    /// that a child that reads to the end comes to it.
    pub stdin: Option<Pipe>,
    /// The parent's end of the child's stdout, if it is a pipe.
    pub stdout: Option<Pipe>,
    /// The parent's end of the child's stderr, if it is a pipe.
    pub stderr: Option<Pipe>,
    /// Which process it is. The part that has a destructor, so that the pipes can be moved out.
    pub(super) process: ProcessHandle,
}

impl Child {
    pub(super) fn new(pid: i32, pidfd: Option<OwnedFd>, by_number: Option<ByNumber>) -> Self {
        Self {
            stdin: None,
            stdout: None,
            stderr: None,
            process: ProcessHandle::new(pid, pidfd, by_number),
        }
    }

    pub(super) fn with_stack(mut self, stack: Option<ChildStack>) -> Self {
        self.process.stack = stack;
        self
    }

    /// The child was given to our own parent.
    pub(super) fn not_our_child(mut self) -> Self {
        self.process.is_our_child = false;
        self
    }

    /// The process id, as the caller's pid namespace knows it.
    ///
    /// After the child was waited for the number may belong to another process.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let child = unsafe { rawthread::process::Builder::new().spawn(|| 0) }?;
    /// assert!(child.pid() > 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// The process id as std's `Child::id` has it, unsigned; see [`pid`](Self::pid).
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let child = unsafe { rawthread::process::Builder::new().spawn(|| 0) }?;
    /// assert_eq!(child.id(), child.pid().unsigned_abs());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid().unsigned_abs()
    }

    /// The number of the pidfd (`pidfd_open(2)`), which this handle keeps open; `None` if it was
    /// not asked for or the kernel is older than 5.2.
    ///
    /// It polls readable once the child has ended.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let child = unsafe { rawthread::process::Builder::new().pidfd(false).spawn(|| 0) }?;
    /// assert_eq!(child.raw_pidfd(), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn raw_pidfd(&self) -> Option<i32> {
        self.process.pidfd.as_ref().map(OwnedFd::as_raw)
    }

    /// The pidfd (`pidfd_open(2)`); `None` if it was not asked for or the kernel is older than 5.2.
    /// Feature `std`.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let child = unsafe { rawthread::process::Builder::new().spawn(|| 0) }?;
    /// if let Some(pidfd) = child.pidfd() {
    ///     let kept = pidfd.try_clone_to_owned().unwrap();
    ///     drop(kept);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn pidfd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        // SAFETY: the descriptor stays open as long as `self` is borrowed.
        self.raw_pidfd()
            .map(|fd| unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) })
    }

    /// Closes [`stdin`](Self::stdin), waits until the child has ended, and reaps it. A second call
    /// returns the same status.
    ///
    /// It does not read from the child: one that has filled a pipe waits for a reader, and this call for it.
    /// `wait_with_output` reads meanwhile.
    ///
    /// # Errors
    /// `ECHILD` if the child was reaped by another call (a `waitpid(-1)`), or by the kernel where SIGCHLD
    /// is ignored: from Linux 6.15 on a handle with a pidfd finds the status all the same. `ECHILD` too
    /// if it is not this process's to reap: it was made with `CLONE_PARENT`, or this process is a fork
    /// of the one that made it.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| 3) }?;
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "waitpid")]
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.stdin = None;
        loop {
            if let Some(status) = self.process.reap(0)? {
                return Ok(status);
            }
        }
    }

    /// Reaps the child if it has ended; `None` if it still runs.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only waits.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| loop {}) }?;
    /// assert_eq!(child.try_wait()?, None);
    /// child.kill()?;
    /// assert_eq!(child.wait()?.signal(), Some(libc::SIGKILL));
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process.reap(libc::WNOHANG)
    }

    /// Waits at most this long; `None` if the child still runs then. Neither kills it nor closes
    /// [`stdin`](Self::stdin) before it has ended.
    ///
    /// It does not read from the child: one that has filled a pipe waits for a reader, and is still there at the end
    /// of any time. `wait_with_output_timeout` reads meanwhile.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); and where there is no pidfd yet, those of `pidfd_open(2)`, which
    /// is how a wait with a timeout works.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only waits.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| loop {}) }?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(1))?, None);
    /// child.kill()?;
    /// assert!(child.wait_timeout(Duration::from_secs(60))?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<ExitStatus>, Error> {
        if let Some(status) = self.try_wait()? {
            return Ok(Some(status));
        }
        let pidfd = self.process.open_pidfd()?;
        let deadline = Deadline::after(timeout);
        let mut fds = [libc::pollfd {
            fd: pidfd,
            events: libc::POLLIN,
            revents: 0,
        }];
        loop {
            match wait::poll(&mut fds, deadline.as_ref()) {
                // poll(2) rounds, and has a longest time.
                Ok(0) if deadline.is_some_and(|deadline| deadline.has_passed()) => return Ok(None),
                Ok(0) => {}
                Ok(_) => return self.wait().map(Some),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::from_operation(&POLL, errno)),
            }
        }
    }

    /// What the child used, once it was waited for; `None` too where its status came from the pidfd.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| 0) }?;
    /// child.wait()?;
    /// assert!(child.usage().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.process.usage
    }

    /// Sends SIGKILL. `Ok` too if the child has ended already.
    ///
    /// # Errors
    /// `EPERM` if the child changed its user id.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only waits.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| loop {}) }?;
    /// child.kill()?;
    /// assert_eq!(child.wait()?.signal(), Some(libc::SIGKILL));
    /// child.kill()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.signal(libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Sends a signal (`libc::SIG*`); 0 only asks whether that would be possible.
    ///
    /// # Errors
    /// `ESRCH` if the child was waited for, `EPERM` if it changed its user id, `EINVAL` if there is
    /// no such signal.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only waits.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| loop {}) }?;
    /// child.signal(libc::SIGTERM)?;
    /// assert_eq!(child.wait()?.signal(), Some(libc::SIGTERM));
    /// assert_eq!(child.signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    /// # Ok(())
    /// # }
    /// ```
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        let sent = self.process.signal(signal);
        sent.map_err(|errno| Error::from_operation(&KILL, errno))
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.pid())
            .field("pidfd", &self.raw_pidfd())
            .field("status", &self.process.status)
            .finish_non_exhaustive()
    }
}
