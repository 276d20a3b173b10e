//! Reaping a child whose handle was dropped while it ran.
//!
//! Only the process that made a child can reap it, and only by a system call of one of its
//! threads. So such a child gets a kernel thread of its own that sleeps in `waitid`, reaps it,
//! frees the stack it stood on, and is gone. That thread runs nothing but the function below: no
//! libc, no thread-locals, no allocator; every signal is blocked in it. It therefore needs no
//! identity in libc and works the same without one.
//!
//! | who | owns |
//! |---|---|
//! | the parent, before clone | the reaper's stack, the pidfd, the child's stack |
//! | the reaper, from its first instruction | all three; it unmaps its own stack last |
//! | the parent, if clone fails | the same three again |
#![allow(unsafe_code, reason = "makes a kernel thread by hand")]

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::child::waitid_once;
use super::child_stack::ChildStack;
use super::guarded_stack::GuardedStack;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::sys::file::OwnedFd;
use crate::sys::signal::{self, SigSet};
use crate::sys::{arch, clone};

/// Enough for `waitid` and its caller in a build without optimisation.
const STACK_SIZE: usize = 16 * 1024;

struct Task {
    pid: i32,
    pidfd: Option<OwnedFd>,
    stack: Option<ChildStack>,
    own_stack: (*mut u8, usize),
}

/// Starts a reaper for the child `pid`.
///
/// # Errors
/// No memory or no task left. Then pidfd and stack are leaked: the child still stands on that
/// stack, and it becomes a zombie at its end until this process ends.
pub(super) fn reap_in_background(
    pid: i32,
    pidfd: Option<OwnedFd>,
    stack: Option<ChildStack>,
) -> Result<(), Error> {
    let stack = ManuallyDrop::new(stack);
    let own_stack = GuardedStack::new(STACK_SIZE)?;
    let bottom = own_stack.bottom();
    let task = (own_stack.top() as usize - size_of::<Task>()) & !15;
    // SAFETY: `task` lies within the fresh mapping (a page is larger than a Task), aligned to 16.
    // `stack` is moved out of the ManuallyDrop here and not used again below.
    unsafe {
        (task as *mut Task).write(Task {
            pid,
            pidfd,
            stack: core::ptr::read(&raw const *stack),
            own_stack: own_stack.into_parts(),
        });
    }
    let request = clone::CloneArgs {
        flags: (CloneFlags::VM
            | CloneFlags::FS
            | CloneFlags::FILES
            | CloneFlags::SIGHAND
            | CloneFlags::THREAD
            | CloneFlags::SYSVSEM)
            .bits(),
        stack: bottom,
        stack_size: task - bottom,
        ..clone::CloneArgs::default()
    };
    let mask = signal::set_mask(SigSet::ALL);
    // SAFETY: a fresh stack with an aligned end; `reaper_main` uses no thread pointer.
    let made = unsafe { clone::clone_onto_stack(&request, reaper_main, task as *mut u8) };
    signal::set_mask(mask);
    made.map(drop).map_err(|errno| {
        // SAFETY: no thread was made, so the task is ours again.
        let task = unsafe { (task as *mut Task).read() };
        core::mem::forget(task.stack);
        if let Some(base) = NonNull::new(task.own_stack.0) {
            // SAFETY: the parts of `own_stack`, whose only copy this is.
            drop(unsafe { GuardedStack::from_parts(base, task.own_stack.1) });
        }
        Error::from_raw_os_error(errno.number())
    })
}

/// The reaper's life.
unsafe extern "C" fn reaper_main(task: *mut u8) -> ! {
    // SAFETY: `reap_in_background` wrote a Task there for this thread alone.
    let task = unsafe { task.cast::<Task>().read() };
    let own_stack = task.own_stack;
    let _ = waitid_once(task.pid, task.pidfd.as_ref(), 0);
    // After this the child has left its stack for good: the kernel lets go of a task's memory
    // before it reports the end.
    drop(task);
    // SAFETY: nothing of this stack is needed any more, and its mapping was this thread's.
    unsafe { arch::unmap_and_exit_thread(own_stack.0, own_stack.1) }
}
