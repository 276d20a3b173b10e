//! What runs in the child between clone and execve.
//!
//! The child shares the parent's memory and has the calling thread's pointer to its
//! thread-locals. So nothing in this file may allocate, panic, lock, touch `errno` or a
//! thread-local, or call a libc function: it reads a [`ExecPlan`] that the parent prepared, makes raw
//! system calls, and writes to the plan's report and to its own stack. Signals are blocked from
//! before the child exists until its last step, and by then no handler of the parent is left.
#![allow(unsafe_code, reason = "ends in execve, by pointers")]

use core::cell::Cell;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::pid_variable::PidVariable;
use crate::error::{Error, Operation};
use crate::process::before_exec::{BeforeExec, Phase};
use crate::process::ids::Ids;
use crate::process::start_pipe::StartPipeChild;
use crate::process::waitid::{has_ended, no_usage};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, confine, file, process, task, wait};

/// The exit code of a child that could not become the program: what shells say for "not found".
/// The caller of `spawn` gets the error instead and never sees it.
const EXEC_FAILED: i32 = 127;

/// Everything the child does, as data.
pub(super) struct ExecPlan<'a> {
    /// Whether the kernel has not reset the handlers already (`CLONE_CLEAR_SIGHAND`).
    pub(super) reset_handlers: bool,
    pub(super) default_signals: SigSet,
    pub(super) new_session: bool,
    pub(super) process_group: Option<i32>,
    pub(super) controlling_terminal: Option<i32>,
    pub(super) before_exec: &'a [BeforeExec],
    /// For an error.
    pub(super) program: &'a CStr,
    pub(super) root: Option<&'a CStr>,
    pub(super) directory: Option<&'a CStr>,
    pub(super) fd_mappings: &'a [FdMapping],
    /// Every descriptor from here up closes at execve, unless it is a target of a move.
    pub(super) close_from: Option<u32>,
    /// (resource, soft, hard)
    pub(super) limits: &'a [(u32, u64, u64)],
    /// Whether the caller becomes the program and is no child: then a step that closes a descriptor has it close at
    /// execve, and no other thread gets the number.
    pub(super) in_place: bool,
    /// How many of [`targets`](Self::targets) have got their meaning.
    pub(super) placed: Cell<usize>,
    /// Whose ids and groups are set.
    pub(super) ids: Ids,
    pub(super) groups: Groups<'a>,
    pub(super) gid: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) death: Option<DeathSignal>,
    /// The caller's unless one was set: see `spawn`.
    pub(super) mask: Option<SigSet>,
    /// Paths to try, in order.
    pub(super) search_paths: &'a [*const c_char],
    /// Ends in null; so does the shell's below.
    pub(super) arguments: &'a [*const c_char],
    /// Of strings, up to a null; or null: no strings.
    pub(super) environment: *const *const c_char,
    /// One of the environment's strings.
    pub(super) pid_variable: Option<&'a PidVariable>,
    /// `sh`, then a slot for the path of a script without `#!`, then its arguments.
    pub(super) shell: &'a [Cell<*const c_char>],
    /// If the child waits for its parent first.
    pub(super) start_pipe: Option<StartPipeChild>,
    pub(super) report: ErrorReport,
}

impl ExecPlan<'_> {
    /// Whether the child has other ids or capabilities in the end than it was made with.
    pub(super) fn changes_credentials(&self) -> bool {
        self.uid.is_some()
            || self.gid.is_some()
            || self.before_exec.iter().any(BeforeExec::changes_credentials)
    }
}

/// The signal at the parent's death, and how to see that it died before that was set.
#[derive(Clone, Copy)]
pub(super) struct DeathSignal {
    pub(super) signal: i32,
    pub(super) parent: i32,
    /// A pidfd of the parent's thread, under a number that no descriptor of the child takes; for a child in another
    /// pid namespace, which cannot see the parent's pid: because it was asked for, or because the parent itself
    /// makes its children there (`unshare(2)`, `setns(2)`).
    pub(super) pidfd: Option<i32>,
}

impl DeathSignal {
    /// Whether the parent has died. After the signal was set.
    fn is_late(self) -> bool {
        match (task::parent_pid(), self.pidfd) {
            // The parent is outside the child's pid namespace.
            (0, Some(pidfd)) => {
                // A look for children takes the lock under which a thread first sends the signals of its death and
                // then is dead: the poll comes after both, or the signal after the prctl.
                let _ = wait::wait4(-1, libc::WNOHANG, &mut no_usage());
                has_ended(pidfd)
            }
            (0, None) => false,
            (parent, _) => parent != self.parent,
        }
    }
}

/// What becomes of the supplementary groups.
pub(super) enum Groups<'a> {
    Keep,
    Set(&'a [u32]),
    /// Whether the child may is for the kernel to say: no test of ids or capabilities beforehand
    /// knows of every namespace and security module.
    SetIfPermitted(&'a [u32]),
}

/// Descriptor `to` of the child is to be what `from` is.
pub(super) struct FdMapping {
    pub(super) from: Cell<i32>,
    pub(super) to: i32,
}

/// Where the child says how far it came and what went wrong: the step, or null as long as nothing did.
///
/// The child stores `errno` and, of a step of `before_exec`, its number, and then, with Release, `step`; the parent loads `step` with Acquire,
/// once the kernel has shown that the child has left its memory.
///
/// | `prepared` | meaning |
/// |---|---|
/// | 0 | a step is left before `execve` |
/// | 1 | there is none: the child has begun to look for its program |
#[derive(Default)]
pub(super) struct ErrorReport {
    step: AtomicPtr<Operation>,
    errno: AtomicI32,
    /// Counted from 1; 0: the step is none of `before_exec`.
    number: AtomicUsize,
    prepared: AtomicU32,
}

impl ErrorReport {
    fn failed(&self, step: &'static Operation, errno: Errno) {
        self.errno.store(errno.number(), Ordering::Relaxed);
        self.step
            .store(core::ptr::from_ref(step).cast_mut(), Ordering::Release);
    }

    /// Whether the child, which has left this memory, was ended by something else than a failed step
    /// before it came to `execve`. Relaxed: as for `errno`, the kernel's word comes in between.
    pub(super) fn ended_early(&self) -> bool {
        self.step.load(Ordering::Acquire).is_null() && self.prepared.load(Ordering::Relaxed) == 0
    }

    /// The error of a child that a signal ended before it was the program.
    pub(super) fn killed(signal: Option<i32>) -> Error {
        match signal {
            Some(libc::SIGSYS) => Error::from_operation(&FILTERED, Errno::EPERM),
            _ => Error::from_operation(&KILLED, Errno::EINTR),
        }
    }
}

impl ExecPlan<'_> {
    fn count_placed(&self) {
        self.placed.set(self.placed.get() + 1);
    }

    /// What the child reported, for the parent.
    pub(super) fn error(&self) -> Option<Error> {
        let step = self.report.step.load(Ordering::Acquire);
        // SAFETY: null or the address of a static, stored by `failed`.
        let step: &'static Operation = unsafe { step.as_ref() }?;
        let errno = self.report.errno.load(Ordering::Relaxed).clamp(1, 4095);
        Some(self.error_of(step, Errno::new(errno)))
    }

    /// The error of a step that failed. Not in a child: it allocates.
    pub(super) fn error_of(&self, step: &'static Operation, errno: Errno) -> Error {
        let is = |other: &'static Operation| core::ptr::eq(step, other);
        let number = self.report.number.load(Ordering::Relaxed);
        let subject = match number.checked_sub(1) {
            Some(index) => self.before_exec.get(index).and_then(BeforeExec::subject),
            None if is(&ROOT) => self.root,
            None if is(&DIRECTORY) => self.directory,
            None if step.name == EXEC.name => Some(self.program),
            None => None,
        };
        Error::from_operation(step, errno).about(subject)
    }
}

macro_rules! steps {
    ($($id:ident = $name:literal, $purpose:literal, $hint:expr;)*) => {
        $(pub(super) static $id: Operation = Operation { name: $name, purpose: $purpose, hint: $hint };)*
    };
}

steps! {
    SIGNALS = "rt_sigaction", "reset a signal of the child to its default",
        |_| "SIGKILL and SIGSTOP cannot be set, and signals are 1 to 64.";
    SESSION = "setsid", "start a session in the child",
        |_| "A process group leader cannot: leave the process group unset.";
    GROUP = "setpgid", "move the child to its process group",
        |_| "The group must exist in the same session, or be 0 for a new one. With new_session the \
         child leads a group already: leave the process group unset.";
    TERMINAL = "ioctl(TIOCSCTTY)", "give the child its controlling terminal",
        |_| "It needs a terminal that controls no other session, and new_session.";
    ROOT = "chroot", "change the child's root directory",
        |errno| match errno {
            Errno::EPERM => "The child needs CAP_SYS_CHROOT.",
            _ => "It must be a directory that the child may enter.",
        };
    DIRECTORY = "chdir", "enter the child's working directory",
        |_| "It must be a directory that the child may enter, inside its new root if there is one.";
    DUP_AWAY = "fcntl(F_DUPFD_CLOEXEC)", "move a descriptor out of another one's way",
        |errno| match errno.number() {
            libc::EBADF => "Is every one open?",
            _ => "It takes a number above those of the child, below RLIMIT_NOFILE.",
        };
    CLOSE = "close_range", "close the other descriptors",
        |_| "A sandbox refuses close_range and fcntl.";
    CLEAR_CLOEXEC = "fcntl(F_SETFD)", "keep a descriptor open for the child",
        |_| "Is it open?";
    DUP_TO = "dup3", "put a descriptor in its place",
        |_| "Is what it comes from open, and its number below RLIMIT_NOFILE?";
    LIMIT = "prlimit64", "set a resource limit of the child",
        |errno| match errno {
            Errno::EPERM => "Raising the hard limit needs CAP_SYS_RESOURCE.",
            _ => "The soft limit may not exceed the hard one.",
        };
    GROUPS = "setgroups", "set the child's supplementary groups",
        |errno| match errno {
            Errno::EPERM => "It needs CAP_SETGID, and may be denied in a user namespace.",
            _ => "Each must be mapped in the child's user namespace.",
        };
    GID = "setresgid", "set the child's group id",
        |errno| match errno {
            Errno::EPERM => "It needs CAP_SETGID.",
            _ => "It must be mapped in the child's user namespace.",
        };
    UID = "setresuid", "set the child's user id",
        |errno| match errno {
            Errno::EPERM => "It needs CAP_SETUID.",
            _ => "It must be mapped in the child's user namespace.",
        };
    DEATH = "prctl(PR_SET_PDEATHSIG)", "set the child's parent-death signal",
        |_| "Signals are 1 to 64.";
    KILLED = "execve", "run the program",
        |_| "A signal ended the child before it came to that: SIGKILL, or the one of a limit or of a \
         parent that died.";
    FILTERED = "execve", "run the program",
        |_| "A seccomp filter killed the child (SIGSYS): it must allow execve, and what steps after it call.";
    NOT_FOUND = "execve", "find the program",
        |_| "Neither it nor, for a script, its interpreter is where the child looks, in its own root, \
         working directory and PATH.";
    NOT_EXECUTABLE = "execve", "run the program",
        |_| "It is not a file that the child may execute.";
    TOO_LONG = "execve", "run the program",
        |_| "Arguments and environment together, or one of them alone, are longer than the kernel takes.";
    EXEC = "execve", "run the program",
        |errno| match errno.number() {
            libc::ENOTDIR => "A part of its path, or of its interpreter's, that should be a directory is none.",
            libc::ESTALE | libc::ETIMEDOUT | libc::ENODEV | libc::EIO =>
                "Its file system, or the device or server behind that, does not answer.",
            libc::ETXTBSY => "It is open for writing: wait until it is closed.",
            libc::EAGAIN => "The user that it is to run as has as many tasks as RLIMIT_NPROC allows.",
            libc::ELOOP => "Its path, or its interpreters', goes in a circle of links or scripts.",
            libc::ENOEXEC => "It is in no format that this kernel runs.",
            _ => "execve(2) lists the reasons.",
        };
}

/// The child's entry point; `plan` is a `*const ExecPlan`.
///
/// # Safety
/// The plan must stay until the child has left this memory by execve or exit.
pub(super) unsafe extern "C" fn child_main(plan: *mut u8) -> ! {
    // SAFETY: the parent keeps the plan and does not touch what the child writes.
    let plan: &ExecPlan<'_> = unsafe { &*plan.cast_const().cast() };
    if plan.start_pipe.is_none_or(StartPipeChild::wait) {
        let (step, errno) = become_program(plan, || Ok(()));
        plan.report.failed(step, errno);
    }
    task::exit_group(EXEC_FAILED)
}

/// Does to the caller what a child does; returns the step that failed. `before_fds` is called before descriptors
/// are put in their places.
pub(super) fn become_program(
    plan: &ExecPlan<'_>,
    before_fds: impl FnOnce() -> Result<(), Failed>,
) -> Failed {
    match prepare(plan, before_fds) {
        Ok(()) => {
            plan.report.prepared.store(1, Ordering::Relaxed);
            exec_failure(execute(plan))
        }
        Err(failed) => failed,
    }
}

pub(super) type Failed = (&'static Operation, Errno);

/// The steps, in an order that each can rely on: what needs rights comes before giving them up,
/// what names the parent's descriptors before they are moved, what takes signals last.
fn prepare(
    plan: &ExecPlan<'_>,
    before_fds: impl FnOnce() -> Result<(), Failed>,
) -> Result<(), Failed> {
    let at = |step: &'static Operation| move |errno: Errno| (step, errno);
    if plan.reset_handlers {
        signal::reset_handlers();
    }
    for signal in plan.default_signals.iter() {
        match signal::set_default(signal) {
            // Reset unasked, so missed in no sandbox that refuses it.
            Err(Errno::ENOSYS | Errno::EPERM) if signal == libc::SIGPIPE => {}
            other => other.map_err(at(&SIGNALS))?,
        }
    }
    if plan.new_session {
        process::setsid().map_err(at(&SESSION))?;
    }
    if let Some(group) = plan.process_group {
        process::set_process_group(group).map_err(at(&GROUP))?;
    }
    if let Some(fd) = plan.controlling_terminal {
        process::set_controlling_terminal(fd).map_err(at(&TERMINAL))?;
    }
    take_steps(plan, Phase::First)?;
    if let Some(path) = plan.root {
        process::chroot(path).map_err(at(&ROOT))?;
        if plan.directory.is_none() {
            // A working directory outside the root would be a way out of it.
            process::chdir(c"/").map_err(at(&DIRECTORY))?;
        }
    }
    if let Some(path) = plan.directory {
        process::chdir(path).map_err(at(&DIRECTORY))?;
    }
    before_fds()?;
    install_fds(plan)?;
    take_steps(plan, Phase::Descriptors)?;
    for (resource, soft, hard) in plan.limits {
        process::set_rlimit(*resource, *soft, *hard).map_err(at(&LIMIT))?;
    }
    match plan.groups {
        Groups::Keep => {}
        Groups::Set(groups) => plan.ids.set_groups(groups).map_err(at(&GROUPS))?,
        Groups::SetIfPermitted(groups) => match plan.ids.set_groups(groups) {
            Ok(()) | Err(Errno::EPERM) => {}
            Err(errno) => return Err((&GROUPS, errno)),
        },
    }
    let keeps = plan.before_exec.iter().any(BeforeExec::keeps_capabilities);
    if keeps && plan.uid.is_some() {
        confine::keep_capabilities().map_err(at(&UID))?;
    }
    if let Some(gid) = plan.gid {
        plan.ids.set_gid(gid).map_err(at(&GID))?;
    }
    if let Some(uid) = plan.uid {
        plan.ids.set_uid(uid).map_err(at(&UID))?;
    }
    // After the ids: changing them clears the signal.
    if let Some(death) = plan.death {
        task::set_parent_death_signal(death.signal).map_err(at(&DEATH))?;
        if death.is_late() {
            // The parent died before it could be watched.
            task::exit_group(EXEC_FAILED);
        }
    }
    if let Some(variable) = plan.pid_variable {
        variable.write(task::pid());
    }
    if let Some(mask) = plan.mask {
        signal::set_mask(mask);
    }
    take_steps(plan, Phase::Last)
}

fn take_steps(plan: &ExecPlan<'_>, phase: Phase) -> Result<(), Failed> {
    let steps = (1..).zip(plan.before_exec);
    let mut steps = steps.filter(|(_, step)| step.phase() == phase);
    steps.try_for_each(|(number, step)| {
        match step.closes() {
            Some(fd) if plan.in_place => {
                let _ = process::set_cloexec(fd);
            }
            _ => step
                .run(plan.ids)
                .inspect_err(|_| plan.report.number.store(number, Ordering::Relaxed))?,
        }
        if step.target().is_some() {
            plan.count_placed();
        }
        Ok(())
    })
}

/// Puts every descriptor in its place: first each source out of the way if it is a target, so that
/// any permutation comes out right.
fn install_fds(plan: &ExecPlan<'_>) -> Result<(), Failed> {
    let is_target = |number: i32| plan.fd_mappings.iter().any(|one| one.to == number);
    for one in plan.fd_mappings {
        let from = one.from.get();
        if from != one.to && is_target(from) {
            let mut moved = from;
            // A free number may be a target too. What is left there closes at execve or before.
            while is_target(moved) {
                moved = process::dup_above(from, moved.saturating_add(1).max(3))
                    .map_err(|errno| (&DUP_AWAY, errno))?;
                if plan.fd_mappings.iter().any(|one| one.from.get() == moved) {
                    // The number was free, and another mapping's source.
                    return Err((&DUP_AWAY, Errno::new(libc::EBADF)));
                }
            }
            one.from.set(moved);
        }
    }
    if let Some(first) = plan.close_from {
        process::set_cloexec_from(first).map_err(|errno| (&CLOSE, errno))?;
    }
    for one in plan.fd_mappings {
        let from = one.from.get();
        if from == one.to {
            process::clear_cloexec(from).map_err(|errno| (&CLEAR_CLOEXEC, errno))?;
        } else {
            process::dup3(from, one.to).map_err(|errno| (&DUP_TO, errno))?;
        }
        plan.count_placed();
    }
    Ok(())
}

/// What to say of a program that `execve` did not run.
fn exec_failure(errno: Errno) -> Failed {
    let step = match errno.number() {
        libc::ENOENT => &NOT_FOUND,
        libc::EACCES => &NOT_EXECUTABLE,
        libc::E2BIG => &TOO_LONG,
        _ => &EXEC,
    };
    (step, errno)
}

/// Becomes the program, as `execvp(3)` looks for it; returns why not: what refused the last path, or
/// EACCES if that refused any. For a name with a slash there is one path.
fn execute(plan: &ExecPlan<'_>) -> Errno {
    let mut answer = Errno::new(libc::ENOENT);
    let mut denied = false;
    for path in plan.search_paths {
        // SAFETY: the parent made the arrays of NUL-terminated strings, each ended by null.
        let mut errno =
            unsafe { process::execve(*path, plan.arguments.as_ptr(), plan.environment) };
        if errno.number() == libc::ENOEXEC
            && let Some(slot) = plan.shell.get(1)
            // SAFETY: as above.
            && is_text(unsafe { CStr::from_ptr(*path) })
        {
            slot.set(*path);
            // SAFETY: as above; a Cell has the layout of what it holds.
            errno = unsafe {
                process::execve(
                    c"/bin/sh".as_ptr(),
                    plan.shell.as_ptr().cast(),
                    plan.environment,
                )
            };
        }
        answer = errno;
        match errno.number() {
            // Remembered, in case no better one follows.
            libc::EACCES => denied = true,
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            _ => return errno,
        }
    }
    if denied {
        answer = Errno::new(libc::EACCES);
    }
    answer
}

/// Whether a file can be a shell's script, as shells themselves decide: no NUL in its first line. A program for
/// another machine, or a broken one, is none.
fn is_text(path: &CStr) -> bool {
    let mut begin = [0u8; 80];
    let Ok(length) =
        file::open(path, libc::O_RDONLY).and_then(|opened| file::read(opened.as_raw(), &mut begin))
    else {
        return false;
    };
    let mut line = begin.iter().take(length).take_while(|byte| **byte != b'\n');
    line.all(|byte| *byte != 0)
}
