//! Steps that set attributes of the process.

use alloc::boxed::Box;

use super::action::{Action, BeforeExec};
use crate::thread::{CpuSet, Scheduling};

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

    /// Sets the scheduling policy: `sched_setattr(2)`.
    ///
    /// ```
    /// # use rawthread::{Policy, process::{BeforeExec, Command}};
    /// let step = BeforeExec::scheduling(Policy::Batch { nice: 5 });
    /// assert!(Command::new("true").before_exec(step).status()?.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn scheduling(scheduling: impl Into<Scheduling>) -> Self {
        Self(Action::Scheduling(scheduling.into().attributes()))
    }

    /// Sets the processors that the program may use: `sched_setaffinity(2)`.
    ///
    /// ```
    /// # use rawthread::{CpuSet, process::{BeforeExec, Command}};
    /// let first = CpuSet::current()?.iter().next().unwrap();
    /// let output = Command::new("nproc")
    ///     .before_exec(BeforeExec::affinity([first].into_iter().collect()))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"1\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn affinity(cpus: CpuSet) -> Self {
        Self(Action::Affinity(Box::new(cpus)))
    }

    /// Sets how readily the kernel kills the program when memory is short, -1000 (never) to 1000:
    /// `proc_pid_oom_score_adj(5)`.
    ///
    /// The kernel keeps it equal among processes that share memory, but for a vfork's child. So it is `InvalidInput`
    /// for a command with id maps or a hook, and for a closure with `VM` and without `VFORK`: the parent would get
    /// it, too.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("cat")
    ///     .arg("/proc/self/oom_score_adj")
    ///     .before_exec(BeforeExec::oom_score_adj(1000))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"1000\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn oom_score_adj(value: i32) -> Self {
        Self(Action::OomScore(value))
    }

    /// Has the thread that spawns the child trace it: the program stops with SIGTRAP before its first
    /// instruction: `ptrace(2)`, `PTRACE_TRACEME`. A child that a signal stops earlier is killed, and the spawn fails; with
    /// [`oom_score_adj`](Self::oom_score_adj), which needs a vfork, and in a closure's child with `VFORK`, the spawn hangs there.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::trace_me();
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn trace_me() -> Self {
        Self(Action::TraceMe)
    }

    /// Makes the child's process group the foreground one of the controlling terminal, which `fd` (the
    /// parent's number) is open on: `tcsetpgrp(3)`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let step = BeforeExec::foreground(-1);
    /// let error = Command::new("true").before_exec(step).spawn().unwrap_err();
    /// assert_eq!(error.operation(), Some("ioctl(TIOCSPGRP)"));
    /// ```
    #[must_use]
    pub fn foreground(fd: i32) -> Self {
        Self(Action::Foreground(fd))
    }
}
