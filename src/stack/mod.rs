//! The memory of threads.
//!
//! * [`layout`]: pure arithmetic, no memory touched.
//! * [`guard`]: a range that faults, the cheapest way this kernel really has.
//! * [`region`]: the memory of slots, many to a mapping.
//! * [`touched`]: how much memory threads left in it.
//! * [`slot`]: the control words of one thread's memory.
//! * [`cache`]: all slots, and the lists of idle ones; `idle_memory`: what stays resident in those, and
//!   [`idle_age`]: for how long.

pub(crate) mod cache;
pub(crate) mod guard;
mod idle_age;
#[cfg(feature = "hosted")]
mod idle_memory;
pub(crate) mod layout;
pub(crate) mod region;
pub(crate) mod slot;
mod touched;
