//! Learning whether the child of a [`Builder`](super::Builder) came to its closure.
//!
//! Child and parent share a page, whatever else they share. Its word decides once and for both sides which of
//! them has the closure: the child begins it only after it has said so, by a store, which nothing can refuse;
//! and the parent takes the closure to be its own only if the child said otherwise, or has ended without a word.
//!
//! | state | meaning | written by |
//! |---|---|---|
//! | 0, `WAITING` | the child has not come to its closure | |
//! | 1, `BEGUN` | it has: the closure is the child's | the child, once |
//! | 2, `FAILED` | a step failed, which `number`, `step` and `errno` name: the child ends without its closure | the child, once |
#![allow(unsafe_code, reason = "shares a mapping with the child")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;

use super::child::Child;
use super::steps::Steps;
use super::waitid::stop_signal;
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::primitive::answer;
use crate::sys::futex::{Deadline, Sharing};
use crate::sys::{Errno, memory, signal};

static KILLED: Operation = Operation {
    name: "clone3",
    purpose: "start the process",
    hint: |_| "A signal ended the child before its closure began.",
};

const WAITING: u32 = 0;
const BEGUN: u32 = 1;
const FAILED: u32 = 2;

#[repr(C)]
struct Message {
    state: AtomicU32,
    errno: AtomicI32,
    /// The address of the failed step, a static.
    step: AtomicUsize,
    /// Which of the steps that is.
    number: AtomicUsize,
}

/// The parent's side: the shared page, unmapped when dropped.
pub(super) struct Report(NonNull<Message>);

/// The child's side.
#[derive(Clone, Copy)]
pub(super) struct ReportChild {
    /// The parent's, whose call of `spawn` lasts until the message is written.
    steps: *const Steps,
    message: NonNull<Message>,
    /// Whether the child has a mapping of its own to unmap.
    own_memory: bool,
}

impl Report {
    /// # Errors
    /// No page could be mapped.
    pub(super) fn new() -> Result<Self, Error> {
        let len = memory::page_size();
        let page = memory::map_shared(len).map_err(|errno| diagnosis::map_error(errno, len))?;
        // Zero bytes are a message that waits.
        Ok(Self(page.cast()))
    }

    /// For a child that shares this memory, or has a memory of its own.
    pub(super) fn child_side(&self, steps: &Steps, own_memory: bool) -> ReportChild {
        ReportChild {
            steps,
            message: self.0,
            own_memory,
        }
    }

    /// The error of the step that failed, once `child` has come to its closure or ended.
    pub(super) fn wait(self, child: &Child, steps: &Steps) -> Result<(), Error> {
        /// A child that is killed amid its steps wakes no waiter: how long until it is looked for.
        const LOOK_AFTER: Duration = Duration::from_millis(10);
        // SAFETY: the page is mapped as long as `self` is.
        let message = unsafe { self.0.as_ref() };
        // A signal stops a traced child, which then neither goes on nor ends.
        let end_if_stopped = || {
            if steps.has_child_traced()
                && stop_signal(child.pid()).is_some()
                && message.state.load(Ordering::Acquire) == WAITING
            {
                let _ = signal::send_to_process(child.pid(), libc::SIGKILL);
            }
        };
        let state = answer::wait_or_end(
            &message.state,
            WAITING,
            Sharing::Shared,
            || Deadline::after(LOOK_AFTER),
            || {
                end_if_stopped();
                child.process.is_gone()
            },
        );
        match state {
            None => Err(Error::from_operation(&KILLED, Errno::EINTR)),
            Some(FAILED) => {
                let step = message.step.load(Ordering::Relaxed) as *const Operation;
                // SAFETY: `run` stored the address of a static before the state, which is the same in a
                // copy of this process.
                let step: &'static Operation = unsafe { &*step };
                let errno = message.errno.load(Ordering::Relaxed).clamp(1, 4095);
                let number = message.number.load(Ordering::Relaxed);
                Err(steps.error(number, step, Errno::new(errno)))
            }
            Some(_) => Ok(()),
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: no reference is left here. A child in this memory does not touch the page after it has
        // changed the state, but for the kernel's look at the address, which fails or wakes a waiter in vain;
        // and before that this is not dropped while it lives.
        let _ = unsafe { memory::unmap(self.0.as_ptr().cast(), memory::page_size()) };
    }
}

impl ReportChild {
    /// Takes the steps and says so; whether to go on. Raw system calls alone.
    ///
    /// # Safety
    /// The caller is the child for which `child_side` was called, in its parent's memory or a copy.
    pub(super) unsafe fn run(self) -> bool {
        // SAFETY: as the field says.
        let taken = unsafe { &*self.steps }.take();
        // SAFETY: the parent keeps the page until the state has changed.
        let message = unsafe { self.message.as_ref() };
        let state = match taken {
            Ok(()) => BEGUN,
            Err((number, step, errno)) => {
                message.number.store(number, Ordering::Relaxed);
                let step = core::ptr::from_ref(step) as usize;
                message.step.store(step, Ordering::Relaxed);
                message.errno.store(errno.number(), Ordering::Relaxed);
                FAILED
            }
        };
        let word = message.state.as_ptr();
        // SAFETY: as above. The step and its errno come before it; the last access.
        unsafe { answer::give(&raw const message.state, state, Sharing::Shared) };
        if self.own_memory {
            // SAFETY: the child's own mapping of the page, which is not used any more.
            let _ = unsafe { memory::unmap(word.cast(), memory::page_size()) };
        }
        taken.is_ok()
    }
}
