//! What of a step matters to those who plan a child.

use core::ffi::CStr;

use super::BeforeExec;
use super::action::{Action, NO_ID};
use crate::error::Error;
use crate::process::kernel_str::NUL_IN_STRING;
use crate::process::namespaces::Namespaces;
use crate::sys::setup;

/// The three groups of steps of a command, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Phase {
    /// With the rights and descriptors that the child was made with.
    First,
    /// Once root, working directory and descriptors are the program's.
    Descriptors,
    /// Right before `execve`: they give up rights that other steps may need.
    Last,
}

impl BeforeExec {
    pub(in crate::process) const ALL_OF_MEMORY: Error = Error::invalid_input(
        "an OOM score adjustment for a child that shares memory while its parent runs: it would be this process's, too",
        "Leave out id maps and hook of a command, or give the closure CLONE_VFORK or memory of its own.",
    );
    pub(in crate::process) const PARENTS_MEMORY: Error = Error::invalid_input(
        "a file of /proc that acts on memory (coredump_filter, clear_refs, mem), for a child that shares its parent's: \
         it would change this process",
        "Have a shell write it and `exec` the program, or give the closure memory of its own.",
    );
    pub(in crate::process) const TAKEN_NUMBER: Error = Error::invalid_input(
        "a descriptor of the child takes the number that its Landlock rules have",
        "Connect another number, or make the rules first.",
    );

    /// Whether the step can be taken at all.
    pub(in crate::process) fn check(&self) -> Result<(), Error> {
        match self.0 {
            Action::HasNul => Err(NUL_IN_STRING),
            Action::SetIds(u32::MAX, _) | Action::SetIds(_, u32::MAX) => Err(NO_ID),
            Action::RestrictMount(_, flags) if flags & !setup::MOUNT_RESTRICTIONS != 0 => {
                Err(Error::invalid_input(
                    "a restriction of mounts other than MS_RDONLY, MS_NOSUID, MS_NODEV and MS_NOEXEC",
                    "Give those alone; `mount` takes the others.",
                ))
            }
            Action::BadDescriptor => Err(Error::invalid_input(
                "a step for a descriptor of a negative number",
                "Descriptors are numbered from 0.",
            )),
            Action::BadErrno => Err(Error::invalid_input(
                "system calls refused with a number that is no errno",
                "Give an errno from 1 to 4095, such as libc::EPERM.",
            )),
            Action::BadCall => Err(Error::invalid_input(
                "a number to refuse that is no system call's",
                "Give numbers of this machine's calls, libc::SYS_*.",
            )),
            Action::BadFilter => Err(Error::invalid_input(
                "a seccomp filter whose length is no multiple of 8",
                "Give the bytes of whole instructions, struct sock_filter.",
            )),
            _ => Ok(()),
        }
    }

    /// When a command's child takes the step.
    pub(in crate::process) fn phase(&self) -> Phase {
        match self.0 {
            Action::KeepCapabilities(_) | Action::Landlock(_) | Action::Seccomp(_) => Phase::Last,
            Action::Open { .. } | Action::Close(_) | Action::ChangeDir(_) => Phase::Descriptors,
            _ => Phase::First,
        }
    }

    /// Whether capabilities are to outlive a change of ids.
    pub(in crate::process) fn keeps_capabilities(&self) -> bool {
        matches!(self.0, Action::KeepCapabilities(_))
    }

    /// Whether the child has other ids or capabilities after the step than it was made with: then the kernel
    /// marks its memory as not to be dumped.
    pub(in crate::process) fn changes_credentials(&self) -> bool {
        matches!(self.0, Action::SetIds(..)) || self.joins_user_namespace()
    }

    pub(in crate::process) fn joins_user_namespace(&self) -> bool {
        // No kinds: those that the descriptor has.
        matches!(&self.0, Action::JoinNamespaces(_, kinds)
            if kinds.is_empty() || kinds.contains(Namespaces::USER))
    }

    /// Whether the step sets what the kernel keeps equal among processes that share memory, but for the child of
    /// a vfork: `__set_oom_adj` in fs/proc/base.c.
    pub(in crate::process) fn is_for_all_of_memory(&self) -> bool {
        match &self.0 {
            Action::OomScore(_) => true,
            Action::WriteFile(path, ..) => {
                let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
                matches!(name, Some(b"oom_score_adj" | b"oom_adj"))
            }
            _ => false,
        }
    }

    /// Whether the step acts on the memory that a child has, be it a vfork's child or not: by the last name of its
    /// path. The paths to such a file are many (`/proc/PID`, `/proc/thread-self/`, a working directory).
    pub(in crate::process) fn acts_on_memory(&self) -> bool {
        let Action::WriteFile(path, ..) = &self.0 else {
            return false;
        };
        let path = path.as_bytes();
        match path.rsplit(|byte| *byte == b'/').next() {
            Some(b"coredump_filter" | b"clear_refs") => true,
            Some(b"mem") => path.starts_with(b"/proc/"),
            _ => false,
        }
    }

    /// Whether the step installs a filter that may kill the child in a later call.
    pub(in crate::process) fn filters_calls(&self) -> bool {
        matches!(self.0, Action::Seccomp(_))
    }

    /// The path or name that the step is about, for its error.
    pub(in crate::process) fn subject(&self) -> Option<&CStr> {
        match &self.0 {
            Action::Open { path, .. }
            | Action::Mount { target: path, .. }
            | Action::Unmount(path, _)
            | Action::RestrictMount(path, _)
            | Action::PivotRoot(path)
            | Action::MakeDir(path, _)
            | Action::Symlink(_, path)
            | Action::WriteFile(path, ..)
            | Action::HostName(path) => Some(path),
            _ => None,
        }
    }

    /// A descriptor that the step uses in the child.
    pub(in crate::process) fn descriptor(&self) -> Option<i32> {
        match &self.0 {
            Action::Landlock(rules) => Some(rules.as_raw()),
            _ => None,
        }
    }

    /// The number that the step closes.
    pub(in crate::process) fn closes(&self) -> Option<i32> {
        match self.0 {
            Action::Close(number) => Some(number),
            _ => None,
        }
    }

    /// Whether the child is traced from the step on: then a signal stops it.
    pub(in crate::process) fn has_child_traced(&self) -> bool {
        matches!(self.0, Action::TraceMe)
    }

    /// The number that the step gives another meaning.
    pub(in crate::process) fn target(&self) -> Option<i32> {
        match &self.0 {
            Action::Open { number, .. } | Action::Close(number) => Some(*number),
            _ => None,
        }
    }
}
