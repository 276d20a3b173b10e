//! The error for what the kernel would not give: a task or memory.
//!
//! Its errno does not say which limit was met. The feature `diagnosis` looks (`looks`); without
//! it, which makes a small program smaller by more than the rest of it, the error says that it was
//! a limit and not which.

#[cfg(feature = "diagnosis")]
mod looks;

use crate::error::{Error, Step};
use crate::sys::Errno;

static CLONE: Step = Step {
    name: "clone3",
    purpose: "make a task",
    advice: |_| "No limit was seen near a moment later; see clone(2), ERRORS.",
};

static MAP: Step = Step {
    name: "mmap",
    purpose: "map memory for a thread",
    advice: |_| "See mmap(2), ERRORS.",
};

/// For a task that clone could not make.
#[cfg(feature = "diagnosis")]
pub(crate) fn task(errno: Errno) -> Error {
    looks::task(errno).unwrap_or(Error::at_step(&CLONE, errno))
}

/// For a mapping of `bytes` that could not be made or divided.
#[cfg(feature = "diagnosis")]
pub(crate) fn memory(errno: Errno, bytes: usize) -> Error {
    match errno {
        Errno::ENOMEM => looks::memory(errno, bytes),
        errno => Error::at_step(&MAP, errno),
    }
}

/// For `pthread_create`, which says EAGAIN for memory as well.
#[cfg(feature = "hosted")]
pub(crate) fn libc_thread(errno: Errno) -> Error {
    looks::libc_thread(errno).unwrap_or(Error::at_step(&CLONE, errno))
}

/// For a task that clone could not make.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn task(errno: Errno) -> Error {
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => Error::at_unnamed_limit(&CLONE, errno),
        errno => Error::at_step(&CLONE, errno),
    }
}

/// For a mapping of `bytes` that could not be made or divided.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn memory(errno: Errno, _bytes: usize) -> Error {
    match errno {
        Errno::ENOMEM => Error::at_unnamed_limit(&MAP, errno),
        errno => Error::at_step(&MAP, errno),
    }
}
