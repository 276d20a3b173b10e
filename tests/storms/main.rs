//! Storms: everything at once, for a moment here and for as long as wanted by `ci/storms.sh`.
//!
//! Each storm is a process of its own, which a watchdog in this one looks after: a storm that does not
//! end is killed, after it was written down where each of its threads stands. `RAWTHREAD_STORM_SECONDS`
//! says how long each lasts, `RAWTHREAD_STORM_SPAWNS` how many threads the count of two million has.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "signals, forks and limits")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

#[path = "../common/mod.rs"]
#[macro_use]
mod common;
mod count;
mod kernel;
mod process;
mod spawns;
mod watchdog;
