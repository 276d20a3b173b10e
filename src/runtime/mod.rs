//! RUNTIME: what makes a kernel thread a thread to the code that runs on it.
//!
//! A *runtime* gives each slot a TCB (thread control block, static TLS, thread pointer) and
//! knows what a thread must do with it at its start and end. There are two, of which the features
//! choose one; the layers above see only the [`Runtime`] trait.
//!
//! * [`state`], [`tls_values`], [`record`]: what is known of one thread, in permanent memory.
//! * [`api`]: the trait; `hosted` and `freestanding` implement it.
//! * [`chosen`]: the runtime of this build; [`acquire`], [`current`]: what is written for that one.

pub(crate) mod acquire;
mod api;
mod chosen;
pub(crate) mod current;
#[cfg(not(feature = "hosted"))]
pub(crate) mod freestanding;
#[cfg(feature = "hosted")]
pub(crate) mod hosted;
mod name;
pub(crate) mod occupant;
pub(crate) mod record;
#[cfg(any(feature = "hosted", all(test, loom)))]
pub(crate) mod setxid;
pub(crate) mod state;
pub(crate) mod tls_values;

pub(crate) use api::{CloneTls, LibcThread, Runtime};
pub(crate) use chosen::{Rt, Slot, Tcb};
#[cfg(not(feature = "hosted"))]
pub use freestanding::init_main_thread;
pub(crate) use name::Name;
