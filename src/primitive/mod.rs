//! What the protocols above stand on: atomics and the spin hint, core's or loom's.

pub(crate) mod atomic;

pub(crate) use atomic::{SPIN_LIMIT, maybe_const_fn, spin_loop};
