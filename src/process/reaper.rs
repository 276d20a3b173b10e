//! Reaping a child whose handle was dropped while it ran.
//!
//! Only the process that made a child can reap it, and only by a system call of one of its
//! threads. So such a child gets a thread of this crate that sleeps in `waitid`, reaps it, frees
//! the stack it stood on, and ends. An ordinary thread: libc knows it, so setuid reaches it, as it
//! must reach all that runs on memory which the program without its rights can write.
//! It runs no code of the program: a spawn hook would run in a destructor, and on a stack made for `waitid`.

use core::mem::ManuallyDrop;

use super::by_number::ByNumber;
use super::child_stack::ChildStack;
use super::waitid::waitid_once;
use crate::error::Error;
use crate::sys::file::OwnedFd;
use crate::thread::{Builder, SignalSet};

/// Enough for `waitid` and its callers in a build without optimisation.
const STACK_SIZE: usize = 32 * 1024;

/// What a reaper frees when the child has ended, and must not free before: the child runs on that stack.
struct Task {
    pid: i32,
    pidfd: Option<OwnedFd>,
    by_number: Option<ByNumber>,
    stack: Option<ChildStack>,
}

/// Starts a reaper for the child `pid`.
///
/// # Errors
/// As a spawn. Then pidfd and stack are leaked: the child still runs on that stack, and it becomes
/// a zombie at its end until this process ends.
pub(super) fn reap_in_background(
    pid: i32,
    pidfd: Option<OwnedFd>,
    by_number: Option<ByNumber>,
    stack: Option<ChildStack>,
) -> Result<(), Error> {
    let task = ManuallyDrop::new(Task {
        pid,
        pidfd,
        by_number,
        stack,
    });
    let reap = move || {
        let Task {
            pid,
            pidfd,
            by_number,
            mut stack,
        } = ManuallyDrop::into_inner(task);
        let status = waitid_once(pid, pidfd.as_ref(), 0, &mut None);
        if let (Ok(Some(status)), Some(stack)) = (status, &mut stack) {
            stack.set_status(status);
        }
        // The child has left its stack for good: the kernel drops a task's memory before it
        // reports the end. Where it cannot be waited for, another thread has reaped it.
        drop(stack);
        drop(by_number);
    };
    Builder::new()
        .no_hooks()
        .stack_size(STACK_SIZE)
        .signal_mask(SignalSet::all())
        .try_spawn(reap)
        .map(drop)
}
