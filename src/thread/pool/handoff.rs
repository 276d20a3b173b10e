//! Where an idle thread waits for what it is given.

use core::time::Duration;

/// What an idle thread is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A task's packet: the thread's to run.
    Run(*mut ()),
    /// The order to end.
    Exit,
}

/// A place to wait in, for one thread at a time, in permanent memory.
///
/// Invariants:
/// * HANDOFF-1: the thread calls `reset`, then lets one spawner at a time know of the handoff, then `wait`.
/// * HANDOFF-2: who was let know calls `send` once; with `false` the handoff is the caller's, with `true` it
///   is the thread's again.
/// * HANDOFF-3: when `wait` returns `None` the thread touches the handoff no more.
pub(crate) trait Handoff {
    /// Thread: nothing is given yet.
    fn reset(&self);

    /// Thread: sleeps until something is given; `None` if `time` was over first, after which
    /// nothing is.
    fn wait(&self, time: Duration) -> Option<Message>;

    /// Spawner: gives the thread something, and wakes it; false if its time was over. What the
    /// spawner wrote before is there for the thread.
    fn send(&self, message: Message) -> bool;
}
