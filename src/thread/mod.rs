//! THREADS: spawn, join, and what is known of the thread one is in.
//!
//! * [`state`]: the one word that says who still uses a slot.
//! * [`packet`]: closure and result, in the slot's own memory.
//! * [`spawn`]: from a [`Builder`] to a kernel thread; [`entry`]: what that thread does, from its
//!   first instruction to its last.
//! * [`setup`]: what is in force before the closure's first instruction.
//! * [`builder`], [`attributes`], [`handle`], [`inspect`], [`park`]: the public face.

mod attributes;
mod builder;
mod cpu_set;
mod current;
mod entry;
mod handle;
mod inspect;
mod packet;
#[cfg(feature = "std")]
mod panic_message;
mod park;
mod reserve;
mod scheduling;
mod setup;
mod signals;
mod spawn;
mod state;

pub use builder::{Builder, Retry, spawn};
pub use cpu_set::CpuSet;
pub use current::{Thread, ThreadId, available_parallelism, current, panicking, sleep, yield_now};
pub use handle::JoinHandle;
pub use inspect::{StackInfo, stack_usage};
#[cfg(not(feature = "std"))]
pub use packet::Panicked;
pub use packet::Result;
pub use park::{park, park_timeout};
pub use reserve::{reserve, trim};
pub use scheduling::Scheduling;
pub use signals::{Signal, SignalSet};
