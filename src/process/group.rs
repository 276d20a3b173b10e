//! The process group that a child leads.

use super::child::Child;
use super::process_handle::WAIT;
use super::status::ExitStatus;
use super::waitid::wait_for_group;
use crate::error::{Error, Operation};
use crate::sys::{Errno, signal};

static KILL_GROUP: Operation = Operation {
    name: "kill",
    purpose: "signal the child's process group",
    hint: |errno| match errno {
        Errno::ESRCH => "It was waited for, or leads no process group.",
        Errno::EPERM => "Each process of it changed its user id.",
        _ => "See kill(2).",
    },
};

impl Child {
    /// Sends a signal to the process group that the child leads: to it and to those of its descendants that
    /// have not left the group. See `Command::process_group`.
    ///
    /// # Errors
    /// `ESRCH` if the child was waited for, for then the number may belong to another group; or if it
    /// leads no group.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// # use rawthread::process::Command;
    /// let mut shell = Command::new("sh").args(["-c", "sleep 60; true"]).process_group(0).spawn()?;
    /// shell.signal_group(libc::SIGTERM)?;
    /// assert_eq!(shell.wait()?.signal(), Some(libc::SIGTERM));
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn signal_group(&self, signal: i32) -> Result<(), Error> {
        let sent = match self.process.status {
            Some(_) => Err(Errno::ESRCH),
            None => signal::send_to_process(-self.pid(), signal),
        };
        sent.map_err(|errno| Error::from_operation(&KILL_GROUP, errno))
    }

    /// Waits for the child and for each other child of this process in the group that it leads, and reaps
    /// them: the commands of a pipeline, say, that were put into the group of the first
    /// (`Command::process_group`). Returns the status of this one.
    ///
    /// The group's other processes, such as children of a shell, are their parents' to wait for: unless this
    /// process is their subreaper (`PR_SET_CHILD_SUBREAPER(2const)`). The handle of another child of the
    /// group finds its status by its pidfd from Linux 6.15 on, and `ECHILD` before that.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// # use rawthread::process::{Command, Stdio};
    /// let mut first = Command::new("yes").process_group(0).stdout(Stdio::piped()).spawn()?;
    /// let lines = first.stdout.take().unwrap();
    /// Command::new("head").process_group(first.pid()).stdin(lines).stdout(Stdio::null()).spawn()?;
    /// assert_eq!(first.wait_group()?.signal(), Some(libc::SIGPIPE));
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn wait_group(&mut self) -> Result<ExitStatus, Error> {
        self.stdin = None;
        // The number of one that was waited for may be another group's.
        if self.process.status.is_none() && self.process.is_our_child {
            // While a member is left, leader or not, the kernel gives the number to no other process.
            loop {
                match wait_for_group(self.pid()) {
                    Ok((pid, status, usage)) if pid == self.pid() => {
                        self.process.set_reaped(status, Some(usage))
                    }
                    Ok(_) => {}
                    Err(errno) if errno.number() == libc::ECHILD => break,
                    Err(errno) => return Err(Error::from_operation(&WAIT, errno)),
                }
            }
        }
        // If it leads no group, or has left it.
        self.wait()
    }
}
