//! The child of a [`Builder`](super::Builder), from clone to its exit.
#![allow(unsafe_code, reason = "makes a process by hand")]

use super::child_stack::{ChildStack, ChildTcb};
use super::start_pipe::{ABORTED_STATUS, StartPipeChild};
use super::start_report::ReportChild;
use super::{fork, steps};
use crate::error::Error;
use crate::stack::layout;
use crate::sys::{Errno, clone, task};

/// The exit code of a child whose closure panicked, as of a Rust program whose main panicked.
const PANICKED: i32 = 101;

/// What comes before the closure.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) pipe: Option<StartPipeChild>,
    pub(super) report: Option<ReportChild>,
}

impl Start {
    /// Waits for the parent and takes the steps; whether to go on.
    ///
    /// # Safety
    /// The caller is the child.
    unsafe fn run(self) -> bool {
        self.pipe.is_none_or(StartPipeChild::wait)
            // SAFETY: passed on.
            && self.report.is_none_or(|report| unsafe { report.run() })
    }
}

/// What a child that shares memory finds at the top of its stack.
pub(super) struct ChildArgs<F> {
    f: F,
    start: Start,
    child_tcb: Option<ChildTcb>,
    /// Where `CHILD_SETTID` and `CHILD_CLEARTID` point, if no TCB stack has a word for them.
    tid: u32,
}

/// How the child gets to its closure, which stays where the caller has it.
pub(super) enum Launch<F> {
    /// It runs on from the caller's frame, in a copy of it.
    Fork { f: *const F, start: Start, tid: u32 },
    /// It starts on its own stack, with arguments at its top that hold a copy of the closure.
    OwnStack {
        args: *mut ChildArgs<F>,
        stack: ChildStack,
    },
}

/// Bytes that the closure takes of the child's stack: where it was written, and where a build without
/// optimisation moves it to call it.
pub(super) const fn args_size<F>() -> usize {
    const COPIES: usize = 3;
    size_of::<ChildArgs<F>>() + align::<F>() + COPIES * size_of::<F>()
}

const fn align<F>() -> usize {
    if align_of::<ChildArgs<F>>() > 16 {
        align_of::<ChildArgs<F>>()
    } else {
        16
    }
}

impl<F: FnOnce() -> i32> Launch<F> {
    /// For a child with a memory of its own.
    pub(super) fn fork(f: *const F, start: Start) -> Self {
        Self::Fork { f, start, tid: 0 }
    }

    /// For a child on `stack`, which has [`args_size`] for it.
    ///
    /// # Safety
    /// `f` points to a closure. The child takes its copy; the caller's is not used again unless no
    /// child does.
    pub(super) unsafe fn own_stack(
        f: *const F,
        start: Start,
        stack: ChildStack,
    ) -> Result<Self, Error> {
        let (bottom, top) = stack.bounds();
        let place = layout::align_below(top, size_of::<ChildArgs<F>>(), align::<F>());
        let Some(args) = place.filter(|place| *place > bottom) else {
            return Err(Error::invalid_input(
                "the child's stack does not hold its closure",
                "Ask for a larger stack, or capture less.",
            ));
        };
        let args = args as *mut ChildArgs<F>;
        // Field by field: a closure may be large, and is copied once.
        // SAFETY: inside the fresh stack, aligned; `f` by contract.
        unsafe {
            (&raw mut (*args).f).copy_from_nonoverlapping(f, 1);
            (&raw mut (*args).start).write(start);
            (&raw mut (*args).child_tcb).write(stack.child_tcb());
            (&raw mut (*args).tid).write(0);
        }
        Ok(Self::OwnStack { args, stack })
    }

    /// Fills in where the child starts and where the kernel stores what it is asked to.
    pub(super) fn fill_clone_args(&mut self, request: &mut clone::CloneArgs) {
        match self {
            Self::Fork { tid, .. } => request.child_tid = &raw mut *tid as usize,
            Self::OwnStack { args, stack, .. } => {
                // SAFETY: the arguments were written by `own_stack`.
                request.child_tid = unsafe { &raw mut (**args).tid } as usize;
                let bottom = stack.bounds().0;
                request.stack = bottom;
                request.stack_size = (*args as usize - bottom) & !15;
                stack.fill_clone_args(request);
            }
        }
    }

    /// Makes the child and, in it, never returns. May be called again if it failed.
    ///
    /// # Safety
    /// The contract of [`Builder::spawn`](super::Builder::spawn); `request` was completed by this
    /// start, which has not moved since.
    pub(super) unsafe fn clone(&mut self, request: &clone::CloneArgs) -> Result<i32, Errno> {
        match self {
            Self::OwnStack { args, stack, .. } => {
                stack.set_in_use(true);
                // SAFETY: the stack is fresh, ends below the arguments, aligned to 16.
                let made =
                    unsafe { clone::clone_onto_stack(request, child_main::<F>, args.cast()) };
                if made.is_err() {
                    stack.set_in_use(false);
                }
                made
            }
            Self::Fork { f, start, .. } => {
                // SAFETY: no VM, so the child has its own copy of this stack.
                match unsafe { clone::clone_fork(request) }? {
                    0 => {
                        fork::after_fork_in_child();
                        steps::after_fork();
                        // SAFETY: this is the child.
                        if !unsafe { start.run() } {
                            task::exit_group(ABORTED_STATUS);
                        }
                        // SAFETY: the child's copy, taken once: this branch does not return.
                        task::exit_group(unsafe { run(*f) })
                    }
                    pid => Ok(pid),
                }
            }
        }
    }

    /// After the last [`clone`](Self::clone): the child's stack.
    pub(super) fn into_stack(self) -> Option<ChildStack> {
        match self {
            Self::Fork { .. } => None,
            Self::OwnStack { stack, .. } => Some(stack),
        }
    }
}

/// The entry point of a child on its own stack.
///
/// # Safety
/// `own_stack` wrote the arguments for this child, which runs on that stack.
unsafe extern "C" fn child_main<F: FnOnce() -> i32>(args: *mut u8) -> ! {
    let args = args.cast::<ChildArgs<F>>();
    // SAFETY: `own_stack` wrote the arguments for this child alone. The fields are read one by one
    // because the kernel may still write `tid`, and the closure stays where it is until it is called.
    let (start, child_tcb) = unsafe { ((*args).start, (*args).child_tcb) };
    if let Some(child_tcb) = child_tcb {
        // SAFETY: this is the child's first step, on its TCB stack.
        unsafe { child_tcb.enter() };
    }
    // SAFETY: this is the child.
    let code = if unsafe { start.run() } {
        // SAFETY: the parent drops its copy only if no child was released, so this one takes it, once.
        unsafe { run(&raw const (*args).f) }
    } else {
        ABORTED_STATUS
    };
    if let Some(child_tcb) = child_tcb {
        // SAFETY: the closure is over; below is a raw system call.
        unsafe { child_tcb.exit() };
    }
    task::exit_group(code)
}

/// Runs the closure; 101 if it panics.
///
/// # Safety
/// `f` points to a closure, which is taken.
unsafe fn run<F: FnOnce() -> i32>(f: *const F) -> i32 {
    /// Unwinding must not reach the frames below, which belong to the parent.
    struct Panicked;
    impl Drop for Panicked {
        fn drop(&mut self) {
            task::exit_group(PANICKED);
        }
    }
    let guard = Panicked;
    // SAFETY: passed on.
    let code = unsafe { catch(f) };
    core::mem::forget(guard);
    code
}

/// Calls the closure, which is read where it is called: it may fill much of the stack.
///
/// # Safety
/// As [`run`].
#[cfg(feature = "std")]
unsafe fn catch<F: FnOnce() -> i32>(f: *const F) -> i32 {
    // What the closure leaves half done no code of this process sees again; in shared
    // memory the contract of `spawn` covers it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // SAFETY: passed on.
        crate::thread::__rust_begin_short_backtrace(unsafe { f.read() })
    }))
    .unwrap_or(PANICKED)
}

/// Calls the closure.
///
/// # Safety
/// As [`run`].
#[cfg(not(feature = "std"))]
unsafe fn catch<F: FnOnce() -> i32>(f: *const F) -> i32 {
    // SAFETY: passed on.
    unsafe { f.read()() }
}
