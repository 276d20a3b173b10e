//! The word that says which of thread and handle still use the packet, and the slot of a thread that
//! has one, and the result.
//!
//! "The slot" below stands for both; a task has a packet alone.
//!
//! | bits | meaning | slot is used by | result is dropped by |
//! |---|---|---|---|
//! | none | the closure runs, a handle exists | thread and handle | not decided |
//! | `DETACHED` | the closure runs, no handle | thread | thread |
//! | `COMPLETE` | the closure ended with a handle; destructors run | thread and handle | handle |
//! | `COMPLETE`, `DETACHED` | the closure ended and the handle was dropped; destructors run | thread | the thread if `DETACHED` came first, else the handle |
//! | `COMPLETE`, `READY` | the destructors have run; the thread ends | thread and handle | handle |
//! | `COMPLETE`, `DONE` | the thread will touch nothing of the slot but its stack | handle | handle |
//! | all three | the party that set the last bit gives the slot to the cache, and then touches nothing of it but, as the thread, its stack | none | was dropped |
//! | `DONE` | a startup action failed and the closure did not run | the spawner, in the place of the handle | there is none |
//!
//! A join ends with `COMPLETE`, `DONE`: it takes the result, gives the slot back, and leaves the
//! word.
//!
//! Three bits are for the thread pool, whose threads outlive their tasks: `WAITING`, a joiner sleeps
//! on this word and must be woken; `EXIT_AFTER_TASK`, the kernel thread must end after this task;
//! `WORKER`, the word is that of such a kernel thread, whose tasks have words of their own.
//!
//! Two are for futures: `READY`, set between `COMPLETE` and `DONE` once the destructors have run: a
//! future may take the result, and then sets `DETACHED`; the thread, which still has its own end before
//! it, is the slot's last user; and `HOOKED`, the record has a function that the thread calls when it
//! sets `READY` (`runtime::ready_hook`).
//!
//! While the record is in use no bit is cleared but `HOOKED`; `reset` clears all when it is used again. `WAITING`
//! and `HOOKED` may be set many times, each other bit once. The bits above them count *pins*: calls that are
//! using the thread's tid, for which the thread stays in the kernel a moment longer. A borrowed handle
//! pins, and a walk over all threads; each has a reference to the record, which it drops later than
//! the pin. A fork copies the count: the child clears it in the records of the thread that forked, its
//! task's and its worker's (*reset*), and a pin of before the fork subtracts nothing after it.
//!
//! Orderings:
//! * `COMPLETE` and `DONE` are set with Release: the result is written before the first, and all but
//!   the last user's release comes before the second. They are read with Acquire before the result
//!   is taken or dropped (`is_done`, `wait_task_done`, a `try_detach_running` that fails), and `DONE`
//!   by `detach` before the handle gives the slot back.
//! * `DETACHED` is set with Release after the handle's last use of the slot, and read with Acquire by
//!   `set_complete` and `set_done`, after which the thread drops the result or gives the slot back.
//! * Every change is a read-modify-write, so it continues the release sequence of those before it:
//!   a reader that finds `DONE` under a later pin, `WAITING` or `DETACHED` still synchronises with the
//!   thread that set it. So those changes need no Release for it.

use core::sync::atomic::compiler_fence;

use crate::primitive::atomic::{AtomicU32, Ordering};
use crate::primitive::futex;
use crate::primitive::pauses::Pauses;
use crate::sys::futex::Deadline;

const DETACHED: u32 = 1;
const COMPLETE: u32 = 2;
const DONE: u32 = 4;
const WAITING: u32 = 8;
const EXIT_AFTER_TASK: u32 = 16;
const WORKER: u32 = 32;
const READY: u32 = 64;
const HOOKED: u32 = 128;
const PIN: u32 = 256;
/// The bits that are no count of pins.
const FLAGS: u32 = PIN - 1;

/// The state word of one thread or task: see the module's table.
pub(crate) struct State(AtomicU32);

/// What the thread does with the result when its closure has ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultOwner {
    /// A handle will take it.
    Handle,
    /// There is no handle any more: drop it here.
    Thread,
}

/// Whether the caller was the last user of the slot.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastUser {
    /// The other one still uses it and will give it back.
    No,
    /// The caller gives it back.
    Yes,
}

impl LastUser {
    /// By the bit that the other of thread and handle sets when it is done; 0: not yet.
    fn of_other(bit: u32) -> Self {
        if bit == 0 { Self::No } else { Self::Yes }
    }
}

/// What a pool thread finds when it is done with a task.
pub(crate) struct TaskDone {
    pub(crate) last_user: LastUser,
    /// A joiner sleeps in [`State::wait_task_done`].
    pub(crate) wake: bool,
    /// [`State::request_exit`] was called.
    pub(crate) exit_requested: bool,
}

/// A use of the thread's tid; the thread cannot end meanwhile.
#[must_use]
pub(crate) struct TidPin<'a> {
    state: &'a State,
    /// What counts the forks of this process, and its count at the pin.
    generation: fn() -> u32,
    pinned_in: u32,
}

impl Drop for TidPin<'_> {
    /// In the child of a fork that came since the pin is gone: `reset_pins` has taken it away.
    fn drop(&mut self) {
        if (self.generation)() != self.pinned_in {
            return;
        }
        // Release: the use of the tid before the thread's end. None is left where a signal handler forked
        // before `pin_tid` asked for the generation.
        let _ = self
            .state
            .0
            .fetch_update(Ordering::Release, Ordering::Relaxed, |now| {
                now.checked_sub(PIN)
            });
    }
}

impl State {
    /// A word of its own, for a model.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Sets a bit that is set once for a thread: so the sum carries into no other, and is one instruction.
    fn set_once(&self, bit: u32) -> u32 {
        let before = self.0.fetch_add(bit, Ordering::AcqRel);
        debug_assert!(before & bit == 0);
        before
    }

    /// For the next thread of a record. Relaxed: no other thread reaches the record yet.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// In the child of a fork, for the states of the caller: the threads that pinned its tid in the
    /// parent are not here and will not unpin it, and the caller's own pins are none any more.
    pub(super) fn reset_pins(&self) {
        self.0.fetch_and(FLAGS, Ordering::Relaxed);
    }

    /// Thread: the closure has ended and its result is written.
    pub(crate) fn set_complete(&self) -> ResultOwner {
        if self.set_once(COMPLETE) & DETACHED == 0 {
            ResultOwner::Handle
        } else {
            ResultOwner::Thread
        }
    }

    /// Thread: its thread-locals' destructors have run, so a future may take the result; whether a hook
    /// is set, which the thread must then call. None is set later.
    pub(crate) fn set_ready(&self) -> bool {
        self.set_once(READY) & HOOKED != 0
    }

    /// Handle: its hook is in the record; false if `READY` came first, and the hook will not be called.
    #[must_use]
    pub(crate) fn set_hooked(&self) -> bool {
        // Release: the hook is written. Acquire on failure: the result is there.
        self.0
            .fetch_update(Ordering::Release, Ordering::Acquire, |now| {
                (now & READY == 0).then_some(now | HOOKED)
            })
            .is_ok()
    }

    /// Handle: takes its hook back; false if `READY` came first, and the hook is the thread's.
    #[must_use]
    pub(crate) fn clear_hooked(&self) -> bool {
        // Relaxed: the handle itself wrote the hook. Acquire on failure: the result is there.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Acquire, |now| {
                (now & READY == 0).then_some(now & !HOOKED)
            })
            .is_ok()
    }

    /// Whether a future may take the result: all destructors have run.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) & READY != 0
    }

    /// Thread: it will touch nothing of the slot but its stack, unless it is the last user.
    pub(crate) fn set_done(&self) -> LastUser {
        LastUser::of_other(self.set_once(DONE) & DETACHED)
    }

    /// Handle: detaches while the closure still runs; false if its result is already there, which is
    /// then the handle's to drop before it calls [`State::detach`].
    #[must_use]
    pub(crate) fn try_detach_running(&self) -> bool {
        // Acquire on failure: the result is there.
        self.0
            .fetch_update(Ordering::Release, Ordering::Acquire, |now| {
                (now & COMPLETE == 0).then_some(now | DETACHED)
            })
            .is_ok()
    }

    /// Handle: detaches after it has dropped the result.
    pub(crate) fn detach(&self) -> LastUser {
        LastUser::of_other(self.set_once(DETACHED) & DONE)
    }

    /// Pool thread: as [`State::set_done`], for a task.
    pub(crate) fn set_task_done(&self) -> TaskDone {
        let before = self.set_once(DONE);
        TaskDone {
            last_user: LastUser::of_other(before & DETACHED),
            wake: before & WAITING != 0,
            exit_requested: before & EXIT_AFTER_TASK != 0,
        }
    }

    /// Handle of a task: sleeps until the task is done; false if the deadline came first.
    ///
    /// The word is in permanent memory, so the wake may come late. Pins change it too: every wake and
    /// every change is only a hint to look again.
    pub(crate) fn wait_task_done(&self, deadline: Option<Deadline>) -> bool {
        loop {
            let now = self.0.fetch_or(WAITING, Ordering::Acquire) | WAITING;
            if now & DONE != 0 {
                return true;
            }
            if futex::wait_until(&self.0, now, deadline).is_err() {
                return self.is_done();
            }
        }
    }

    /// Pool thread, where [`TaskDone::wake`] says so: wakes the joiner that sleeps in
    /// [`State::wait_task_done`].
    pub(crate) fn wake_joiner(&self) {
        futex::wake_one(&self.0);
    }

    /// Handle of a task: the kernel thread must not serve another task after this one. Relaxed: the
    /// bit alone matters, and the handle is not done with the task yet.
    pub(crate) fn request_exit(&self) {
        self.0.fetch_or(EXIT_AFTER_TASK, Ordering::Relaxed);
    }

    /// Worker, of its own state: its tasks have others. Relaxed: the bit alone matters.
    pub(crate) fn set_worker(&self) {
        self.0.fetch_or(WORKER, Ordering::Relaxed);
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WORKER != 0
    }

    /// Handle: keeps the thread from ending; `None` if it is done already. `generation` counts the forks of
    /// this process, as the runtime notices them.
    pub(crate) fn pin_tid(&self, generation: fn() -> u32) -> Option<TidPin<'_>> {
        // Relaxed: the count alone matters; that the thread reads it after setting DONE is argued in
        // `wait_for_unpin`.
        let pinned = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now & DONE == 0).then_some(now.wrapping_add(PIN))
            });
        // A `TidPin` must not come to be, and be dropped, for a thread that is done.
        compiler_fence(Ordering::SeqCst);
        pinned.is_ok().then(|| TidPin {
            state: self,
            generation,
            pinned_in: generation(),
        })
    }

    /// Thread: returns when its tid is not in use any more. After [`State::set_done`]: one word
    /// holds both DONE and the count, so every pin came before DONE and is seen here, and none
    /// comes after.
    pub(crate) fn wait_for_unpin(&self) {
        let mut pauses = Pauses::new();
        while self.0.load(Ordering::Acquire) >= PIN {
            // The pin's holder is inside one system call.
            pauses.pause();
        }
    }

    /// Whether the closure has ended, after it was run. Relaxed: for the thread itself.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed) & COMPLETE != 0
    }

    /// Whether the thread has run all destructors and leaves the slot to a handle that is still there.
    pub(crate) fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) & DONE != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The threads that pinned a tid before a fork are not in the child: its thread ends all the same.
    #[test]
    fn pins_of_a_parent_hold_no_childs_thread() {
        let state = State(AtomicU32::new(0));
        core::mem::forget(state.pin_tid(|| 0));
        state.set_worker();
        state.reset_pins();
        assert!(state.is_worker(), "the rest stays");
        assert_eq!(state.set_complete(), ResultOwner::Handle);
        assert_eq!(state.set_done(), LastUser::No);
        state.wait_for_unpin();
    }
    /// A pin that the thread itself has when it forks is none in the child.
    #[test]
    fn a_pin_of_before_a_fork_takes_none_away() {
        use core::sync::atomic::AtomicU32 as Generation;
        static FORKS: Generation = Generation::new(0);
        fn forks() -> u32 {
            FORKS.load(Ordering::Relaxed)
        }
        let state = State(AtomicU32::new(0));
        let of_parent = state.pin_tid(forks);
        FORKS.store(1, Ordering::Relaxed);
        state.reset_pins();
        let of_child = state.pin_tid(forks);
        drop(of_parent);
        assert_eq!(state.0.load(Ordering::Relaxed), PIN);
        drop(of_child);
        assert_eq!(state.0.load(Ordering::Relaxed), 0);
        // The handler forked before the pin asked for the generation.
        let cleared = state.pin_tid(forks);
        state.reset_pins();
        drop(cleared);
        assert_eq!(state.0.load(Ordering::Relaxed), 0);
    }
}
