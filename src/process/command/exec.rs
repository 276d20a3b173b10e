//! Becoming a command's program, and being as before where that fails.
//!
//! Ids, groups, capabilities, filters and Landlock rules are a thread's own, and what gave up a right cannot take
//! it back. If the process has other threads, they are taken by a thread made for that: it becomes the program,
//! under this process's pid, or it ends, and the calling thread and the others are as they were. A process of one
//! thread takes them itself.
#![allow(unsafe_code, reason = "hands the plan to another thread")]

use alloc::vec::Vec;

use super::builder::Command;
use super::exec_child::{self, ExecPlan, Groups};
use crate::error::Error;
use crate::process::before_exec::BeforeExec;
use crate::process::dumpable::DumpableGuard;
use crate::sys::signal::{self, SavedAction};
use crate::sys::{process, task};
use crate::thread::{self, Builder};

impl Command {
    /// Replaces this process's program by the command's, as the child of [`spawn`](Self::spawn) would;
    /// returns only if that failed. All threads of the process end.
    ///
    /// If it failed, descriptors, the signal mask, signal actions and, where that is permitted, limits are put back;
    /// until then other threads see the program's. Not put back are a session, a process group, and the mark that
    /// [`close_others`](Self::close_others) sets. Ids, groups, root, working directory and
    /// [`before_exec`](Self::before_exec) steps depend on whether the process has other threads:
    ///
    /// | threads | what has these after a failure |
    /// |---|---|
    /// | others too | none: a thread made for that took them, and has ended. Steps for the whole process (host name, mounts of its namespace, files) stay |
    /// | one | it keeps what was done before the step that failed, as in std's `exec` |
    ///
    /// What only a new process can have is refused: namespaces, a cgroup, a hook, `Stdio::piped`.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn); that of [`Builder::try_spawn`](crate::Builder::try_spawn) where such a thread
    /// cannot be made.
    ///
    /// ```no_run
    /// # use rawthread::process::Command;
    /// let error = Command::new("true").exec();
    /// panic!("{error}");
    /// ```
    #[must_use = "it returns only if it failed"]
    pub fn exec(&mut self) -> Error {
        let settings = &self.settings;
        if !settings.namespaces.is_empty() || settings.cgroup.is_some() || self.hook.is_some() {
            return Error::invalid_input(
                "namespaces, a cgroup or a hook for a process that exists",
                "Spawn the command, or join namespaces by a step.",
            );
        }
        if self.descriptors.has_pipe() {
            return Error::invalid_input(
                "a pipe for a process that exists: no process would hold its other end",
                "Connect another descriptor, or spawn the command.",
            );
        }
        let failed = self.with_plan(None, |plan, _, _| {
            if let Some(death) = &mut plan.death {
                death.parent = task::parent_pid();
                // It is of this process, which a child would watch.
                death.pidfd = None;
            }
            let _saved = SavedState::of(plan);
            let apart = is_for_one_thread(plan) && !task::is_only_thread();
            match apart {
                true => in_a_thread(plan),
                false => Ok(exec_child::run_in_place(plan)),
            }
        });
        match failed {
            Ok(error) | Err(error) => error,
        }
    }
}

/// Whether something is asked for that a single thread can have, and could not give back.
fn is_for_one_thread(plan: &ExecPlan<'_>) -> bool {
    let asked = plan.uid.is_some()
        || plan.gid.is_some()
        || !matches!(plan.groups, Groups::Keep)
        || plan.root.is_some()
        || plan.directory.is_some()
        || !plan.before_exec.is_empty();
    // The kernel has a process join these only while it has one thread.
    asked && !plan.before_exec.iter().any(BeforeExec::needs_only_thread)
}

/// Has a thread of its own become the program; why it did not.
fn in_a_thread(plan: &ExecPlan<'_>) -> Result<Error, Error> {
    struct Lent<'a>(&'a ExecPlan<'a>);
    // SAFETY: the calling thread waits for the one thread that has the plan, and does not use it meanwhile. Its
    // pointers are to strings of the command, which is borrowed mutably.
    unsafe impl Send for Lent<'_> {}
    impl Lent<'_> {
        fn run(self) -> Error {
            exec_child::run_in_place(self.0)
        }
    }
    let lent = Lent(plan);
    // A new thread has none, and execve keeps it.
    let death_signal = task::parent_death_signal().unwrap_or(0);
    thread::scope(|scope| {
        let become_program = move || {
            if death_signal != 0 {
                let _ = task::set_parent_death_signal(death_signal);
            }
            lent.run()
        };
        let thread = Builder::new()
            .no_hooks()
            .private_cwd()
            .try_spawn_scoped(scope, become_program)?;
        match thread.join() {
            Ok(error) => Ok(error),
            Err(_) => unreachable!("no step panics"),
        }
    })
}

/// What of the calling thread and its process is put back when this is dropped.
struct SavedState {
    mask: signal::SigSet,
    actions: Vec<SavedAction>,
    /// (resource, soft, hard)
    limits: Vec<(u32, u64, u64)>,
    _dumpable: Option<DumpableGuard>,
}

impl SavedState {
    /// Before what `plan` says is done.
    fn of(plan: &ExecPlan<'_>) -> Self {
        let saved_limit = |&(resource, ..): &(u32, u64, u64)| {
            let (soft, hard) = process::rlimit(resource).ok()?;
            Some((resource, soft, hard))
        };
        Self {
            mask: signal::current_mask(),
            actions: plan
                .default_signals
                .iter()
                .filter_map(SavedAction::of)
                .collect(),
            limits: plan.limits.iter().filter_map(saved_limit).collect(),
            _dumpable: plan.changes_credentials().then(DumpableGuard::begin),
        }
    }
}

impl Drop for SavedState {
    fn drop(&mut self) {
        // Backwards, for a resource may come twice.
        for (resource, soft, hard) in self.limits.drain(..).rev() {
            let _ = process::set_rlimit(resource, soft, hard);
        }
        for action in self.actions.drain(..) {
            action.put_back();
        }
        // Last: a signal that came meanwhile meets the action that is in force again.
        signal::set_mask(self.mask);
    }
}
