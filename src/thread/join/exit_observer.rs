//! What a finishing thread notifies beside its handle: a scope, a set, or nothing.
#![allow(
    unsafe_code,
    reason = "notifies a scope whose memory may go with the notification"
)]

use super::scope_data::ScopeData;
use super::set_entry::SetEntry;
use crate::arena::ArenaEntry;
use crate::runtime::{Rt, Runtime};

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
    #[cfg(feature = "panic-thread")]
    pub(in crate::thread) fn is_scope(self) -> bool {
        matches!(self, Self::Scope(_))
    }
}
