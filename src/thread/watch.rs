//! Who, beside its handle, is told of a thread's end: a scope or a set that waits for it, or nobody.
#![allow(
    unsafe_code,
    reason = "tells somebody whose memory may go with the telling"
)]

use super::scope::Ledger;
use super::set::Member;
use crate::arena::ArenaEntry;

/// Whom a thread tells, once, as the last thing it does.
///
/// A thread whose closure never ran tells nobody: its spawner has the error.
#[derive(Clone, Copy)]
pub(super) enum Watch {
    /// The handle finds out by itself.
    Nobody,
    /// The scope it was spawned in, which lives until it was told by every thread of it.
    Scope(*const Ledger),
    /// The set it was spawned in, or what such a set left behind.
    Set(&'static ArenaEntry<Member>),
}

impl Watch {
    /// Thread: its closure panicked, and the payload is in the packet.
    ///
    /// # Safety
    /// [`Watch::done`] was not called yet.
    pub(super) unsafe fn panicked(self) {
        match self {
            Self::Nobody | Self::Set(_) => {}
            // SAFETY: the scope lives until `done`.
            Self::Scope(ledger) => unsafe { (*ledger).panicked() },
        }
    }

    /// Thread: it is done, its thread-locals' destructors included, and touches nothing any more
    /// but its stack.
    ///
    /// # Safety
    /// Called once, after which whom it told may be gone.
    pub(super) unsafe fn done(self) {
        match self {
            Self::Nobody => {}
            // SAFETY: the scope lives until this.
            Self::Scope(ledger) => unsafe { Ledger::leave(ledger) },
            Self::Set(member) => Member::done(member),
        }
    }

    /// Whether a scope waits: the thread may borrow.
    #[cfg(feature = "panic-thread")]
    pub(super) fn is_scope(self) -> bool {
        matches!(self, Self::Scope(_))
    }
}
