//! Spawning, joining, and what a thread knows of itself. From the bottom up:
//!
//! * [`signals`], [`cpu_set`], [`scheduling`], [`io_priority`](mod@io_priority): values that a builder takes; `backoff`: pauses.
//! * [`current`](mod@current), [`park`](mod@park), [`local`]: the calling thread.
//! * [`spawn`](mod@spawn): from a builder's settings to a running thread. Its packet names what
//!   [`join`] notifies of the thread's end.
//! * [`join`]: waiting for a thread's end. [`join::handle`] lies above `spawn`'s packet.
//! * [`builder`], [`attributes`], [`inspect`], [`running`]: what a program asks of a thread.
//! * [`scope`](mod@scope), [`set`], with `join_all`: many threads.
//! * `join_handle_ext`: std's extension of handles. `std_types`: what has a name and an error type of std's.
//! * [`pool`], [`warm`]: kernel threads that run one task after another.
//! * [`list`], [`dump`](mod@dump): every live thread.
//! * [`reserve`](mod@reserve): resources ahead of time, and back.

mod attributes;
mod backoff;
mod builder;
mod cpu_set;
mod current;
mod dump;
mod inspect;
mod io_priority;
pub(crate) mod join;
#[cfg(feature = "alloc")]
mod join_all;
#[cfg(feature = "std")]
mod join_handle_ext;
mod list;
pub mod local;
mod parallelism;
mod park;
#[cfg(all(test, feature = "std", not(loom)))]
mod pin_tests;
pub(crate) mod pool;
mod reserve;
mod running;
mod scheduling;
mod scope;
mod set;
mod signals;
pub(crate) mod spawn;
#[cfg(feature = "std")]
mod std_types;
pub mod warm;

pub use builder::{Builder, spawn};
pub use cpu_set::{CpuSet, affinity, set_affinity};
#[cfg(feature = "std")]
pub use current::sleep_until;
#[allow(deprecated, reason = "std still has them, and programs still use them")]
pub use current::{Thread, ThreadId, current, panicking, sleep, sleep_ms, yield_now};
pub use dump::dump;
pub use inspect::{Pidfd, StackInfo, stack_usage};
pub use io_priority::{IoPriority, io_priority, set_io_priority};
pub use join::future::JoinFuture;
pub use join::handle::JoinHandle;
pub use join::result::{Panicked, Result};
pub use list::{ThreadInfo, ThreadState, Threads, threads};
pub use parallelism::try_available_parallelism;
#[allow(deprecated, reason = "as above")]
pub use park::{park, park_timeout, park_timeout_ms};
pub use reserve::{reserve, set_idle_memory, trim};
pub use scheduling::{Policy, Scheduling, scheduling, set_scheduling};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use set::JoinSet;
pub use signals::{Signal, SignalSet};
pub use spawn::config::Retry;
#[cfg(feature = "alloc")]
pub use spawn::hooks::add_spawn_hook;
#[cfg(feature = "std")]
pub(crate) use spawn::unwind::__rust_begin_short_backtrace;
#[cfg(feature = "std")]
pub use std_types::available_parallelism;

/// std's own thread-locals, which work in threads of this crate as in any other. Feature `std`.
///
/// Re-exported so that code written for `std::thread` compiles after `use rawthread as thread;`.
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
