//! Which limit an errno stands for: the kernel does not say.

use crate::error::{Error, Limit};
use crate::sys::{Errno, limits};

/// For a task that could not be made.
pub(crate) fn task(errno: Errno) -> Error {
    let candidates = [
        (Limit::Processes, limits::resource(libc::RLIMIT_NPROC)),
        (
            Limit::ThreadsMax,
            limits::number_in(c"/proc/sys/kernel/threads-max"),
        ),
        (
            Limit::PidMax,
            limits::number_in(c"/proc/sys/kernel/pid_max"),
        ),
    ];
    let (limit, value) = candidates
        .into_iter()
        .filter_map(|(limit, value)| Some((limit, value?)))
        .min_by_key(|(_, value)| *value)
        .unwrap_or((Limit::ThreadsMax, 0));
    Error::at_limit(limit, Some(value), errno)
}

/// For a mapping that could not be made.
pub(crate) fn memory(errno: Errno) -> Error {
    match limits::resource(libc::RLIMIT_AS) {
        Some(value) => Error::at_limit(Limit::AddressSpace, Some(value), errno),
        None => Error::at_limit(Limit::Memory, None, errno),
    }
}
