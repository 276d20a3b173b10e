//! The error for what the kernel would not give: a task or memory.
//!
//! Its errno does not say which limit was met. The feature `diagnosis` looks (`probe`); without
//! it, which makes a small program smaller by more than the rest of it, the error says that it was
//! a limit and not which.

#[cfg(feature = "diagnosis")]
mod probe;

use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::Errno;

static CLONE: Operation = Operation {
    name: "clone3",
    purpose: "make a task",
    hint: |_| "No limit was seen near a moment later; see clone(2), ERRORS.",
};

static MAP: Operation = Operation {
    name: "mmap",
    purpose: "map memory for a thread",
    hint: |_| "See mmap(2), ERRORS.",
};

/// For a task that clone could not make.
#[cfg(feature = "diagnosis")]
pub(crate) fn clone_error(errno: Errno) -> Error {
    probe::clone_error(errno).unwrap_or(Error::from_operation(&CLONE, errno))
}

/// For a mapping of `bytes` that could not be made or divided.
#[cfg(feature = "diagnosis")]
pub(crate) fn map_error(errno: Errno, bytes: usize) -> Error {
    match errno {
        Errno::ENOMEM => probe::map_error(errno, bytes),
        Errno::EAGAIN => probe::locked(errno, bytes).unwrap_or(Error::from_operation(&MAP, errno)),
        errno => Error::from_operation(&MAP, errno),
    }
}

/// For a thread of these flags that clone refused for another reason than a limit: the rule, if
/// the table of rules knows one. `None` where nobody looks.
pub(crate) fn refused(flags: CloneFlags, errno: Errno) -> Option<Error> {
    looks_refused(flags, errno)
}

#[cfg(feature = "diagnosis")]
use probe::refused as looks_refused;

#[cfg(not(feature = "diagnosis"))]
fn looks_refused(_flags: CloneFlags, _errno: Errno) -> Option<Error> {
    None
}

/// For `pthread_create`, which says EAGAIN for memory as well.
#[cfg(feature = "hosted")]
pub(crate) fn pthread_error(errno: Errno) -> Error {
    probe::pthread_error(errno).unwrap_or(Error::from_operation(&CLONE, errno))
}

/// For a task that clone could not make.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn clone_error(errno: Errno) -> Error {
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => Error::at_unknown_limit(&CLONE, errno),
        errno => Error::from_operation(&CLONE, errno),
    }
}

/// For a mapping of `bytes` that could not be made or divided.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn map_error(errno: Errno, _bytes: usize) -> Error {
    match errno {
        // EAGAIN: locked memory.
        Errno::ENOMEM | Errno::EAGAIN => Error::at_unknown_limit(&MAP, errno),
        errno => Error::from_operation(&MAP, errno),
    }
}
