//! The attributes that a new thread inherits, and that a task on a pooled thread could leave changed.
#![allow(unsafe_code, reason = "the kernel boundary")]

use super::arch::syscall5;
use super::credentials;
use super::sched::{self, SchedAttr};
use super::task;

/// What a new thread inherits from its spawner, beside the signal mask and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InheritedAttrs {
    affinity: [u64; 16],
    scheduling: SchedAttr,
    effective_user: u32,
    effective_group: u32,
}

impl InheritedAttrs {
    /// The attributes of the calling thread; `None` where they cannot be read (more than 1024
    /// processors, an emulator): then threads must not be reused.
    pub(crate) fn current() -> Option<Self> {
        let mut affinity = [0; 16];
        sched::get_affinity(0, &mut affinity).ok()?;
        Some(Self {
            affinity,
            scheduling: sched::get_attributes().ok()?,
            effective_user: credentials::effective_uid(),
            effective_group: credentials::effective_gid(),
        })
    }
}

/// Whether the calling thread shares working directory and descriptors with the process's first
/// thread (`kcmp(2)`); false if the kernel refuses the call.
pub(crate) fn shares_fs_and_files() -> bool {
    const KCMP_FILES: usize = 2;
    const KCMP_FS: usize = 3;
    let (pid, tid) = (task::pid() as usize, task::tid() as usize);
    [KCMP_FILES, KCMP_FS].into_iter().all(|kind| {
        // SAFETY: compares two tasks' structures; no memory.
        unsafe { syscall5(libc::SYS_kcmp, pid, tid, kind, 0, 0) == 0 }
    })
}
