//! The process group that a child leads.

use super::by_number::ByNumber;
use super::child::Child;
use super::process_handle::WAIT;
use super::status::ExitStatus;
use super::waitid::{reap_by_pidfd, wait_for_member};
use crate::error::{Error, Operation};
use crate::sys::{Errno, signal, wait};

static KILL_GROUP: Operation = Operation {
    name: "kill",
    purpose: "signal the child's process group",
    hint: |errno| match errno {
        Errno::ESRCH => "It was waited for, or leads no process group.",
        Errno::EPERM => "Each process of it changed its user id.",
        _ => "See kill(2).",
    },
};

static OPEN_MEMBER: Operation = Operation {
    name: "pidfd_open",
    purpose: "reap another child of the group",
    hint: |_| "It needs Linux 5.4 and a free descriptor; wait for each child by its handle.",
};

static REAP_MEMBER: Operation = Operation {
    name: "wait_group",
    purpose: "reap another child of the group, which a handle may know by number alone",
    hint: |_| "Leave `pidfd(false)` out, or wait for each child by its handle; it needs Linux 5.4.",
};

fn member_by_number() -> Error {
    Error::from_operation(&REAP_MEMBER, Errno::new(libc::EBUSY))
}

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
    /// group finds its status by its pidfd from Linux 6.15 on, and `ECHILD` before that. Where a sandbox refuses
    /// `waitid`, this child alone is waited for.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). `EBUSY` if another child of the group has ended while any handle of this process has
    /// no pidfd: the child might be that one's, whose number may not be given away. `pidfd_open(2)`'s if there is no
    /// descriptor free, or before Linux 5.3. What was reaped before stays so, this child
    /// perhaps: then a second call returns its status and waits for no other.
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
                match wait_for_member(self.pid()) {
                    Ok(pid) if pid != self.pid() => {
                        reap_member(pid, self.process.by_number.as_ref())?;
                    }
                    // The group is over, and another process has the number.
                    Ok(_) if self.process.status.is_some() => break,
                    Ok(_) => drop(self.process.reap(libc::WNOHANG)?),
                    Err(Errno::ENOSYS | Errno::EPERM) => break,
                    Err(errno) if errno.number() == libc::ECHILD => break,
                    Err(errno) => return Err(Error::from_operation(&WAIT, errno)),
                }
            }
        }
        // If it leads no group, or has left it.
        self.wait()
    }
}

/// Reaps another child that has ended, if no handle can rely on its number. `own`: the caller's.
fn reap_member(pid: i32, own: Option<&ByNumber>) -> Result<(), Error> {
    let pidfd = match wait::open_pidfd(pid, 0) {
        Ok(pidfd) => pidfd,
        // Its handle has reaped it meanwhile.
        Err(Errno::ESRCH) => return Ok(()),
        Err(errno) => return Err(Error::from_operation(&OPEN_MEMBER, errno)),
    };
    // After it was opened: whichever process it is, its handle has a pidfd, or was counted before it was made.
    if ByNumber::exist_beside(own) {
        return Err(member_by_number());
    }
    match wait::pidfd_send_signal(pidfd.as_raw(), 0) {
        // Reaped meanwhile.
        Err(Errno::ESRCH) => return Ok(()),
        // A sandbox refuses the call: handles with a pidfd signal by number.
        answer if answer.is_err() && answer != signal::send_to_process(pid, 0) => {
            return Err(member_by_number());
        }
        _ => {}
    }
    match reap_by_pidfd(&pidfd) {
        Ok(()) => Ok(()),
        Err(errno) if errno.number() == libc::ECHILD => Ok(()),
        // Linux before 5.4: handles with a pidfd wait by number.
        Err(Errno::EINVAL) => Err(member_by_number()),
        Err(errno) => Err(Error::from_operation(&WAIT, errno)),
    }
}
