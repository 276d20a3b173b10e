//! Steps before the closure of a [`Builder`](super::Builder), and learning how they went.
//!
//! The child takes the steps, and writes one message on a pipe: which step failed, or none. The parent
//! waits for it; and, where both use one table of descriptors, so that the pipe does not end with
//! the child, for the child's end.
#![allow(
    unsafe_code,
    reason = "the child takes over its copies of the descriptors"
)]

use alloc::vec::Vec;

use super::before_exec::{BeforeExec, Phase};
use super::child::Child;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::file::{self, OwnedFd};
use crate::sys::{Errno, process, wait};

static PIPE: Operation = Operation {
    name: "pipe2",
    purpose: "make the pipe on which the child reports its steps",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};
static KILLED: Operation = Operation {
    name: "clone3",
    purpose: "start the process",
    hint: |_| "A signal ended the child amid its steps.",
};

/// The steps of a builder.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(Vec<BeforeExec>);

impl Steps {
    pub(super) fn push(&mut self, step: BeforeExec) {
        self.0.push(step);
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(BeforeExec::check)
    }

    /// `None` if there are none.
    pub(super) fn report(&self, flags: CloneFlags) -> Result<Option<Report>, Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let at = |errno| Error::from_operation(&PIPE, errno);
        let (read, write) = file::pipe(0).map_err(at)?;
        let highest = self.0.iter().filter_map(BeforeExec::target).max();
        let (read, write) = match highest {
            None => (read, write),
            // No step may give an end of the pipe another meaning.
            Some(highest) => (
                above(read, highest).map_err(at)?,
                above(write, highest).map_err(at)?,
            ),
        };
        Ok(Some(Report {
            read,
            write,
            shares_table: flags.contains(CloneFlags::FILES),
        }))
    }

    fn take(&self) -> Result<(), (&'static Operation, Errno)> {
        let last = |step: &&BeforeExec| step.phase() == Phase::Last;
        let first = |step: &&BeforeExec| !last(step);
        self.0.iter().filter(first).try_for_each(BeforeExec::run)?;
        self.0.iter().filter(last).try_for_each(BeforeExec::run)
    }
}

/// The descriptor under a number above `highest`.
fn above(fd: OwnedFd, highest: i32) -> Result<OwnedFd, Errno> {
    if fd.as_raw() > highest {
        return Ok(fd);
    }
    process::dup_above(fd.as_raw(), highest.saturating_add(1))
        // SAFETY: the call made the descriptor for this caller.
        .map(|number| unsafe { OwnedFd::from_raw(number) })
}

/// The parent's side of the pipe.
pub(super) struct Report {
    read: OwnedFd,
    write: OwnedFd,
    shares_table: bool,
}

/// The child's side: its steps, and the numbers of its descriptors.
#[derive(Clone, Copy)]
pub(super) struct ReportChild {
    /// The parent's, whose call of `spawn` lasts until the message is written.
    steps: *const Steps,
    /// `None` where the table is shared and the end is the parent's.
    read: Option<i32>,
    write: i32,
}

/// The failed step's address, or 0; its errno.
type Message = [usize; 2];

impl Report {
    pub(super) fn child_side(&self, steps: &Steps) -> ReportChild {
        ReportChild {
            steps,
            read: (!self.shares_table).then_some(self.read.as_raw()),
            write: self.write.as_raw(),
        }
    }

    /// The error of the step that failed, once `child` has taken its steps or ended.
    pub(super) fn wait(self, child: &Child) -> Result<(), Error> {
        if self.shares_table {
            // The child closes it.
            self.write.into_raw();
        } else {
            drop(self.write);
        }
        let entry = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds = [
            entry(self.read.as_raw()),
            entry(child.raw_pidfd().unwrap_or(-1)),
        ];
        loop {
            match wait::poll(&mut fds, None) {
                Ok(_) if fds[0].revents != 0 => match read(&self.read) {
                    Err(Errno::EINTR) => {}
                    Ok(Some([0, _])) => return Ok(()),
                    Ok(Some([step, errno])) => {
                        // SAFETY: `run` wrote the address of a static, which is the same in a copy of
                        // this process.
                        let step: &'static Operation = unsafe { &*(step as *const Operation) };
                        let errno = Errno::new((errno as i32).clamp(1, 4095));
                        return Err(Error::from_operation(step, errno));
                    }
                    _ => break,
                },
                Ok(_) if fds[1].revents != 0 => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        Err(Error::from_operation(&KILLED, Errno::EINTR))
    }
}

/// `None` at the end.
fn read(fd: &OwnedFd) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; size_of::<Message>()];
    let len = file::read(fd.as_raw(), &mut bytes)?;
    let (step, errno) = bytes.split_at(size_of::<usize>());
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, usize::from_ne_bytes);
    // A pipe takes so little whole.
    Ok((len == bytes.len()).then(|| [word(step), word(errno)]))
}

impl ReportChild {
    /// Takes the steps and says so; whether to go on. Raw system calls alone.
    ///
    /// # Safety
    /// The caller is the child for which `child_side` was called, in its parent's memory or a copy.
    pub(super) unsafe fn run(self) -> bool {
        // SAFETY: as the field says.
        let taken = unsafe { &*self.steps }.take();
        let message: Message = match taken {
            Ok(()) => [0, 0],
            Err((step, errno)) => [core::ptr::from_ref(step) as usize, errno.number() as usize],
        };
        let mut bytes = [0; size_of::<Message>()];
        bytes[..size_of::<usize>()].copy_from_slice(&message[0].to_ne_bytes());
        bytes[size_of::<usize>()..].copy_from_slice(&message[1].to_ne_bytes());
        if let Some(read) = self.read {
            // SAFETY: the copy in the child's own table, which nothing else of the child uses.
            drop(unsafe { OwnedFd::from_raw(read) });
        }
        // SAFETY: the child's copy; or, of one table, what the parent gave up in `wait`.
        let write = unsafe { OwnedFd::from_raw(self.write) };
        let _ = file::write(write.as_raw(), &bytes);
        taken.is_ok()
    }
}
