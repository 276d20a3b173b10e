//! Who, beside its handle, is told of a thread's end: a scope or a set that waits for it, or nobody.
#![allow(
    unsafe_code,
    reason = "tells somebody whose memory may go with the telling"
)]

use crate::arena::ArenaEntry;
use crate::runtime::{Rt, Runtime};
use crate::thread::scope::ScopeData;
use crate::thread::set::SetEntry;

/// Whom a thread tells, once, as the last thing it does.
///
/// A thread whose closure never ran tells nobody: its spawner has the error.
#[derive(Clone, Copy)]
pub(in crate::thread) enum ExitObserver {
    /// The handle finds out by itself.
    None,
    /// The scope it was spawned in, which lives until it was told by every thread of it.
    Scope(*const ScopeData),
    /// The set it was spawned in, or what such a set left behind.
    Set(&'static ArenaEntry<SetEntry>),
}

impl ExitObserver {
    /// Thread: whom it tells now that it may have forked since `process` was [`Runtime::fork_generation`].
    ///
    /// In the child the thread that waits for the scope does not exist, and its stack, where the
    /// ledger lies, may be another thread's. A set's memory is permanent.
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
    /// Called once, after which whom it told may be gone.
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
