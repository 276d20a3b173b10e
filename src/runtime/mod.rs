//! What makes a kernel thread a thread to the code that runs on it.
//!
//! A *runtime* gives each slot a TCB (thread control block, static TLS, thread pointer) and knows
//! what a thread must do at its start and end. The features choose one of the two: with a C library,
//! or without one. A program without a C library that does not use the feature `start` calls
//! `init_main_thread` once, before its first thread.

// From the bottom up: `state`, `ready_hook`, `name`, `parker`, `closed_mark`, `tls_values` and `record` hold what is known of one
// thread, in permanent memory; `occupant` relates slots and records; `api` has the trait, which `hosted` and
// `freestanding` implement (`setxid` and `loader_gate` are parts of the first that loom models run); `chosen` names
// the runtime of this build; `acquire`, `std_park` and `current` are written for that one.

pub(crate) mod acquire;
mod api;
mod chosen;
pub(crate) mod closed_mark;
pub(crate) mod current;
#[cfg(not(feature = "hosted"))]
pub(crate) mod freestanding;
#[cfg(feature = "hosted")]
pub(crate) mod hosted;
#[cfg(any(feature = "hosted", all(test, loom)))]
pub(crate) mod loader_gate;
mod name;
pub(crate) mod occupant;
pub(crate) mod parker;
pub(crate) mod ready_hook;
pub(crate) mod record;
#[cfg(any(feature = "hosted", all(test, loom)))]
pub(crate) mod setxid;
pub(crate) mod state;
#[cfg(feature = "std")]
mod std_key;
pub(crate) mod std_park;
pub(crate) mod tls_values;

pub(crate) use api::{CloneTls, LibcThread, Runtime};
pub(crate) use chosen::{Rt, Slot, Tcb};
#[cfg(not(feature = "hosted"))]
pub use freestanding::init_main_thread;
pub(crate) use name::Name;
