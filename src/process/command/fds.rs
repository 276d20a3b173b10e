//! Opening what the child's descriptors are connected to.

use alloc::vec::Vec;
use core::cell::Cell;

use super::exec_child::FdMapping;
use super::stdio::{self, Source};
use crate::error::{Error, Operation};
use crate::process::pipe::Pipe;
use crate::sys::Errno;
use crate::sys::file::{self, OwnedFd};

static PIPE: Operation = Operation {
    name: "pipe2",
    purpose: "make a pipe to the child",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};
static NULL: Operation = Operation {
    name: "openat",
    purpose: "open /dev/null for the child",
    hint: |errno| match errno {
        Errno::EMFILE | Errno::ENFILE => "Close descriptors, or raise RLIMIT_NOFILE.",
        _ => "Is /dev mounted?",
    },
};

/// The parent's side of the child's descriptors.
#[derive(Default)]
pub(super) struct FdSetup {
    pub(super) fd_mappings: Vec<FdMapping>,
    /// Closed in the parent once the child has its copies.
    pub(super) child_ends: Vec<OwnedFd>,
    pub(super) parent_ends: [Option<Pipe>; 3],
}

impl FdSetup {
    pub(super) fn add(&mut self, to: i32, source: &Source) -> Result<(), Error> {
        let from = match source {
            // They may be closed in the parent, and then are in the child.
            Source::Inherit if (0..3).contains(&to) => return Ok(()),
            Source::Inherit => to,
            Source::Borrowed(fd) => *fd,
            Source::Owned(fd) | Source::Once(fd) => fd.as_raw(),
            // Opened, it has a position of its own.
            Source::Bytes(file) => match file::reopen_to_read(file) {
                Ok(reader) => self.add_child_end(reader),
                Err(errno @ (Errno::EMFILE | Errno::ENFILE)) => {
                    return Err(Error::from_operation(&stdio::MEMFD, errno));
                }
                Err(_) => file.as_raw(),
            },
            Source::Spent => {
                return Err(Error::invalid_input(
                    "the pipe was given to the child of an earlier spawn",
                    "Connect the descriptor again.",
                ));
            }
            Source::Null => {
                let null = file::open(c"/dev/null", stdio::null_access(to))
                    .map_err(|errno| Error::from_operation(&NULL, errno))?;
                self.add_child_end(null)
            }
            Source::Piped => {
                let Some(ours) = usize::try_from(to)
                    .ok()
                    .and_then(|to| self.parent_ends.get_mut(to))
                else {
                    return Err(Error::invalid_input(
                        "a pipe for a descriptor other than 0, 1 or 2",
                        "Make the pipe yourself and give one end.",
                    ));
                };
                let (read, write) =
                    file::pipe(0).map_err(|errno| Error::from_operation(&PIPE, errno))?;
                let (kept, given) = if to == 0 {
                    (write, read)
                } else {
                    (read, write)
                };
                *ours = Some(Pipe::new(kept));
                self.add_child_end(given)
            }
        };
        self.fd_mappings.push(FdMapping {
            from: Cell::new(from),
            to,
        });
        Ok(())
    }

    /// Whether the child's descriptor of this number is connected.
    pub(super) fn has_target(&self, number: i32) -> bool {
        self.fd_mappings.iter().any(|mapping| mapping.to == number)
    }

    fn add_child_end(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw();
        self.child_ends.push(fd);
        number
    }
}
