//! What a finishing thread notifies beside its handle: a scope, a set, or nothing.
#![allow(
    unsafe_code,
    reason = "notifies a scope whose memory may go with the notification"
)]

use core::mem;
use core::sync::atomic::{Ordering, compiler_fence};

use super::scope_data::ScopeData;
use super::set_entry::SetEntry;
use crate::arena::ArenaEntry;
use crate::runtime::record::ThreadRef;
use crate::runtime::{Rt, Runtime};
use crate::sys::sched::Pauses;
use crate::sys::{signal, task};

/// What a thread notifies, once, as the last thing it does.
///
/// A thread whose closure never ran notifies nothing: its spawner has the error.
#[derive(Clone, Copy)]
pub(in crate::thread) enum ExitObserver {
    /// Nothing: the handle finds out by itself.
    None,
    /// The scope it was spawned in, which lives until every thread of it has notified it.
    Scope(*const ScopeData),
    /// The entry in the set it was spawned in, which the set may have been dropped without.
    Set(&'static ArenaEntry<SetEntry>),
}

impl ExitObserver {
    /// Spawner, last before the clone: counts a thread that is to notify this. No code of the program may
    /// run until the thread is made: it could fork (SCOPE-3).
    ///
    /// # Safety
    /// The scope lives until every thread that was counted has notified it.
    pub(in crate::thread) unsafe fn count(self) -> Counted {
        let process = match self {
            // SAFETY: by the contract.
            Self::Scope(scope) => unsafe { (*scope).increment() },
            Self::None | Self::Set(_) => Rt::fork_generation(),
        };
        Counted {
            observer: self,
            process,
        }
    }

    /// Thread: what it notifies now that it may have forked since [`Runtime::fork_generation`] was
    /// `process`.
    ///
    /// In the child the thread that waits for the scope does not exist, and its stack, where the
    /// scope's data lie, may be another thread's. A set's memory is permanent.
    pub(in crate::thread) fn after_fork(self, process: u32) -> Self {
        match self {
            Self::Scope(_) if Rt::fork_generation() != process => Self::None,
            observer => observer,
        }
    }

    /// Thread: its closure panicked, and the payload is in the packet.
    ///
    /// # Safety
    /// [`ExitObserver::done`] was not called yet.
    pub(in crate::thread) unsafe fn panicked(self) {
        match self {
            Self::None | Self::Set(_) => {}
            // SAFETY: the scope lives until `done`.
            Self::Scope(scope) => unsafe { (*scope).panicked() },
        }
    }

    /// Thread: it is done, its thread-locals' destructors included, and touches nothing any more
    /// but its stack.
    ///
    /// # Safety
    /// Called once, after which the scope may be gone.
    pub(in crate::thread) unsafe fn done(self) {
        match self {
            Self::None => {}
            // SAFETY: the scope lives until this.
            Self::Scope(scope) => unsafe { ScopeData::decrement(scope) },
            Self::Set(entry) => SetEntry::done(entry),
        }
    }

    /// Whether a scope waits: the thread may borrow.
    pub(in crate::thread) fn is_scope(self) -> bool {
        matches!(self, Self::Scope(_))
    }
}

/// A thread that an observer counts, and that is not made yet.
pub(in crate::thread) struct Counted {
    observer: ExitObserver,
    /// By [`Runtime::fork_generation`]: the process in which it was counted.
    pub(in crate::thread) process: u32,
}

impl Counted {
    /// Whether a signal handler has forked since: the count is the parent's.
    pub(in crate::thread) fn is_of_parent(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        self.process != Rt::fork_generation()
    }

    /// The thread was made, as `record` says, and notifies the observer.
    ///
    /// A handler may have forked in the few instructions before the clone, and in those after it. In the
    /// second case the thread is the parent's alone. In the first it is the child's, and notifies no
    /// scope: what it borrows stays here until it is done.
    pub(in crate::thread) fn made(self, record: &ThreadRef) {
        if self.is_of_parent() && self.observer.is_scope() {
            wait_while_running(record);
        }
        mem::forget(self);
    }
}

impl Drop for Counted {
    /// No thread was made.
    fn drop(&mut self) {
        if let (ExitObserver::Scope(scope), false) = (self.observer, self.is_of_parent()) {
            // SAFETY: it was counted, and no thread was made that could decrement the count.
            unsafe { ScopeData::decrement(scope) };
        }
    }
}

/// Returns when the thread has done its work, or is none of this process.
#[cold]
fn wait_while_running(record: &ThreadRef) {
    let (pid, mut pauses) = (task::pid(), Pauses::new());
    while !record.state().is_done() && signal::send_to_thread(pid, record.tid(), 0).is_ok() {
        pauses.pause();
    }
}
