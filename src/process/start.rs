//! How the child of a [`Builder`](super::Builder) gets to its closure, and its life there.
#![allow(unsafe_code, reason = "makes a process by hand")]

use core::mem::ManuallyDrop;

use super::gate::ChildGate;
use crate::sys::{Errno, clone, task};

/// The exit code of a child whose closure panicked, as of a Rust program whose main panicked.
const PANICKED: i32 = 101;

/// What the child of a shared memory finds at the top of its stack.
pub(super) struct Packet<F> {
    pub(super) f: F,
    pub(super) gate: Option<ChildGate>,
    /// Where `CHILD_SETTID` and `CHILD_CLEARTID` point.
    pub(super) tid: u32,
}

/// How the child gets to its closure.
pub(super) enum Start<'a, F> {
    /// It runs on from the caller's frame, in a copy of it.
    Copy(&'a mut ManuallyDrop<F>, Option<ChildGate>),
    /// It starts on its own stack with this packet.
    Own(*mut Packet<F>),
}

impl<F: FnOnce() -> i32> Start<'_, F> {
    pub(super) fn packet(&self) -> *mut Packet<F> {
        match self {
            Self::Copy(..) => core::ptr::null_mut(),
            Self::Own(packet) => *packet,
        }
    }

    /// Makes the child and, in it, never returns.
    ///
    /// # Safety
    /// The contract of [`Builder::spawn`]; the request's stack must fit this start.
    pub(super) unsafe fn clone(&self, request: &clone::Request) -> Result<i32, Errno> {
        match self {
            Self::Own(packet) => {
                // SAFETY: the stack is fresh, ends below the packet, aligned to 16.
                unsafe { clone::clone_call(request, enter::<F>, packet.cast()) }
            }
            Self::Copy(f, gate) => {
                // SAFETY: no VM, so the child has its own copy of this stack.
                match unsafe { clone::fork_call(request) }? {
                    0 => {
                        // SAFETY: the child's copy, moved out once: this branch does not return.
                        let f = unsafe { core::ptr::read(&raw const ***f) };
                        run(f, *gate)
                    }
                    pid => Ok(pid),
                }
            }
        }
    }
}

/// The first function of a child on its own stack.
unsafe extern "C" fn enter<F: FnOnce() -> i32>(packet: *mut u8) -> ! {
    let packet = packet.cast::<Packet<F>>();
    // SAFETY: `spawn` wrote a packet there for this child alone. The fields are moved out one by
    // one because the kernel may still write `tid`.
    let (f, gate) = unsafe { ((&raw const (*packet).f).read(), (*packet).gate) };
    run(f, gate)
}

/// The child's life.
fn run<F: FnOnce() -> i32>(f: F, gate: Option<ChildGate>) -> ! {
    /// Unwinding must not reach the frames below, which belong to the parent.
    struct Panicked;
    impl Drop for Panicked {
        fn drop(&mut self) {
            task::exit_group(PANICKED);
        }
    }
    let _guard = Panicked;
    if let Some(gate) = gate {
        gate.pass();
    }
    task::exit_group(f())
}
