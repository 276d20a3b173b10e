//! What task to make and how, and why one was not made.

use rawthread::flags::{CloneFlags, signal_name};

/// How the task is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpawnMethod {
    /// `rawthread::process::fork`.
    Fork,
    /// `rawthread::process::Builder`.
    Process,
    /// libc's `clone()`, for a thread without any runtime.
    Clone,
    /// `std::thread::spawn`, which is `pthread_create`.
    PosixThread,
    /// `rawthread::spawn`.
    Library,
}

/// What to make and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) flags: CloneFlags,
    pub(crate) exit_signal: u32,
    pub(crate) method: SpawnMethod,
    /// The child becomes another program in the end.
    pub(crate) exec: bool,
    /// Look at the root directory too.
    pub(crate) root: bool,
}

impl Plan {
    /// Whether nothing is left of the child for its maker to wait for.
    ///
    /// The init of a pid namespace sets SIGCHLD to be ignored when it ends, so that the processes
    /// it kills leave no zombies (`kernel/pid_namespace.c`, `zap_pid_ns_processes`). If it shares
    /// its maker's handlers, its maker ignores SIGCHLD from then on, and init itself leaves none.
    pub(super) fn leaves_no_zombie(self) -> bool {
        self.flags
            .contains(CloneFlags::NEWPID | CloneFlags::SIGHAND)
            && self.exit_signal == libc::SIGCHLD as u32
    }
}

/// Why a task was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One line.
    pub(crate) why: String,
    /// The kernel's answer, if it was the kernel's.
    pub(crate) errno: Option<i32>,
}

impl Refusal {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            errno: None,
        }
    }

    /// Whether a right, a limit or a sandbox stood in the way: another user, or the same user
    /// on another machine, could have made the task.
    pub(crate) fn is_environmental(&self) -> bool {
        const WANTS: [i32; 4] = [libc::EPERM, libc::ENOSPC, libc::ENOSYS, libc::EAGAIN];
        self.errno.is_some_and(|errno| WANTS.contains(&errno))
    }
}

impl From<rawthread::Error> for Refusal {
    fn from(error: rawthread::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            why: error.to_string(),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            why: error.to_string(),
        }
    }
}

/// "SIGCHLD", "none" for 0 and for a thread, else the number.
pub(crate) fn signal_word(signal: i32) -> String {
    match signal {
        ..=0 => "none".into(),
        signal => match signal_name(signal as u32) {
            Some(name) => format!("SIG{name}"),
            None => format!("signal {signal}"),
        },
    }
}

/// The flags as a heading: "CLONE_VM | CLONE_FS", or words where there are none.
pub(crate) fn flags_title(flags: CloneFlags) -> String {
    if flags.is_empty() {
        return "No flags".to_owned();
    }
    flags.to_string().replace('|', " | ")
}
