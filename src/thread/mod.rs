//! THREADS: spawn, join, and what is known of the thread one is in.
//!
//! * [`spawn::packet`]: closure and result, in the slot's own memory.
//! * [`spawn::prepare`]: from a [`Builder`] to a kernel thread;
//!   [`spawn::entry`]: what that thread does, from its first instruction to its last.
//!   `spawn::panic_handler`: how it ends where nothing unwinds.
//! * [`spawn::setup`]: what is in force before the closure's first instruction.
//! * [`join::exit_observer`]: who is told of a thread's end: a [`scope`](mod@scope) or a [`set`],
//!   whose [`join::completion_queue`] it enters.
//! * [`warm`], [`pool`]: threads that outlive their tasks.
//! * [`local`]: thread-locals with destructors, with or without std.
//! * [`builder`], [`attributes`], [`join::handle`], [`inspect`], [`park`], [`scope`](mod@scope):
//!   the public face.

mod attributes;
mod backoff;
mod builder;
mod cpu_set;
mod current;
mod inspect;
pub(crate) mod join;
pub mod local;
mod park;
pub(crate) mod pool;
mod reserve;
mod scheduling;
mod scope;
mod set;
mod signals;
mod spawn;
pub mod warm;

pub use builder::{Builder, spawn};
pub use cpu_set::CpuSet;
#[cfg(feature = "std")]
pub use current::sleep_until;
#[allow(deprecated, reason = "std still has them, and programs still use them")]
pub use current::{
    Thread, ThreadId, available_parallelism, current, panicking, sleep, sleep_ms, yield_now,
};
#[cfg(not(feature = "std"))]
pub use inspect::Pidfd;
pub use inspect::{StackInfo, stack_usage};
pub use join::handle::JoinHandle;
#[cfg(not(feature = "std"))]
pub use join::result::Panicked;
pub use join::result::Result;
#[allow(deprecated, reason = "as above")]
pub use park::{park, park_timeout, park_timeout_ms};
pub use reserve::{reserve, trim};
pub use scheduling::Scheduling;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use set::JoinSet;
pub use signals::{Signal, SignalSet};
pub use spawn::config::Retry;
#[cfg(feature = "std")]
pub(crate) use spawn::unwind::__rust_begin_short_backtrace;

/// std's own thread-locals, which rawthreads have like any other: what `std::thread` names, so that
/// `use rawthread as thread;` finds it here too. Feature `std`.
///
/// ```
/// use rawthread as thread;
/// use std::cell::Cell;
///
/// thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
///
/// fn bump(key: &'static thread::LocalKey<Cell<u32>>) -> Result<(), thread::AccessError> {
///     key.try_with(|count| count.set(count.get() + 1))
/// }
/// bump(&COUNT)?;
/// assert_eq!(thread::spawn(|| COUNT.get()).join().unwrap(), 0);
/// # Ok::<(), thread::AccessError>(())
/// ```
#[cfg(feature = "std")]
pub use std::thread::{AccessError, LocalKey};
