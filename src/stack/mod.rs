//! MEMORY: what threads stand on.
//!
//! * [`layout`]: pure arithmetic, no memory touched.
//! * [`guard`]: a range that faults, the cheapest way this kernel really has.
//! * [`region`]: the memory of slots, many to a mapping.
//! * [`slot`]: the control words of one thread's memory, and the cache of idle ones.

pub(crate) mod guard;
pub(crate) mod layout;
pub(crate) mod region;
pub(crate) mod slot;
