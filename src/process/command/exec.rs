//! Becoming a command's program, and what is put back where that fails.
//!
//! The calling thread takes the steps, as in std's `exec`: the program goes on with what is that thread's own in
//! the kernel, and the children that it made keep their parent. Ids and groups are set by libc's functions, for all
//! threads ([`Ids::of_caller`]), so a process that goes on has one set of them.

use alloc::vec::Vec;

use super::builder::Command;
use super::exec_child::{self, ExecPlan};
use super::saved_fds::SavedFds;
use crate::error::Error;
use crate::process::dumpable::ExecGuard;
use crate::process::ids::{self, Ids};
use crate::sys::signal::{self, SavedAction};
use crate::sys::{process, task};

impl Command {
    /// Replaces this process's program by the command's, as the child of [`spawn`](Self::spawn) would;
    /// returns only if that failed. All threads of the process end.
    ///
    /// The calling thread takes the steps. If one fails, or the program cannot be run, the process goes on:
    ///
    /// | of what the steps before did | is |
    /// |---|---|
    /// | descriptors, signal actions, limits where that is permitted; of the calling thread the signal mask and the parent-death signal | put back; until then other threads see the program's |
    /// | ids and groups: by libc's functions, for all threads; in a program without a libc and in a child that shares its parent's memory for the calling thread | kept. As after any change of ids, the kernel does not let others trace the process (`PR_SET_DUMPABLE`) |
    /// | root, working directory, umask, session, process group; the mark that [`close_others`](Self::close_others) sets; host name, mounts, files | kept, by the whole process |
    /// | the other [`before_exec`](Self::before_exec) steps: capabilities, securebits, no_new_privs, filters, Landlock rules, namespaces, scheduling | kept, by the calling thread alone |
    ///
    /// So end a process in which it failed, or one where a step may have been taken; std's documentation says the same.
    /// In one whose calling thread has given up capabilities, libc's `setuid` and the like end the process: threads
    /// whose answers differ are an error that it cannot undo. A seccomp filter that kills a thread may kill the calling one,
    /// in `execve` or on the way back. Where a step lowers a hard limit and gives up the right to raise it, that stays,
    /// and an error at which there is no memory left does not name the program.
    ///
    /// Descriptors are put in their places after the steps that may take long. One that another thread opens in the moment
    /// between the look at a free number and its use is lost.
    ///
    /// What only a new process can have is refused: namespaces, a cgroup, a hook, `Stdio::piped`.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
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
            plan.ids = Ids::of_caller();
            plan.in_place = true;
            let mut saved = SavedState::of(plan);
            // As late as can be: another thread may open a descriptor under one of the numbers meanwhile.
            let fds = &mut saved.fds;
            let (step, errno) = exec_child::become_program(plan, || {
                *fds =
                    SavedFds::of(plan.targets()).map_err(|errno| (&exec_child::DUP_AWAY, errno))?;
                Ok(())
            });
            saved.placed = plan.placed.get();
            // First: an error takes memory, which the program's limits may not grant.
            drop(saved);
            Ok(plan.error_of(step, errno))
        });
        match failed {
            Ok(error) | Err(error) => error,
        }
    }
}

/// What of the calling thread and its process is put back when this is dropped.
struct SavedState {
    mask: signal::SigSet,
    death_signal: Option<i32>,
    actions: Vec<SavedAction>,
    /// (resource, soft, hard)
    limits: Vec<(u32, u64, u64)>,
    fds: SavedFds,
    placed: usize,
    _dumpable: Option<ExecGuard>,
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
            death_signal: task::parent_death_signal().ok(),
            actions: plan
                .default_signals
                .iter()
                .filter_map(SavedAction::of)
                .collect(),
            limits: plan.limits.iter().filter_map(saved_limit).collect(),
            fds: SavedFds::default(),
            placed: 0,
            // A process's own memory has the mark that its ids give it.
            _dumpable: (plan.changes_credentials() && ids::may_share_memory())
                .then(ExecGuard::begin),
        }
    }
}

impl Drop for SavedState {
    fn drop(&mut self) {
        // Backwards, for a resource may come twice. Before the descriptors: the limit says which numbers there are.
        for (resource, soft, hard) in self.limits.drain(..).rev() {
            let _ = process::set_rlimit(resource, soft, hard);
        }
        self.fds.put_back(self.placed);
        for action in self.actions.drain(..) {
            action.put_back();
        }
        if let Some(signal) = self.death_signal {
            let _ = task::set_parent_death_signal(signal);
        }
        // Last: a signal that came meanwhile meets the action that is in force again.
        signal::set_mask(self.mask);
    }
}
