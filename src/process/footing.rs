//! What a child that shares memory stands on: a bare stack, or a seat with a thread identity.
#![allow(unsafe_code, reason = "hands stacks and identities to other processes")]

use core::sync::atomic::{AtomicU32, Ordering};

use super::ground::Ground;
use crate::diagnosis;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::runtime::{CloneTls, Rt, Runtime, Slot};
use crate::stack::layout;
use crate::stack::slot::{ALIVE, Acquired};
use crate::sys::clone::CloneArgs;
use crate::sys::{Errno, memory};

/// What a child that shares memory stands on, freed when dropped: by then the child must have left
/// it.
pub(super) enum Footing {
    /// The thread pointer is the maker's.
    Bare(Ground),
    /// The child has a thread pointer of its own.
    Seat(Seat),
}

impl Footing {
    /// The lowest address of the stack and its end, which is aligned to 16.
    pub(super) fn stack(&self) -> (usize, usize) {
        match self {
            Self::Bare(ground) => (ground.bottom(), ground.top() as usize),
            Self::Seat(seat) => (seat.bottom, seat.state as usize),
        }
    }

    /// The seat's part of what clone is asked for.
    pub(super) fn complete(&self, request: &mut CloneArgs) {
        if let Self::Seat(seat) = self {
            request.flags |= SEAT_FLAGS.bits();
            request.tls = seat.words.tls;
            request.parent_tid = seat.words.parent_tid;
            request.child_tid = seat.slot.clear_tid().as_ptr() as usize;
        }
    }

    /// Whether the kernel has said that the child left; never for a bare stack.
    pub(super) fn is_left(&self) -> bool {
        match self {
            Self::Bare(_) => false,
            // Acquire: the child's last stores happened before the kernel's.
            Self::Seat(seat) => seat.slot.clear_tid().load(Ordering::Acquire) == 0,
        }
    }

    /// What the child needs to know of its seat.
    pub(super) fn sitter(&self) -> Option<Sitter> {
        match self {
            Self::Bare(_) => None,
            Self::Seat(seat) => Some(Sitter {
                slot: seat.slot,
                state: seat.state,
            }),
        }
    }

    /// Says whether a child is or may be there: before clone, and after it if it failed.
    pub(super) fn occupy(&self, occupied: bool) {
        if let Self::Seat(seat) = self {
            let state = if occupied { TAKEN } else { FREE };
            // Relaxed: the clone call orders it for the child.
            seat.state().store(state, Ordering::Relaxed);
        }
    }
}

/// The flags that give a child its identity, and tell when it has left it.
pub(super) const SEAT_FLAGS: CloneFlags = CloneFlags::SETTLS
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_CLEARTID);

/// A slot of the runtime's, with the state of its use in a word at the top of its stack:
///
/// | word | meaning | becomes |
/// |---|---|---|
/// | `FREE` | no child was made; the identity is prepared | `TAKEN` by the maker |
/// | `TAKEN` | a child may be there | `FREE` by the maker if clone failed, `LEFT` by the child |
/// | `LEFT` | the child has put the identity in order, and leaves | |
///
/// The child's store of `LEFT` is a Release, the maker's load an Acquire: the identity is in order
/// before the slot goes back to the cache.
pub(super) struct Seat {
    slot: Slot,
    words: CloneTls,
    bottom: usize,
    state: *const AtomicU32,
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const LEFT: u32 = 2;

// SAFETY: a held slot belongs to the process, not to a thread (SLOT-1 of `stack::slot`), and the state
// word is an atomic in its memory.
unsafe impl Send for Seat {}
// SAFETY: as above.
unsafe impl Sync for Seat {}

impl Seat {
    /// A seat with at least `size` bytes of stack.
    ///
    /// # Errors
    /// `Unsupported` where there are no thread identities; a limit; the size.
    pub(super) fn take(size: usize) -> Result<Self, Error> {
        Rt::ensure_init()?;
        let room = size
            .checked_add(STATE_ROOM)
            .and_then(|size| size.checked_add(Rt::tcb_reserve()))
            .ok_or(TOO_LARGE)?;
        let taken = Rt::cache().acquire(room, memory::page_size());
        let slot = match taken.map_err(|errno| match errno {
            Errno::EINVAL => TOO_LARGE,
            errno => diagnosis::map_error(errno, room),
        })? {
            Acquired::WithTcb(slot) => slot,
            Acquired::Uninit(slot) => {
                // SAFETY: an uninitialised slot with guards, ours alone.
                if let Err(error) = unsafe { Rt::create_tcb(slot) } {
                    Rt::cache().release_uninit(slot);
                    return Err(error);
                }
                slot
            }
        };
        // SAFETY: ours alone, vacant, and minted.
        let words = unsafe { Rt::prepare_clone(slot) };
        slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        let Some(state) = layout::align_below(words.stack_top, STATE_ROOM, STATE_ROOM) else {
            unreachable!("a slot's stack lies above address 16");
        };
        let state = state as *mut AtomicU32;
        // SAFETY: in the slot's stack, above every frame of the child to come.
        unsafe { state.write(AtomicU32::new(FREE)) };
        Ok(Self {
            slot,
            words,
            bottom: slot.region().stack().0 as usize,
            state,
        })
    }

    fn state(&self) -> &AtomicU32 {
        // SAFETY: written by `take`; the slot is held as long as `self` is.
        unsafe { &*self.state }
    }
}

/// The stack's end stays aligned to 16.
const STATE_ROOM: usize = 16;

const TOO_LARGE: Error = Error::invalid_input(
    "the child's stack size does not fit into the address space",
    "Ask for a smaller one.",
);

impl Drop for Seat {
    fn drop(&mut self) {
        match self.state().load(Ordering::Acquire) {
            FREE => {
                self.slot.clear_tid().store(0, Ordering::Relaxed);
                // SAFETY: prepared by `take`, and no child came to be.
                unsafe { Rt::cancel_clone(self.slot) };
                Rt::cache().release(self.slot);
            }
            LEFT => Rt::cache().release(self.slot),
            // The child was killed, or became another program, amid its thread-locals: nobody can
            // tell in which state they are. The slot is given up, identity and all; but it must
            // not be known by the tid of a process that is gone.
            // SAFETY: as above; the child is gone.
            _ => unsafe { Rt::cancel_clone(self.slot) },
        }
    }
}

/// The child's side of a seat.
#[derive(Clone, Copy)]
pub(super) struct Sitter {
    slot: Slot,
    state: *const AtomicU32,
}

impl Sitter {
    /// The child's first step.
    ///
    /// # Safety
    /// The caller was cloned onto this seat, with its words.
    pub(super) unsafe fn sit(self) {
        // SAFETY: passed on.
        unsafe { Rt::on_thread_start(self.slot) };
    }

    /// The child's last step but exit: destructors of thread-locals, and the identity as it was.
    ///
    /// # Safety
    /// As [`sit`](Self::sit), after the closure; then nothing but raw system calls.
    pub(super) unsafe fn leave(self) {
        // SAFETY: passed on; the maker keeps the slot, and so the word, until the child is gone.
        unsafe {
            Rt::run_destructors(self.slot);
            Rt::on_thread_exit(self.slot);
            (*self.state).store(LEFT, Ordering::Release);
        }
    }
}
