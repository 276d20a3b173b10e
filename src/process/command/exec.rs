//! Becoming a command's program, and being as before where that fails.
//!
//! Ids, groups, capabilities, filters and Landlock rules are a thread's own, and what gave up a right cannot take
//! it back. If the process has other threads, they are taken by a thread made for that: it becomes the program,
//! under this process's pid, or it ends, and the calling thread and the others are as they were. A process of one
//! thread takes them itself.
//!
//! libc does not know that thread. glibc's `setuid` has each thread that it knows take the ids, and ends the
//! process where one may and another may not: this one would be such a thread. So it is used like a `vfork`'s child: it has
//! the calling thread's pointer to thread-locals, which sleeps meanwhile with all signals blocked, and makes raw system
//! calls alone. A handler of the program may run on it between its last step and execve.
#![allow(unsafe_code, reason = "makes a thread by hand")]

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use super::builder::Command;
use super::exec_child::{self, ErrorReport, ExecPlan, Groups};
use super::saved_fds::SavedFds;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::process::before_exec::BeforeExec;
use crate::process::clone_error;
use crate::process::dumpable::DumpableGuard;
use crate::process::guarded_stack::GuardedStack;
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SavedAction, SigSet};
use crate::sys::{arch, clone, process, task};

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
    /// Those of [`spawn`](Self::spawn); a limit, where such a thread cannot be made.
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
            let _saved = SavedState::of(plan)?;
            let apart = is_for_one_thread(plan) && !task::is_only_thread();
            match apart {
                true => in_a_thread(plan)?,
                false => exec_child::become_program(plan),
            }
            // A filter of its own may have ended the thread.
            Ok(plan.error().unwrap_or_else(|| ErrorReport::killed(None)))
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

/// For the steps in a build without optimisation, and a handler.
const STACK_SIZE: usize = 256 * 1024;

static UNSHARE: Operation = Operation {
    name: "unshare",
    purpose: "give a thread a root and a working directory of its own",
    hint: |_| "A sandbox refuses it.",
};

struct ThreadArgs<'a> {
    plan: &'a ExecPlan<'a>,
    /// The calling thread's. A new thread has none, and execve keeps it.
    death_signal: i32,
}

/// Has a thread of its own become the program; why there could be none. The plan's report says why it did not.
fn in_a_thread(plan: &mut ExecPlan<'_>) -> Result<(), Error> {
    // What a libc asks for, but for the words in its memory: sandboxes know it.
    const FLAGS: CloneFlags = CloneFlags::VM
        .union(CloneFlags::FS)
        .union(CloneFlags::FILES)
        .union(CloneFlags::SIGHAND)
        .union(CloneFlags::THREAD)
        .union(CloneFlags::SYSVSEM)
        .union(CloneFlags::CHILD_CLEARTID);
    let stack = GuardedStack::new(STACK_SIZE)?;
    // 1 until the thread has left this memory.
    let in_use = AtomicU32::new(1);
    // Of the caller's handlers none may run on this thread while the other has its thread pointer.
    let mask = signal::set_mask(SigSet::ALL);
    plan.mask = plan.mask.or(Some(mask));
    let args = ThreadArgs {
        plan,
        death_signal: task::parent_death_signal().unwrap_or(0),
    };
    let request = clone::CloneArgs {
        flags: FLAGS.bits(),
        stack: stack.bottom(),
        stack_size: stack.top() as usize - stack.bottom(),
        child_tid: in_use.as_ptr() as usize,
        ..clone::CloneArgs::default()
    };
    let argument = core::ptr::from_ref(&args).cast_mut().cast();
    // SAFETY: the stack has no other user, and its end is page-aligned. `thread_main` uses no thread-local. What
    // it is given, the stack and the word outlive the thread's stay: the loop below ends after it.
    let made = unsafe { clone::clone_onto_stack(&request, thread_main, argument) };
    if let Err(errno) = made {
        let attempt = clone_error::CloneAttempt {
            flags: FLAGS,
            exit_signal: 0,
            set_tid: false,
        };
        return Err(clone_error::clone_failed(attempt, errno));
    }
    // Acquire: the thread's report happened before the kernel cleared the word.
    while in_use.load(Ordering::Acquire) != 0 {
        let _ = futex::wait(&in_use, 1, None, Sharing::Shared);
    }
    Ok(())
}

/// The thread's entry point; `args` is a `*const ThreadArgs`.
///
/// # Safety
/// They stay until the thread has left this memory by execve or exit; the thread that has this one's thread pointer
/// sleeps.
unsafe extern "C" fn thread_main(args: *mut u8) -> ! {
    // SAFETY: the caller keeps them, and does not touch what this thread writes.
    let args: &ThreadArgs<'_> = unsafe { &*args.cast_const().cast() };
    if args.death_signal != 0 {
        let _ = task::set_parent_death_signal(args.death_signal);
    }
    match task::unshare(CloneFlags::FS.bits()) {
        Ok(()) => exec_child::become_program(args.plan),
        Err(errno) => args.plan.report.failed(&UNSHARE, errno),
    }
    signal::set_mask(SigSet::ALL);
    // SAFETY: nothing of this thread's is to be dropped; its stack is the caller's to unmap.
    unsafe { arch::exit_thread() }
}

/// What of the calling thread and its process is put back when this is dropped.
struct SavedState {
    mask: signal::SigSet,
    actions: Vec<SavedAction>,
    /// (resource, soft, hard)
    limits: Vec<(u32, u64, u64)>,
    _descriptors: SavedFds,
    _dumpable: Option<DumpableGuard>,
}

impl SavedState {
    /// Before what `plan` says is done.
    fn of(plan: &ExecPlan<'_>) -> Result<Self, Error> {
        let saved_limit = |&(resource, ..): &(u32, u64, u64)| {
            let (soft, hard) = process::rlimit(resource).ok()?;
            Some((resource, soft, hard))
        };
        Ok(Self {
            _descriptors: exec_child::saved_fds(plan)?,
            mask: signal::current_mask(),
            actions: plan
                .default_signals
                .iter()
                .filter_map(SavedAction::of)
                .collect(),
            limits: plan.limits.iter().filter_map(saved_limit).collect(),
            _dumpable: plan.changes_credentials().then(DumpableGuard::begin),
        })
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
