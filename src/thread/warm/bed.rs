//! Where an idle thread waits for what it is given: the part that is a futex's or
//! `parking_lot_core`'s.

use core::time::Duration;

/// What an idle thread is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// A task's packet: the thread's to run.
    Task(*mut ()),
    /// The order to end.
    Leave,
}

/// A place to wait in, for one thread at a time, in permanent memory.
///
/// Invariants:
/// * HANDOFF-1: the thread calls `make`, then lets one spawner at a time know of the bed, then `sleep`.
/// * HANDOFF-2: who was let know calls `give` once; with `false` the bed is the caller's, with `true` it
///   is the thread's again.
/// * HANDOFF-3: when `sleep` returns `None` the thread touches the bed no more.
pub(crate) trait Bed {
    /// Thread: nothing is given yet.
    fn make(&self);

    /// Thread: sleeps until something is given; `None` if `time` was over first, after which
    /// nothing is.
    fn sleep(&self, time: Duration) -> Option<Given>;

    /// Spawner: gives the thread something, and wakes it; false if its time was over. What the
    /// spawner wrote before is there for the thread.
    fn give(&self, what: Given) -> bool;
}
