//! What is known of a traced task.

use std::time::Duration;

use rawthread::flags::CloneFlags;

/// The arguments of a fork, vfork, clone or clone3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CloneRequest {
    /// "clone3", "clone", "fork" or "vfork".
    pub(super) call: &'static str,
    /// Whose call numbers it used, where they are not those of the lab's own machine: "i386".
    pub(super) machine: Option<&'static str>,
    pub(super) flags: CloneFlags,
    pub(super) exit_signal: u32,
    /// The caller named a stack for the new task.
    pub(super) own_stack: bool,
    /// The arguments could be read; if not, flags and exit signal are those of the event.
    pub(super) readable: bool,
}

/// For tests: a call of clone(2) on the caller's stack.
#[cfg(test)]
pub(super) fn clone_request(flags: u64, exit_signal: u32) -> CloneRequest {
    CloneRequest {
        call: "clone",
        machine: None,
        flags: CloneFlags::from_bits_retain(flags),
        exit_signal,
        own_stack: false,
        readable: true,
    }
}

/// A program that a task executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The name that the kernel shows, at most 15 bytes.
    pub(super) name: String,
    /// The argument vector, quoted for a shell where that is needed.
    pub(super) command_line: String,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Exited(i32),
    Killed(i32),
    /// Another thread of its process executed a program, or it did so itself and lives on as the
    /// process.
    Exec,
    /// It still ran when the lab detached from it.
    Detached,
}

impl End {
    /// From the status of `waitpid`.
    pub(super) fn from_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Exited(libc::WEXITSTATUS(status))
        } else {
            Self::Killed(libc::WTERMSIG(status))
        }
    }
}

/// Where a task came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command that the lab runs.
    Command,
    /// It ran before the lab attached to it.
    Attached,
    /// By a call that was seen to begin.
    Made {
        request: CloneRequest,
        /// How long the call took; `None` if its caller was killed inside it.
        took: Option<Duration>,
    },
    /// By a call whose beginning was not seen.
    Unseen,
}

/// A task that was seen.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) tid: i32,
    /// Index of the task that made it; of an attached thread, its process.
    pub(super) maker: Option<usize>,
    pub(super) origin: Origin,
    /// A thread of its maker's process; otherwise a process.
    pub(super) is_thread: bool,
    /// False if it was made with `CLONE_UNTRACED`: what it did is unknown.
    pub(super) traced: bool,
    /// It, or the task that made it, has asked for a seccomp filter of its own.
    pub(super) filtered: bool,
    /// The programs it executed, in order; the first of a made task is its maker's.
    pub(super) programs: Vec<Program>,
    /// Its name at its end.
    pub(super) name: Option<String>,
    pub(super) end: Option<End>,
}

impl Task {
    pub(super) fn request(&self) -> Option<CloneRequest> {
        match self.origin {
            Origin::Made { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Whether it was made while the lab watched.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.origin, Origin::Made { .. } | Origin::Unseen)
    }

    /// "thread" or "process".
    pub(super) fn kind(&self) -> &'static str {
        if self.is_thread { "thread" } else { "process" }
    }

    /// The name of the program that it executes.
    pub(super) fn program(&self) -> &str {
        self.programs.last().map_or("", |program| &program.name)
    }

    /// Its own name, where it has one beside its program's.
    pub(super) fn own_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        (name != self.program() && !name.is_empty()).then_some(name)
    }
}

/// What the lab's presence changed for the traced program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    /// It asked for seccomp's strict mode, which the kernel refuses to a task that has a filter.
    StrictMode,
    /// It executed a set-user-ID or set-group-ID program, whose bits the kernel ignored.
    SetId,
}

impl Note {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::StrictMode => {
                "The program asked for seccomp's strict mode, which failed because of the lab's filter."
            }
            Self::SetId => {
                "A set-user-ID or set-group-ID program ran with its caller's ids, as under any tracer \
                 without CAP_SYS_PTRACE."
            }
        }
    }
}

/// A call that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) maker: usize,
    pub(super) request: CloneRequest,
    pub(super) errno: i32,
}
