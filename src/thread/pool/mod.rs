//! Kernel threads that run one task after another: what is behind [`warm`](super::warm).
//!
//! * [`credentials`]: those that need not be asked for again.
//! * [`handoff`]: where an idle worker waits for its next task; [`futex_handoff`]: as a futex.
//! * [`idle`]: the idle workers, and how a task is sent to one.
//! * [`packet_alloc`]: memory for a task's closure and result.
//! * [`workers`]: spawning tasks, and what a worker does from task to task.

mod credentials;
pub(crate) mod futex_handoff;
pub(crate) mod handoff;
pub(super) mod idle;
mod packet_alloc;
pub(super) mod workers;
