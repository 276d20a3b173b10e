//! The stack of a child that shares memory, with or without a thread control block.
#![allow(unsafe_code, reason = "hands stacks and TCBs to other processes")]

use core::sync::atomic::{AtomicU32, Ordering};

use super::guarded_stack::GuardedStack;
use super::status::ExitStatus;
use super::steps::{self, MemoryGuard};
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::runtime::{CloneTls, Rt, Runtime, Slot, acquire};
use crate::stack::layout;
use crate::stack::slot::ALIVE;
use crate::sys::clone::CloneArgs;
use crate::sys::memory;

/// The stack of a child that shares memory. It is freed when dropped: by then the child must have
/// left it.
pub(super) struct ChildStack {
    place: Place,
    _guard: MemoryGuard,
}

enum Place {
    /// The child keeps the thread pointer of its caller.
    Plain(GuardedStack),
    /// The child has a thread pointer of its own.
    WithTcb(TcbStack),
}

impl ChildStack {
    /// At least `size` bytes, with a thread control block or without; `guard` is kept with them.
    ///
    /// # Errors
    /// A limit; the size; `Unsupported` where no TCB can be made.
    pub(super) fn new(size: usize, own_tls: bool, guard: MemoryGuard) -> Result<Self, Error> {
        let place = if own_tls {
            Place::WithTcb(TcbStack::acquire(size)?)
        } else {
            Place::Plain(GuardedStack::new(size)?)
        };
        Ok(Self {
            place,
            _guard: guard,
        })
    }

    /// The lowest address of the stack and its end, which is aligned to 16.
    pub(super) fn bounds(&self) -> (usize, usize) {
        match &self.place {
            Place::Plain(stack) => (stack.bottom(), stack.top() as usize),
            Place::WithTcb(tcb) => (tcb.bottom, tcb.state as usize),
        }
    }

    /// The TCB stack's part of what clone is asked for.
    pub(super) fn fill_clone_args(&self, request: &mut CloneArgs) {
        if let Place::WithTcb(tcb) = &self.place {
            request.flags |= TCB_FLAGS.bits();
            request.tls = tcb.words.tls;
            request.parent_tid = tcb.words.parent_tid;
            // The tid in the thread control block: the kernel takes it away with the child, before
            // another task can have that number, and libc never takes that one for the child.
            request.child_tid = tcb.words.parent_tid;
        }
    }

    /// Whether the kernel has said that the child left; never for a plain stack.
    pub(super) fn has_exited(&self) -> bool {
        match &self.place {
            Place::Plain(_) => false,
            // Acquire: the child's last stores happened before the kernel's.
            Place::WithTcb(tcb) => tcb.tid().load(Ordering::Acquire) == 0,
        }
    }

    /// The child was waited for: whether it ended at a call of its own, or a signal ended it anywhere.
    pub(super) fn set_status(&mut self, status: ExitStatus) {
        if let Place::WithTcb(tcb) = &mut self.place {
            tcb.is_intact = status.code().is_some();
        }
    }

    /// What the child needs to know of its TCB stack.
    pub(super) fn child_tcb(&self) -> Option<ChildTcb> {
        match &self.place {
            Place::Plain(_) => None,
            Place::WithTcb(tcb) => Some(ChildTcb {
                slot: tcb.slot,
                state: tcb.state,
            }),
        }
    }

    /// Says whether a child is or may be there: before clone, and after it if it failed.
    pub(super) fn set_in_use(&self, in_use: bool) {
        if let Place::WithTcb(tcb) = &self.place {
            let state = if in_use { IN_USE } else { UNUSED };
            // Relaxed: the clone call orders it for the child.
            tcb.state().store(state, Ordering::Relaxed);
        }
    }
}

impl Drop for ChildStack {
    fn drop(&mut self) {
        let (bottom, top) = self.bounds();
        steps::left_stack(bottom, top);
    }
}

/// The flags that give a child its TCB, and that clear the tid in it at the child's end.
pub(super) const TCB_FLAGS: CloneFlags = CloneFlags::SETTLS
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_CLEARTID);

/// A slot of the runtime's, with the state of its use in a word at the top of its stack:
///
/// | word | meaning | becomes |
/// |---|---|---|
/// | `UNUSED` | no child was made; the TCB is prepared | `IN_USE` by the parent |
/// | `IN_USE` | a child may be there | `UNUSED` by the parent if clone failed, `EXITED` by the child |
/// | `EXITED` | the child has reset the TCB, and leaves | |
///
/// The child's store of `EXITED` is a Release, the parent's load an Acquire: the TCB is in order
/// before the slot goes back to the cache.
struct TcbStack {
    slot: Slot,
    words: CloneTls,
    bottom: usize,
    /// See [`Runtime::recover`].
    is_intact: bool,
    state: *const AtomicU32,
}

const UNUSED: u32 = 0;
const IN_USE: u32 = 1;
const EXITED: u32 = 2;

// SAFETY: a held slot belongs to the process, not to a thread (SLOT-1 of `stack::slot`), and the state
// word is an atomic in its memory.
unsafe impl Send for TcbStack {}
// SAFETY: as above.
unsafe impl Sync for TcbStack {}

impl TcbStack {
    /// A TCB stack with at least `size` bytes of stack.
    ///
    /// # Errors
    /// `Unsupported` where no TCB can be made; a limit; the size.
    fn acquire(size: usize) -> Result<Self, Error> {
        Rt::ensure_init()?;
        Rt::prepare_to_recover();
        let stack_size = size
            .checked_add(STATE_SIZE)
            .and_then(|size| size.checked_add(Rt::tcb_reserve()))
            .ok_or(TOO_LARGE)?;
        let slot = acquire::acquire_slot(stack_size, memory::page_size(), TOO_LARGE)?;
        // SAFETY: ours alone, vacant, and with a TCB.
        let words = unsafe { Rt::prepare_clone(slot) };
        slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        let Some(state) = layout::align_below(words.stack_top, STATE_SIZE, STATE_SIZE) else {
            unreachable!("a slot's stack lies above address 16");
        };
        let state = state as *mut AtomicU32;
        // SAFETY: in the slot's stack, above every frame of the child to come.
        unsafe { state.write(AtomicU32::new(UNUSED)) };
        Ok(Self {
            slot,
            words,
            bottom: slot.region().stack().0 as usize,
            is_intact: false,
            state,
        })
    }

    /// The child's tid in its thread control block; 0 before the child and after it.
    fn tid(&self) -> &AtomicU32 {
        // SAFETY: `prepare` gave the address of that word, which lies in the slot, or in memory
        // that lasts as long.
        unsafe { &*(self.words.parent_tid as *const AtomicU32) }
    }

    fn state(&self) -> &AtomicU32 {
        // SAFETY: written by `acquire`; the slot is held as long as `self` is.
        unsafe { &*self.state }
    }
}

/// The stack's end stays aligned to 16.
const STATE_SIZE: usize = 16;

const TOO_LARGE: Error = Error::invalid_input(
    "the child's stack size does not fit into the address space",
    "Ask for a smaller one.",
);

impl Drop for TcbStack {
    fn drop(&mut self) {
        // The slot's own word said that it is taken; no child clears it.
        self.slot.clear_tid().store(0, Ordering::Relaxed);
        match self.state().load(Ordering::Acquire) {
            UNUSED => {
                // SAFETY: prepared by `acquire`, and no child came to be.
                unsafe { Rt::cancel_clone(self.slot) };
                Rt::cache().put_idle(self.slot);
            }
            EXITED => Rt::cache().put_idle(self.slot),
            // The child was killed, or became another program, amid its thread-locals. The kernel has
            // cleared the tid.
            // SAFETY: the child is gone, as the slot's word says; the slot is still held.
            _ if unsafe { Rt::recover(self.slot, self.is_intact) } => {
                Rt::cache().put_idle(self.slot);
            }
            // The slot is leaked with its TCB.
            // SAFETY: the child has left the stack, and no frame of it will be read again.
            _ => unsafe { self.slot.region().discard_stack_below(self.words.stack_top) },
        }
    }
}

/// The child's side of a TCB stack.
#[derive(Clone, Copy)]
pub(super) struct ChildTcb {
    slot: Slot,
    state: *const AtomicU32,
}

impl ChildTcb {
    /// The child's first step.
    ///
    /// # Safety
    /// The caller was cloned onto this TCB stack, with its words.
    pub(super) unsafe fn enter(self) {
        // SAFETY: passed on.
        unsafe { Rt::on_thread_start(self.slot) };
    }

    /// The child's last step but exit: runs the destructors of thread-locals and resets the TCB.
    ///
    /// # Safety
    /// As [`enter`](Self::enter), after the closure; then nothing but raw system calls.
    ///
    /// The tid stays for the kernel to clear: only then has the child left the stack. setuid of the
    /// parent's does not wait for it meanwhile, for to signal it among the parent's threads fails.
    pub(super) unsafe fn exit(self) {
        // SAFETY: passed on; the parent keeps the slot, and so the word, until the child is gone.
        unsafe {
            Rt::run_destructors(self.slot);
            Rt::reset_for_reuse(self.slot);
            (*self.state).store(EXITED, Ordering::Release);
        }
    }
}
