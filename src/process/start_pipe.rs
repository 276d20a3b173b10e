//! Holding a child back until its id maps are written.
#![allow(
    unsafe_code,
    reason = "the child takes over its copies of the descriptors"
)]

use super::namespaces::IdMaps;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::file::{self, OwnedFd};
use crate::sys::{Errno, task};

/// The exit code of a child that was abandoned before its closure ran.
const ABORTED_STATUS: i32 = 127;

static PIPE: Operation = Operation {
    name: "pipe2",
    purpose: "make the pipe on which the child waits for its id maps",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};

/// Holds the child back until its id maps are written: a pipe, whose end of file means that the
/// parent gave up or is gone.
pub(super) struct StartPipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// The descriptors of a start pipe, as the child sees them.
#[derive(Clone, Copy)]
pub(super) struct StartPipeChild {
    read: i32,
    /// The child's own copy of the write end; `None` where the table is shared and the end is the
    /// parent's.
    write: Option<i32>,
}

impl StartPipe {
    pub(super) fn new(maps: &IdMaps, flags: CloneFlags) -> Result<Option<Self>, Error> {
        if maps.is_empty() {
            return Ok(None);
        }
        debug_assert!(!flags.contains(CloneFlags::VFORK));
        let (read, write) = file::pipe(0).map_err(|errno| Error::from_operation(&PIPE, errno))?;
        Ok(Some(Self { read, write }))
    }

    pub(super) fn child_side(&self, flags: CloneFlags) -> StartPipeChild {
        StartPipeChild {
            read: self.read.as_raw(),
            write: (!flags.contains(CloneFlags::FILES)).then_some(self.write.as_raw()),
        }
    }

    pub(super) fn release(self, flags: CloneFlags) {
        let _ = file::write(self.write.as_raw(), &[1]);
        if flags.contains(CloneFlags::FILES) {
            // One table: the child closes the read end once it has read.
            self.read.into_raw();
        }
    }
}

impl StartPipeChild {
    pub(super) fn wait(self) {
        if let Some(write) = self.write {
            // SAFETY: the copy in the child's own table, which nothing else of the child uses.
            drop(unsafe { OwnedFd::from_raw(write) });
        }
        let mut byte = [0];
        loop {
            match file::read(self.read, &mut byte) {
                Ok(1) => break,
                Err(Errno::EINTR) => {}
                _ => task::exit_group(ABORTED_STATUS),
            }
        }
        // SAFETY: the child's copy; or, of one table, the end that the parent gave up in `release`.
        drop(unsafe { OwnedFd::from_raw(self.read) });
    }
}
