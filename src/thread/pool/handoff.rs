//! Where an idle worker waits for its next message.

use core::ptr::NonNull;
use core::time::Duration;

/// What an idle worker is sent; `P` is a task's packet.
#[derive(Debug)]
pub(crate) enum Message<P> {
    /// A packet: the worker's to run.
    Run(NonNull<P>),
    /// The order to exit.
    Exit,
}

/// A cell for one message, of one worker at a time, in permanent memory.
///
/// Invariants:
/// * HANDOFF-1: The worker calls `reset`, then shows the handoff to one spawner at a time, then calls
///   `wait`.
/// * HANDOFF-2: A spawner to which it was shown calls `send` once; after `false` the handoff is the
///   spawner's, after `true` the worker's again.
/// * HANDOFF-3: When `wait` returns `None` the worker touches the handoff no more.
pub(crate) trait Handoff<P> {
    /// Worker: empties the cell.
    fn reset(&self);

    /// Worker: whether `wait` would find a message, at this instant.
    fn has_message(&self) -> bool;

    /// Worker: sleeps until there is a message; `None` if `time` was over first, after which none
    /// is accepted.
    fn wait(&self, time: Duration) -> Option<Message<P>>;

    /// Spawner: stores the message and wakes the worker; false if the worker's time was over. What
    /// the spawner wrote before is visible to the worker.
    fn send(&self, message: Message<P>) -> bool;
}
