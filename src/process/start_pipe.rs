//! Holding a child back until its parent has set it up from outside: id maps, a hook.
//!
//! The child polls two descriptors: a pipe on which the parent writes one byte, and a pidfd of the
//! parent. The pipe's end of file alone would not tell that the parent is gone: with a shared table the
//! child itself keeps the write end open, and so may any process that was forked meanwhile. No
//! parent-death signal tells it in every case either: to be sure that the parent lived when the signal
//! was set takes its pid, which a child in another pid namespace cannot see.
#![allow(
    unsafe_code,
    reason = "the child takes over its copies of the descriptors"
)]

use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::file::{self, OwnedFd};
use crate::sys::{Errno, task, wait};

/// The exit code of a child that was not released.
pub(super) const ABORTED_STATUS: i32 = 127;

static PIPE: Operation = Operation {
    name: "pipe2",
    purpose: "make the pipe on which the child waits for its parent",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};

const RELEASE: u8 = 1;
const ABORT: u8 = 0;

/// The parent's side.
pub(super) struct StartPipe {
    read: OwnedFd,
    write: OwnedFd,
    /// This process; `None` before Linux 5.3, or without a free descriptor.
    pidfd: Option<OwnedFd>,
    shares_table: bool,
    shares_parent: bool,
}

/// The child's side: numbers of its descriptors.
#[derive(Clone, Copy)]
pub(super) struct StartPipeChild {
    read: i32,
    /// The child's own copy of the write end; `None` where the table is shared and the end is the
    /// parent's.
    write: Option<i32>,
    pidfd: Option<i32>,
    /// The process that calls clone, where it becomes the child's parent.
    parent: Option<i32>,
}

impl StartPipe {
    /// For a child that is made with `flags`.
    pub(super) fn new(flags: CloneFlags) -> Result<Self, Error> {
        debug_assert!(!flags.contains(CloneFlags::VFORK));
        let (read, write) = file::pipe(0).map_err(|errno| Error::from_operation(&PIPE, errno))?;
        let pidfd = wait::pidfd_open(task::pid(), 0).ok();
        Ok(Self {
            read,
            write,
            // SAFETY: the call opened it for this caller.
            pidfd: pidfd.map(|fd| unsafe { OwnedFd::from_raw(fd) }),
            shares_table: flags.contains(CloneFlags::FILES),
            shares_parent: flags.contains(CloneFlags::PARENT),
        })
    }

    pub(super) fn child_side(&self) -> StartPipeChild {
        StartPipeChild {
            read: self.read.as_raw(),
            write: (!self.shares_table).then_some(self.write.as_raw()),
            pidfd: self.pidfd.as_ref().map(OwnedFd::as_raw),
            parent: (!self.shares_parent).then(task::pid),
        }
    }

    /// Lets the child go on. Where the table is shared this must be kept until the child has gone on or
    /// ended: it polls these descriptors.
    pub(super) fn release(&self) {
        self.send(RELEASE);
    }

    /// Has the child end without going on; to be kept as long as after [`release`](Self::release).
    pub(super) fn abort(&self) {
        self.send(ABORT);
    }

    fn send(&self, message: u8) {
        // The read end is open here: no SIGPIPE where the child was killed meanwhile.
        let _ = file::write(self.write.as_raw(), &[message]);
    }
}

impl StartPipeChild {
    /// Waits; whether to go on. False too if the parent has died.
    ///
    /// Raw system calls alone: the child may share its parent's memory and thread pointer.
    pub(super) fn wait(self) -> bool {
        if let Some(write) = self.write {
            // SAFETY: the copy in the child's own table, which nothing else of the child uses.
            drop(unsafe { OwnedFd::from_raw(write) });
        }
        let watches = self.pidfd.is_none() && self.parent.is_some();
        let orphaned = watches && self.set_death_signal();
        let released = !orphaned && self.wait_for_message() == RELEASE;
        if watches && released {
            let _ = task::set_parent_death_signal(0);
        }
        let own = [Some(self.read), self.pidfd].into_iter().flatten();
        // In a shared table they are the parent's to close, which does so even if this child is killed.
        for number in own.filter(|_| self.write.is_some()) {
            // SAFETY: the copy in the child's own table, which nothing else of the child uses.
            drop(unsafe { OwnedFd::from_raw(number) });
        }
        released
    }

    /// Where there are no pidfds: dies with the thread that made it. True if that thread is gone
    /// already, as far as the child can see.
    fn set_death_signal(self) -> bool {
        let _ = task::set_parent_death_signal(libc::SIGKILL);
        // 0: the parent lies outside the child's pid namespace.
        ![self.parent, Some(0)].contains(&Some(task::parent_pid()))
    }

    fn wait_for_message(self) -> u8 {
        let entry = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // ppoll skips entries whose descriptor is negative.
        let mut fds = [entry(self.read), entry(self.pidfd.unwrap_or(-1))];
        loop {
            match wait::poll(&mut fds, None) {
                Ok(_) if fds[0].revents != 0 => {
                    let mut byte = [ABORT];
                    match file::read(self.read, &mut byte) {
                        Err(Errno::EINTR) => {}
                        Ok(1) => return byte[0],
                        _ => return ABORT,
                    }
                }
                Ok(_) if fds[1].revents != 0 => return ABORT,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return ABORT,
            }
        }
    }
}
