//! What a command can do to itself before it becomes another program.

use alloc::ffi::CString;

use super::kernel_str::{KernelStr, cstring};
use crate::error::Operation;
use crate::sys::Errno;
use crate::sys::process;

/// A step that the child takes before `execve`: one system call of a fixed set.
///
/// There is no closure here on purpose. The child shares the parent's memory and has no thread
/// identity of its own; whatever it may do must be known to touch neither.
///
/// ```
/// use rawthread::process::{BeforeExec, Command};
///
/// let output = Command::new("sh")
///     .args(["-c", "umask"])
///     .before_exec(BeforeExec::umask(0o027))
///     .output()?;
/// assert_eq!(output.stdout, b"0027\n");
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BeforeExec(Action);

#[derive(Clone, Debug)]
enum Action {
    Umask(u32),
    Nice(i32),
    NoNewPrivileges,
    HostName(CString),
    Mount {
        source: Option<CString>,
        target: CString,
        kind: Option<CString>,
        flags: u64,
        data: Option<CString>,
    },
    /// A text with a NUL in it was given.
    HasNul,
}

static NICE: Operation = Operation {
    name: "setpriority",
    purpose: "set the child's nice value",
    hint: |_| "A lower value needs CAP_SYS_NICE or RLIMIT_NICE.",
};
static NO_NEW_PRIVS: Operation = Operation {
    name: "prctl(PR_SET_NO_NEW_PRIVS)",
    purpose: "give up new privileges",
    hint: |_| "It needs Linux 3.5.",
};
static HOST_NAME: Operation = Operation {
    name: "sethostname",
    purpose: "set the child's host name",
    hint: |errno| match errno {
        Errno::EPERM => {
            "It needs CAP_SYS_ADMIN in the UTS namespace: add Namespaces::USER and UTS."
        }
        _ => "It takes 64 bytes.",
    },
};
static MOUNT: Operation = Operation {
    name: "mount",
    purpose: "change the child's mounts",
    hint: |errno| match errno {
        Errno::EPERM => {
            "It needs CAP_SYS_ADMIN in the mount namespace: add Namespaces::USER and MOUNT, and PID \
             for a /proc of its own."
        }
        _ => "It needs an existing target and the right type.",
    },
};

impl BeforeExec {
    /// Sets the file mode creation mask: `umask(2)`.
    ///
    /// ```
    /// let private = rawthread::process::BeforeExec::umask(0o077);
    /// # let _ = private;
    /// ```
    #[must_use]
    pub fn umask(mask: u32) -> Self {
        Self(Action::Umask(mask))
    }

    /// Sets the nice value, -20 to 19: `setpriority(2)`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("nice").before_exec(BeforeExec::nice(19)).output()?;
    /// assert_eq!(output.stdout, b"19\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn nice(value: i32) -> Self {
        Self(Action::Nice(value))
    }

    /// Gives up, for good and for all descendants, gaining privileges by executing a file:
    /// `PR_SET_NO_NEW_PRIVS(2const)`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// Command::new("true").before_exec(BeforeExec::no_new_privileges()).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn no_new_privileges() -> Self {
        Self(Action::NoNewPrivileges)
    }

    /// Sets the host name of the UTS namespace: `sethostname(2)`.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::host_name("inside");
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn host_name(name: impl KernelStr) -> Self {
        Self(cstring(&name).map_or(Action::HasNul, Action::HostName))
    }

    /// `mount(2)`, with `libc::MS_*` as flags; an empty `source`, `kind` or `data` is left out.
    ///
    /// ```
    /// use rawthread::process::BeforeExec;
    /// // What a container starts with: its mounts do not spread to the host, and its own /proc.
    /// let apart = BeforeExec::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    /// let proc = BeforeExec::mount("proc", "/proc", "proc", 0, "");
    /// # let _ = (apart, proc);
    /// ```
    #[must_use]
    pub fn mount(
        source: impl KernelStr,
        target: impl KernelStr,
        kind: impl KernelStr,
        flags: u64,
        data: impl KernelStr,
    ) -> Self {
        let optional = |given: &dyn KernelStr| match cstring(given) {
            Some(text) if text.is_empty() => Some(None),
            other => other.map(Some),
        };
        let mount = || {
            Some(Action::Mount {
                source: optional(&source)?,
                target: cstring(&target)?,
                kind: optional(&kind)?,
                flags,
                data: optional(&data)?,
            })
        };
        Self(mount().unwrap_or(Action::HasNul))
    }

    pub(super) fn is_nul_free(&self) -> bool {
        !matches!(self.0, Action::HasNul)
    }

    /// Takes the step. Runs in the child: raw system calls only.
    pub(super) fn run(&self) -> Result<(), (&'static Operation, Errno)> {
        match &self.0 {
            Action::Umask(mask) => {
                process::set_umask(*mask);
                Ok(())
            }
            Action::Nice(value) => process::set_nice(*value).map_err(|errno| (&NICE, errno)),
            Action::NoNewPrivileges => {
                process::set_no_new_privileges().map_err(|errno| (&NO_NEW_PRIVS, errno))
            }
            Action::HostName(name) => {
                process::set_host_name(name).map_err(|errno| (&HOST_NAME, errno))
            }
            Action::Mount {
                source,
                target,
                kind,
                flags,
                data,
            } => process::mount(
                source.as_deref(),
                target,
                kind.as_deref(),
                *flags,
                data.as_deref(),
            )
            .map_err(|errno| (&MOUNT, errno)),
            Action::HasNul => Ok(()),
        }
    }
}
