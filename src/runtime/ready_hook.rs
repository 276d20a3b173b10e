//! What a thread calls when its result can be taken: how a future of a thread learns of its end.
//!
//! The hook lies in the thread's record. Two bits of the state word say whose the cell is:
//!
//! | `HOOKED` | `READY` | the cell | belongs to |
//! |---|---|---|---|
//! | no | no | empty | the handle, which may write it |
//! | yes | no | a hook | no party: the handle clears `HOOKED` before it writes again |
//! | yes | yes | a hook, until the thread has taken it | the thread, which takes it once |
//! | no | yes | empty | no party: the result is there, and no hook is set any more |
//!
//! Transitions: *arm* (handle, `HOOKED` set while `READY` is not), *disarm* (handle, `HOOKED` cleared
//! while `READY` is not), *ready* (thread, `READY` set, once). All three are read-modify-writes of one
//! word, so one comes first: either the thread sees the hook, or *arm* fails and the handle has the
//! result. No wake is lost.
//!
//! * HOOK-1: The cell is written by the handle alone, while `HOOKED` is clear, and moved out by the thread
//!   alone, after `READY` was set with `HOOKED`.
//!
//! Orderings: *arm* is a Release after the write and *ready* an Acquire before the thread reads. *ready*
//! is a Release after the result, and a failed *arm* or *disarm*, or [`State::is_ready`], an Acquire
//! before the handle takes it.
#![allow(unsafe_code, reason = "shares a cell by two bits of another word")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use super::state::State;

/// A function and its two words. Whichever party takes it out of the cell owns what the words stand for.
#[derive(Clone, Copy)]
pub(crate) struct ReadyHook {
    /// Called once, on the thread, where code of the program may run.
    pub(crate) run: unsafe fn([*const (); 2]),
    pub(crate) words: [*const (); 2],
}

/// Where a record keeps the hook.
pub(super) struct HookCell(UnsafeCell<MaybeUninit<ReadyHook>>);

impl HookCell {
    /// Handle: sets the hook.
    ///
    /// # Errors
    /// `READY` is set: the thread will call no hook. What the words stand for stays the caller's.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and no hook of its is set.
    pub(super) unsafe fn arm(&self, state: &State, hook: ReadyHook) -> Result<(), ()> {
        if state.is_ready() {
            return Err(());
        }
        // SAFETY: HOOK-1: `HOOKED` is clear, so the cell is the handle's.
        unsafe { (*self.0.get()).write(hook) };
        if state.set_hooked() { Ok(()) } else { Err(()) }
    }

    /// Handle: takes the hook back; `None` if the thread has it.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and its hook is set.
    pub(super) unsafe fn disarm(&self, state: &State) -> Option<ReadyHook> {
        // SAFETY: HOOK-1: `HOOKED` was cleared by this call, so the cell is the handle's, which wrote it.
        state
            .clear_hooked()
            .then(|| unsafe { (*self.0.get()).assume_init() })
    }

    /// Handle: the words of the hook that it set. The thread may read them at the same time.
    ///
    /// # Safety
    /// The caller is the thread's one handle, and has set a hook.
    pub(super) unsafe fn words(&self) -> [*const (); 2] {
        // SAFETY: HOOK-1: the caller wrote the cell, and no other party writes.
        unsafe { (*self.0.get()).assume_init() }.words
    }

    /// Thread: takes the hook.
    ///
    /// # Safety
    /// [`State::set_ready`] returned true; called once.
    pub(super) unsafe fn take(&self) -> ReadyHook {
        // SAFETY: HOOK-1: `READY` and `HOOKED` are set, so the cell is the thread's.
        unsafe { (*self.0.get()).assume_init() }
    }
}
