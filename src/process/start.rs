//! How the child of a [`Builder`](super::Builder) gets to its closure, and its life there.
#![allow(unsafe_code, reason = "makes a process by hand")]

use core::mem::ManuallyDrop;

use super::footing::{Footing, Sitter};
use super::fork;
use super::gate::ChildGate;
use crate::error::Error;
use crate::stack::layout;
use crate::sys::{Errno, clone, task};

/// The exit code of a child whose closure panicked, as of a Rust program whose main panicked.
const PANICKED: i32 = 101;

/// What the child of a shared memory finds at the top of its stack.
struct Packet<F> {
    f: F,
    gate: Option<ChildGate>,
    sitter: Option<Sitter>,
    /// Where `CHILD_SETTID` and `CHILD_CLEARTID` point, if no seat has a word for them.
    tid: u32,
}

/// How the child gets to its closure.
pub(super) enum Start<F> {
    /// It runs on from the caller's frame, in a copy of it.
    Copy {
        f: ManuallyDrop<F>,
        gate: Option<ChildGate>,
        tid: u32,
    },
    /// It starts on its own stack, with a packet there that holds the closure.
    Own {
        packet: *mut u8,
        footing: Footing,
        f: core::marker::PhantomData<F>,
    },
}

/// Bytes that a start takes of the child's stack.
pub(super) const fn room<F>() -> usize {
    size_of::<Packet<F>>() + align::<F>()
}

const fn align<F>() -> usize {
    if align_of::<Packet<F>>() > 16 {
        align_of::<Packet<F>>()
    } else {
        16
    }
}

impl<F: FnOnce() -> i32> Start<F> {
    /// For a child with a memory of its own.
    pub(super) fn copy(f: F, gate: Option<ChildGate>) -> Self {
        Self::Copy {
            f: ManuallyDrop::new(f),
            gate,
            tid: 0,
        }
    }

    /// For a child on `footing`, which has [`room`] for it.
    pub(super) fn own(f: F, gate: Option<ChildGate>, footing: Footing) -> Result<Self, Error> {
        let (bottom, top) = footing.stack();
        let place = layout::align_below(top, size_of::<Packet<F>>(), align::<F>());
        let Some(packet) = place.filter(|place| *place > bottom) else {
            return Err(Error::invalid_input(
                "the child's stack does not hold its closure",
                "Ask for a larger stack, or capture less.",
            ));
        };
        let packet = packet as *mut Packet<F>;
        // SAFETY: inside the fresh stack, aligned.
        unsafe {
            packet.write(Packet {
                f,
                gate,
                sitter: footing.sitter(),
                tid: 0,
            });
        }
        Ok(Self::Own {
            packet: packet.cast(),
            footing,
            f: core::marker::PhantomData,
        })
    }

    /// Fills in where the child starts and where the kernel stores what it is asked to.
    pub(super) fn complete(&mut self, request: &mut clone::CloneArgs) {
        match self {
            Self::Copy { tid, .. } => request.child_tid = &raw mut *tid as usize,
            Self::Own {
                packet, footing, ..
            } => {
                // SAFETY: the packet was written by `own`.
                request.child_tid = unsafe { &raw mut (*packet.cast::<Packet<F>>()).tid } as usize;
                let bottom = footing.stack().0;
                request.stack = bottom;
                request.stack_size = (*packet as usize - bottom) & !15;
                footing.complete(request);
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
            Self::Own {
                packet, footing, ..
            } => {
                footing.occupy(true);
                // SAFETY: the stack is fresh, ends below the packet, aligned to 16.
                let made = unsafe { clone::clone_onto_stack(request, enter::<F>, *packet) };
                if made.is_err() {
                    footing.occupy(false);
                }
                made
            }
            Self::Copy { f, gate, .. } => {
                // SAFETY: no VM, so the child has its own copy of this stack.
                match unsafe { clone::clone_fork(request) }? {
                    0 => {
                        fork::notice();
                        // SAFETY: the child's copy, taken once: this branch does not return.
                        let f = unsafe { ManuallyDrop::take(f) };
                        #[cfg(not(feature = "hosted"))]
                        crate::runtime::freestanding::after_fork();
                        let code = run(f, *gate);
                        task::exit_group(code)
                    }
                    pid => Ok(pid),
                }
            }
        }
    }

    /// After the last [`clone`](Self::clone): drops what is the caller's, returns what the child
    /// stands on.
    pub(super) fn finish(self, made: bool) -> Option<Footing> {
        match self {
            Self::Copy { f, .. } => {
                // The parent's copy; the child has its own.
                drop(ManuallyDrop::into_inner(f));
                None
            }
            Self::Own {
                packet, footing, ..
            } => {
                if !made {
                    // SAFETY: no child was made, so the packet is ours and as written.
                    drop(unsafe { packet.cast::<Packet<F>>().read() });
                }
                made.then_some(footing)
            }
        }
    }
}

/// The life of a child on its own stack.
unsafe extern "C" fn enter<F: FnOnce() -> i32>(packet: *mut u8) -> ! {
    let packet = packet.cast::<Packet<F>>();
    // SAFETY: `own` wrote a packet there for this child alone. The fields are moved out one by
    // one because the kernel may still write `tid`.
    let (f, gate, sitter) = unsafe {
        (
            (&raw const (*packet).f).read(),
            (*packet).gate,
            (*packet).sitter,
        )
    };
    if let Some(sitter) = sitter {
        // SAFETY: this is the child's first step, on its seat.
        unsafe { sitter.sit() };
    }
    let code = run(f, gate);
    if let Some(sitter) = sitter {
        // SAFETY: the closure is over; below is a raw system call.
        unsafe { sitter.leave() };
    }
    task::exit_group(code)
}

/// Passes the gate and runs the closure; 101 if it panics.
fn run<F: FnOnce() -> i32>(f: F, gate: Option<ChildGate>) -> i32 {
    /// Unwinding must not reach the frames below, which belong to the parent.
    struct Panicked;
    impl Drop for Panicked {
        fn drop(&mut self) {
            task::exit_group(PANICKED);
        }
    }
    if let Some(gate) = gate {
        gate.pass();
    }
    let guard = Panicked;
    let code = catch(f);
    core::mem::forget(guard);
    code
}

#[cfg(feature = "std")]
fn catch<F: FnOnce() -> i32>(f: F) -> i32 {
    // What the closure leaves half done is seen by nobody in this process again; in shared memory
    // it is by contract the caller's care.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(PANICKED)
}

#[cfg(not(feature = "std"))]
fn catch<F: FnOnce() -> i32>(f: F) -> i32 {
    f()
}
