//! Why clone said no: the kernel gives an errno, the table of its rules gives the reason.

use crate::error::{Error, Limit, Operation};
use crate::flags::{Call, Caller, CloneFlags};
use crate::sys::{Errno, clone, credentials, limits};

static CLONE: Operation = Operation {
    name: "clone3",
    purpose: "make the process",
    hint: |errno| match errno.number() {
        libc::EPERM => {
            "A filter of a sandbox (seccomp(2)) refuses it: no flag of this call needs a right."
        }
        _ => "See clone(2), ERRORS.",
    },
};
static FILTERED: Operation = Operation {
    name: "clone3",
    purpose: "make the process",
    hint: |_| {
        "A filter of a sandbox (seccomp(2)) refuses clone3 whatever is asked of it, and a cgroup, ids, a time \
         namespace and CLONE_CLEAR_SIGHAND need it: the older clone, which is taken for the rest, has none of them."
    },
};
static PERMISSION: Operation = Operation {
    name: "clone3",
    purpose: "make the process",
    hint: |_| {
        "New namespaces need CAP_SYS_ADMIN, or a new user namespace with them; a sandbox or a \
         sysctl may forbid that too."
    },
};
static CGROUP: Operation = Operation {
    name: "clone3",
    purpose: "start the process in the given cgroup",
    hint: |errno| match errno.number() {
        libc::EBUSY => {
            "It gives controllers to its children (cgroup.subtree_control), so it may hold no \
             processes itself: name a cgroup without, such as one below it."
        }
        libc::ENODEV | libc::ENOENT => "It was removed.",
        libc::EOPNOTSUPP => {
            "It is threaded, or below a threaded one and not threaded yet (cgroup.type): name a \
             cgroup that takes processes."
        }
        _ => {
            "It takes a descriptor of a cgroup v2 directory whose cgroup.procs may be written, \
             and Linux 5.7."
        }
    },
};
static SET_TID: Operation = Operation {
    name: "clone3",
    purpose: "give the process the id asked for",
    hint: |errno| match errno.number() {
        libc::EEXIST => "It is taken.",
        libc::EPERM => "It needs CAP_CHECKPOINT_RESTORE over each pid namespace.",
        _ => "It is out of range, or there are more ids than nested namespaces.",
    },
};

const FLAGS_HINT: &str =
    "Change the flags: CloneFlags::verdict tells before the call what is accepted.";
const RIGHTS_HINT: &str =
    "Add CLONE_NEWUSER (Namespaces::USER), where that is permitted, or run with the right.";

/// What was asked for, as far as it can be refused.
#[derive(Clone, Copy)]
pub(super) struct CloneAttempt {
    pub(super) flags: CloneFlags,
    pub(super) exit_signal: u32,
    pub(super) set_tid: bool,
}

/// The error for a process that could not be made.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl's constants are of another type"
)]
pub(super) fn clone_failed(attempt: CloneAttempt, errno: Errno) -> Error {
    let into_cgroup = attempt.flags.contains(CloneFlags::INTO_CGROUP);
    match errno.number() {
        libc::EBADF
        | libc::ENOENT
        | libc::ENODEV
        | libc::EOPNOTSUPP
        | libc::EACCES
        | libc::EBUSY
            if into_cgroup =>
        {
            Error::from_operation(&CGROUP, errno)
        }
        libc::ENOSPC | libc::EUSERS => Error::at_limit(Limit::Namespaces, None, errno),
        libc::EMFILE => {
            let value = limits::rlimit(libc::RLIMIT_NOFILE as u32);
            Error::at_limit(Limit::OpenFiles, value, errno)
        }
        libc::ENOMEM if joins_dead_namespace(attempt.flags) => Error::refused(
            "the init of the pid namespace that this process's children belong to is dead",
            "Join another by setns, or make one with the child: CLONE_NEWPID.",
            errno,
        ),
        libc::EAGAIN | libc::ENOMEM => crate::diagnosis::clone_error(errno),
        libc::EPERM if needs_clone3(attempt) && clone::is_clone3_filtered() => {
            Error::from_operation(&FILTERED, errno)
        }
        _ => match violated_rule(attempt, errno) {
            Some(rule) if errno == Errno::EPERM => Error::refused(rule, RIGHTS_HINT, errno),
            Some(rule) => Error::refused(rule, FLAGS_HINT, errno),
            None if attempt.set_tid => Error::from_operation(&SET_TID, errno),
            None if errno == Errno::EPERM && attempt.flags.intersects(CloneFlags::NAMESPACES) => {
                Error::from_operation(&PERMISSION, errno)
            }
            None => Error::from_operation(&CLONE, errno),
        },
    }
}

/// Whether the older clone cannot express it.
fn needs_clone3(attempt: CloneAttempt) -> bool {
    attempt.set_tid
        || attempt.flags.intersects(
            CloneFlags::INTO_CGROUP
                .union(CloneFlags::NEWTIME)
                .union(CloneFlags::CLEAR_SIGHAND),
        )
}

/// Whether a child would enter another pid namespace than the caller's, one that has had an init: memory
/// is hardly ever so short that clone has none, and a namespace whose init is dead answers the same.
fn joins_dead_namespace(flags: CloneFlags) -> bool {
    let own = credentials::readlink(c"/proc/thread-self/ns/pid");
    // Unreadable while it waits for its first process.
    let childrens = credentials::readlink(c"/proc/thread-self/ns/pid_for_children");
    !flags.contains(CloneFlags::NEWPID)
        && matches!((own, childrens), (Ok(own), Ok(childrens)) if own != childrens)
}

/// The rule by which the kernel answers this errno to what was asked, if the table knows one.
fn violated_rule(attempt: CloneAttempt, errno: Errno) -> Option<&'static str> {
    let caller = Caller::current();
    [Call::Clone3, Call::Clone]
        .into_iter()
        .filter_map(|call| {
            attempt
                .flags
                .verdict(call, attempt.exit_signal, &caller)
                .rule()
        })
        .find(|rule| rule.errno == errno.number())
        .map(|rule| rule.description)
}
