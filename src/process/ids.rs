//! Taking over other ids and groups: for the calling thread, or for all threads of its process.
//!
//! To the kernel they are a thread's own. libc's functions have every thread take them, by a signal of libc's to
//! each (`nptl(7)`, "Linux-specific extensions"; `setuid(2)`, "C library/kernel differences").
#![allow(unsafe_code, reason = "calls the C library")]

use crate::sys::{Errno, process};

/// Whether the caller may be a child that runs in its parent's memory.
#[cfg(feature = "hosted")]
pub(super) fn may_share_memory() -> bool {
    !crate::runtime::hosted::fork::is_own_memory()
}

/// Whether the caller may be a child that runs in its parent's memory: without a libc it is not known.
#[cfg(not(feature = "hosted"))]
pub(super) fn may_share_memory() -> bool {
    true
}

/// Whose ids are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// The calling thread's: of a child before it runs its program or closure, which has no other.
    Thread,
    /// Those of all threads of the calling process, which is libc's own.
    #[cfg_attr(
        not(feature = "hosted"),
        allow(dead_code, reason = "without a libc no function reaches other threads")
    )]
    Process,
}

impl Ids {
    /// Those that a caller in no child of a [`Command`](super::Command) sets: of the whole process, where that has
    /// other threads and is the one that libc knows.
    ///
    /// A child that runs in its parent's memory finds its parent's threads in libc's lists, and must not have them
    /// change. It has one thread, as a rule; where that is not known, or it made others, what tells is the pid that
    /// the runtime keeps.
    #[cfg(feature = "hosted")]
    pub(super) fn of_caller() -> Self {
        match crate::sys::task::is_only_thread() || !crate::runtime::hosted::fork::is_own_memory() {
            true => Self::Thread,
            false => Self::Process,
        }
    }

    /// Those of the calling thread.
    #[cfg(not(feature = "hosted"))]
    pub(super) fn of_caller() -> Self {
        Self::Thread
    }

    pub(super) fn set_groups(self, groups: &[u32]) -> Result<(), Errno> {
        match self {
            Self::Thread => process::set_groups(groups),
            Self::Process => by_libc::set_groups(groups),
        }
    }

    pub(super) fn set_gid(self, gid: u32) -> Result<(), Errno> {
        match self {
            Self::Thread => process::set_gid(gid),
            Self::Process => by_libc::set_gid(gid),
        }
    }

    pub(super) fn set_uid(self, uid: u32) -> Result<(), Errno> {
        match self {
            Self::Thread => process::set_uid(uid),
            Self::Process => by_libc::set_uid(uid),
        }
    }
}

#[cfg(feature = "hosted")]
mod by_libc {
    use crate::sys::Errno;

    fn check(returned: i32) -> Result<(), Errno> {
        match returned {
            0 => Ok(()),
            // SAFETY: errno is the calling thread's.
            _ => Err(Errno::new(
                unsafe { *libc::__errno_location() }.clamp(1, 4095),
            )),
        }
    }

    pub(super) fn set_groups(groups: &[u32]) -> Result<(), Errno> {
        // SAFETY: libc reads that many ids.
        check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
    }

    pub(super) fn set_gid(gid: u32) -> Result<(), Errno> {
        // SAFETY: numbers.
        check(unsafe { libc::setresgid(gid, gid, gid) })
    }

    pub(super) fn set_uid(uid: u32) -> Result<(), Errno> {
        // SAFETY: numbers.
        check(unsafe { libc::setresuid(uid, uid, uid) })
    }
}

#[cfg(not(feature = "hosted"))]
use crate::sys::process as by_libc;
