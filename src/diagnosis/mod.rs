//! The error for a task or memory that the kernel refused.
//!
//! Its errno does not say which limit was reached. With the feature `diagnosis`, `probe` finds it
//! out from `/proc` and the control group. Without it, which more than halves a small program,
//! the error says that a limit was reached and not which.

#[cfg(feature = "diagnosis")]
mod cgroup;
// std has its own way to find it.
#[cfg(all(feature = "diagnosis", any(not(feature = "std"), test)))]
mod cpu_quota;
#[cfg(feature = "diagnosis")]
mod probe;
#[cfg(feature = "diagnosis")]
mod procfs;

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

/// The error for a task that clone could not make.
#[cfg(feature = "diagnosis")]
pub(crate) fn clone_error(errno: Errno) -> Error {
    probe::clone_error(errno).unwrap_or(Error::from_operation(&CLONE, errno))
}

/// The error for a mapping of `bytes` that could not be made or divided.
#[cfg(feature = "diagnosis")]
pub(crate) fn map_error(errno: Errno, bytes: usize) -> Error {
    match errno {
        Errno::ENOMEM => probe::map_error(errno, bytes),
        Errno::EAGAIN => probe::locked(errno, bytes).unwrap_or(Error::from_operation(&MAP, errno)),
        errno => Error::from_operation(&MAP, errno),
    }
}

/// How many processors' time the quotas of control groups allow; `None` without a quota.
#[cfg(all(feature = "diagnosis", not(feature = "std")))]
pub(crate) fn cpu_quota() -> Option<usize> {
    cpu_quota::cpu_quota().map(|cpus| usize::try_from(cpus).unwrap_or(usize::MAX))
}

/// Not looked for without the feature `diagnosis`.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn cpu_quota() -> Option<usize> {
    None
}

/// For a thread of these flags that clone refused for another reason than a limit: the rule, if
/// the table of rules knows one. `None` without the feature `diagnosis`.
pub(crate) fn refused(flags: CloneFlags, errno: Errno) -> Option<Error> {
    looks_refused(flags, errno)
}

#[cfg(feature = "diagnosis")]
use probe::refused as looks_refused;

#[cfg(not(feature = "diagnosis"))]
fn looks_refused(_flags: CloneFlags, _errno: Errno) -> Option<Error> {
    None
}

/// The error for `pthread_create`, which returns EAGAIN for want of memory as well, and on musl for
/// everything that the kernel refuses.
#[cfg(feature = "hosted")]
pub(crate) fn pthread_error(errno: Errno) -> Error {
    static CREATE: Operation = Operation {
        name: "pthread_create",
        purpose: "have libc make a thread",
        hint: |_| {
            "No limit was seen near a moment later, and no rule that forbids it: see pthread_create(3) \
             and, for what a libc may say EAGAIN to, clone(2), ERRORS."
        },
    };
    probe::pthread_error(errno).unwrap_or(Error::from_operation(&CREATE, errno))
}

/// No thread is libc's.
#[cfg(not(feature = "hosted"))]
pub(crate) fn pthread_error(errno: Errno) -> Error {
    clone_error(errno)
}

/// The error for a task that clone could not make.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn clone_error(errno: Errno) -> Error {
    match errno {
        Errno::EAGAIN | Errno::ENOMEM => Error::at_unknown_limit(&CLONE, errno),
        errno => Error::from_operation(&CLONE, errno),
    }
}

/// The error for a mapping of `bytes` that could not be made or divided.
#[cfg(not(feature = "diagnosis"))]
pub(crate) fn map_error(errno: Errno, _bytes: usize) -> Error {
    match errno {
        // EAGAIN: locked memory.
        Errno::ENOMEM | Errno::EAGAIN => Error::at_unknown_limit(&MAP, errno),
        errno => Error::from_operation(&MAP, errno),
    }
}
