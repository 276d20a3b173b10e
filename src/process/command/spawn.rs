//! Making the child of a command and learning how it went.
//!
//! Without id maps and hook the calling thread sleeps in `clone3(VM | VFORK)` until the child has left
//! its memory. With them it has work to do while the child waits, so it cannot sleep there:
//! then `CLONE_CHILD_CLEARTID` tells when the child has left, by the same kernel function
//! (`mm_release`) that ends a vfork.
//!
//! A child that is traced (`BeforeExec::trace_me`) is not waited for in clone either: a signal, such as that of a filter
//! that traps, stops it, and only its parent could have it go on.
#![allow(unsafe_code, reason = "makes a process by hand")]

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

use super::caller_groups::WithoutGroups;
use super::end_in_exec;
use super::exec_child::{self, ErrorReport, ExecPlan};
use super::exec_stack::CachedStack;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::process::before_exec::BeforeExec;
use crate::process::by_number::ByNumber;
use crate::process::child::Child;
use crate::process::clone_error;
use crate::process::dumpable::DumpableGuard;
use crate::process::namespaces::IdMaps;
use crate::process::start_pipe::StartPipe;
use crate::process::status::ExitStatus;
use crate::process::waitid::stop_signal;
use crate::sys::file::OwnedFd;
use crate::sys::futex::{self, Deadline, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, clone};

/// Set once the kernel has refused `CLONE_CLEAR_SIGHAND` (before Linux 5.5, or a sandbox without
/// clone3). Relaxed: it only saves a call.
static NO_CLEAR_SIGHAND: AtomicBool = AtomicBool::new(false);

/// How to make the child, beside what it does.
pub(super) struct SpawnOptions<'a> {
    pub(super) namespaces: CloneFlags,
    pub(super) maps: &'a IdMaps,
    pub(super) pidfd: Option<bool>,
    pub(super) cgroup: Option<i32>,
    /// Whether the child is to give up its supplementary groups, and cannot do that itself.
    pub(super) drop_groups: bool,
}

/// What the parent does while the child waits, with the child's pid.
pub(super) type Hook<'a> =
    Option<&'a mut (dyn FnMut(i32) -> Result<(), Error> + Send + Sync + 'static)>;

/// Makes the child and returns once it has become the program.
pub(super) fn spawn(
    plan: &mut ExecPlan<'_>,
    options: &SpawnOptions<'_>,
    hook: Hook<'_>,
) -> Result<Child, Error> {
    if plan.before_exec.iter().any(BeforeExec::acts_on_memory) {
        return Err(BeforeExec::PARENTS_MEMORY);
    }
    let cached_stack = CachedStack::take()?;
    let stack = cached_stack.stack();
    let waits = !options.maps.is_empty() || hook.is_some();
    let is_for_all = plan
        .before_exec
        .iter()
        .any(BeforeExec::is_for_all_of_memory);
    // Such a step must have a vfork.
    let is_watched = !is_for_all && plan.before_exec.iter().any(BeforeExec::has_child_traced);
    let mut flags = CloneFlags::VM | CloneFlags::CHILD_CLEARTID | options.namespaces;
    flags.set(CloneFlags::VFORK, !waits && !is_watched);
    flags.set(CloneFlags::PIDFD, options.pidfd != Some(false));
    flags.set(CloneFlags::INTO_CGROUP, options.cgroup.is_some());
    let by_hand = NO_CLEAR_SIGHAND.load(Ordering::Relaxed);
    flags.set(CloneFlags::CLEAR_SIGHAND, !by_hand);

    let start_pipe = if waits {
        Some(StartPipe::new(flags)?)
    } else {
        None
    };
    plan.start_pipe = start_pipe.as_ref().map(StartPipe::child_side);
    // 1 until the child has left this memory, which the kernel clears. It stays 1 where the child has a copy:
    // valgrind and qemu-user make a fork of VM and VFORK.
    let mm_in_use = AtomicU32::new(1);
    if waits && is_for_all {
        return Err(BeforeExec::ALL_OF_MEMORY);
    }
    let dumpable_guard = plan.changes_credentials().then(DumpableGuard::begin);
    let mut pidfd = -1i32;
    // No handler of this process may run in the child before its handlers are reset, nor on this
    // thread while the child uses its thread pointer.
    let mask = signal::set_mask(SigSet::ALL);
    plan.mask = plan.mask.or(Some(mask));
    let without_groups = options.drop_groups.then(WithoutGroups::begin);
    let mut by_number = None;
    let made = loop {
        if !flags.contains(CloneFlags::PIDFD) && by_number.is_none() {
            by_number = Some(ByNumber::take());
        }
        plan.reset_handlers = !flags.contains(CloneFlags::CLEAR_SIGHAND);
        let request = clone::CloneArgs {
            flags: flags.bits(),
            exit_signal: libc::SIGCHLD as u64,
            stack: stack.bottom(),
            stack_size: stack.top() as usize - stack.bottom(),
            child_tid: mm_in_use.as_ptr() as usize,
            pidfd: if flags.contains(CloneFlags::PIDFD) {
                &raw mut pidfd as usize
            } else {
                0
            },
            cgroup: options.cgroup.unwrap_or(0) as u64,
            ..clone::CloneArgs::default()
        };
        let plan = core::ptr::from_mut(plan).cast::<u8>();
        // SAFETY: the stack has no other user, and its end is page-aligned. `child_main` uses no thread-local. The
        // plan, the stack and `mm_in_use` outlive the child's stay: with VFORK this call returns after
        // it, else the wait below does.
        match unsafe { clone::clone_onto_stack(&request, exec_child::child_main, plan) } {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM)
                if flags.contains(CloneFlags::CLEAR_SIGHAND) =>
            {
                flags.remove(CloneFlags::CLEAR_SIGHAND);
            }
            // A kernel without pidfds, or no number left for one: it was not asked for.
            Err(Errno::EINVAL | Errno::EMFILE | Errno::ENFILE)
                if flags.contains(CloneFlags::PIDFD) && options.pidfd.is_none() =>
            {
                flags.remove(CloneFlags::PIDFD);
            }
            other => break other,
        }
    };
    drop(without_groups);
    signal::set_mask(mask);
    let pid = made.map_err(|errno| {
        let attempt = clone_error::CloneAttempt {
            flags,
            exit_signal: libc::SIGCHLD as u32,
            set_tid: false,
        };
        clone_error::clone_failed(attempt, errno)
    })?;
    if !by_hand && !flags.contains(CloneFlags::CLEAR_SIGHAND) {
        NO_CLEAR_SIGHAND.store(true, Ordering::Relaxed);
    }
    // SAFETY: clone stored the number of a descriptor that it made for this caller.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw(pidfd) });
    let stopped_by = Cell::new(None);
    let mut left = ChildInMemory {
        mm_in_use: (waits || is_watched).then_some(&mm_in_use),
        start_pipe,
        traced: is_watched.then_some(pid),
        stopped_by: &stopped_by,
    };
    let mut child = Child::new(pid, pidfd, by_number);
    let mut prepared = options.maps.write(pid);
    if let (Ok(()), Some(hook)) = (&prepared, hook) {
        prepared = hook(pid);
    }
    if prepared.is_ok()
        && let Some(start_pipe) = left.start_pipe.take()
    {
        // The child has copies of its descriptors.
        start_pipe.release();
    }
    drop(left);
    drop(cached_stack);
    drop(dumpable_guard);
    if let Some(signal) = stopped_by.get() {
        let _ = child.wait();
        return Err(ErrorReport::killed(Some(signal)));
    }
    if let Some(error) = prepared.err().or_else(|| plan.error()) {
        let _ = child.wait();
        return Err(error);
    }
    let is_filtered = plan.before_exec.iter().any(BeforeExec::filters_calls);
    // In a copy the child's report is not seen.
    let is_shared = mm_in_use.load(Ordering::Acquire) == 0;
    let ended_early = is_shared && plan.report.ended_early();
    if ended_early || is_filtered && end_in_exec::died_in_execve(pid) {
        let signal = child.wait().map(ExitStatus::signal);
        return Err(ErrorReport::killed(signal.ok().flatten()));
    }
    Ok(child)
}

/// How often a traced child that is in this memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A child that may be in this memory. Dropped, also by a panic of the hook, it has left: it ends if it
/// was not released.
struct ChildInMemory<'a> {
    /// `None` where clone has returned after the child left.
    mm_in_use: Option<&'a AtomicU32>,
    start_pipe: Option<StartPipe>,
    /// Its pid, if it may be stopped there.
    traced: Option<i32>,
    /// The signal at which it was, and which it is killed for.
    stopped_by: &'a Cell<Option<i32>>,
}

impl Drop for ChildInMemory<'_> {
    fn drop(&mut self) {
        if let Some(start_pipe) = self.start_pipe.take() {
            start_pipe.abort();
        }
        let Some(mm_in_use) = self.mm_in_use else {
            return;
        };
        // Acquire: the child's report happened before the kernel cleared the word.
        while mm_in_use.load(Ordering::Acquire) != 0 {
            let Some(pid) = self.traced else {
                let _ = futex::wait(mm_in_use, 1, None, Sharing::Shared);
                continue;
            };
            let _ = futex::wait(mm_in_use, 1, Deadline::after(LOOK), Sharing::Shared);
            // The stop that execve ends in comes after the child has left, so the order of the two looks decides.
            if let Some(signal) = stop_signal(pid)
                && mm_in_use.load(Ordering::Acquire) != 0
            {
                self.stopped_by.set(Some(signal));
                let _ = signal::send_to_process(pid, libc::SIGKILL);
            }
        }
    }
}
