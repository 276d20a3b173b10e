//! What the protocols above are built of: atomics, the futex, a bounded spin, the own tid.
//!
//! In the models' build (`RUSTFLAGS="--cfg loom"`, this crate's own tests only) the first two are
//! loom's. The choice is made in this layer and nowhere else.

pub(crate) mod atomic;
pub(crate) mod futex;
pub(crate) mod own_tid;
pub(crate) mod spin;

pub(crate) use atomic::{SPIN_LIMIT, maybe_const_fn};
