//! Why clone said no.

use crate::error::{Error, Limit, Step};
use crate::flags::CloneFlags;
use crate::sys::{Errno, limits};

static CLONE: Step = Step {
    name: "clone3",
    purpose: "make the process",
    advice: "See clone(2), ERRORS.",
};
static PERMISSION: Step = Step {
    name: "clone3",
    purpose: "make the process",
    advice: "New namespaces need CAP_SYS_ADMIN, or a new user namespace with them; a sandbox or a \
             sysctl may forbid that too.",
};
static CGROUP: Step = Step {
    name: "clone3",
    purpose: "start the process in the given cgroup",
    advice: "It takes a descriptor of a cgroup v2 directory whose cgroup.procs may be written, \
             and Linux 5.7.",
};

/// The error for a process that could not be made with `flags`.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl's constants are of another type"
)]
pub(super) fn clone_failed(flags: CloneFlags, errno: Errno) -> Error {
    let into_cgroup = flags.contains(CloneFlags::INTO_CGROUP);
    match errno.number() {
        libc::EBADF | libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP | libc::EACCES
            if into_cgroup =>
        {
            Error::at_step(&CGROUP, errno)
        }
        libc::ENOSPC | libc::EUSERS => Error::at_limit(Limit::Namespaces, None, errno),
        libc::EMFILE => {
            let value = limits::resource(libc::RLIMIT_NOFILE as u32);
            Error::at_limit(Limit::OpenFiles, value, errno)
        }
        libc::ENOMEM => Error::at_limit(Limit::Memory, None, errno),
        libc::EPERM => Error::at_step(&PERMISSION, errno),
        _ => Error::at_step(&CLONE, errno),
    }
}
