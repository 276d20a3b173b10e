//! MEMORY: what threads stand on.
//!
//! * [`layout`]: pure arithmetic, no memory touched.
//! * [`guard`]: a range that faults, the cheapest way this kernel really has.
//! * [`slab`]: slots' memory, many to a mapping.
//! * [`table`]: permanent cells and lock-free lists of them; never unmapped, so a late look or a
//!   late kernel write finds memory there.
//! * [`slot`]: the control words of one thread's memory, and the cache of idle ones.

pub(crate) mod guard;
pub(crate) mod layout;
pub(crate) mod slab;
pub(crate) mod slot;
pub(crate) mod table;
