//! The memory of threads.
//!
//! * [`layout`]: pure arithmetic, no memory touched.
//! * [`guard`]: a range that faults, the cheapest way this kernel really has.
//! * [`region`]: the memory of slots, many to a mapping.
//! * [`slot`]: the control words of one thread's memory.
//! * [`cache`]: all slots, and the lists of idle ones.

pub(crate) mod cache;
pub(crate) mod guard;
pub(crate) mod layout;
pub(crate) mod region;
pub(crate) mod slot;
