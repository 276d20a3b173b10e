//! What the protocols above are built of: atomics, the futex, an answer, pauses, a bounded spin, the own tid, memory
//! that may be refused.
//!
//! In the models' build (`RUSTFLAGS="--cfg loom"`, this crate's own tests only) atomics, futex and pauses are
//! loom's. The choice is made in this layer and nowhere else.

pub(crate) mod answer;
pub(crate) mod atomic;
/// What tests make their cases of.
#[cfg(all(test, not(loom)))]
#[path = "../../tests/common/cases.rs"]
pub(crate) mod cases;
#[cfg(feature = "alloc")]
pub(crate) mod fallible;
pub(crate) mod futex;
pub(crate) mod held;
pub(crate) mod own_tid;
pub(crate) mod pauses;
pub(crate) mod spin;
pub(crate) mod word;

pub(crate) use atomic::{SPIN_LIMIT, maybe_const_fn};
