//! The one switch between the machine's atomics and loom's.
//!
//! Modules whose protocols have a model in `src/loom_models` take their atomics from here. In
//! every real build these are core's. In the models' build (`RUSTFLAGS="--cfg loom"`, this
//! crate's own tests only) they are loom's, by `loom_models::weak`, which try the interleavings and the
//! stale reads that the memory model allows. The same switch for the futex is in `primitive::futex`.
//!
//! Two things differ with loom, and both are handled here rather than at each use:
//!
//! * its atomics are created at run time, so [`maybe_const_fn!`] drops the `const`;
//! * a spin only repeats the same reads, so [`SPIN_LIMIT`] is 0.

#[cfg(not(all(test, loom)))]
mod imp {
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic;

    /// How long to spin before a sleep, in `spin_loop`s: some 30 µs, about what it costs to wake an
    /// idle processor.
    pub(crate) const SPIN_LIMIT: u32 = 1023;

    macro_rules! maybe_const_fn {
        ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
            $(#[$meta])* $vis const fn $($rest)*
        };
    }
    pub(crate) use maybe_const_fn;
}

#[cfg(all(test, loom))]
mod imp {
    pub(crate) use crate::loom_models::weak as atomic;
    pub(crate) use loom::hint::spin_loop;

    pub(crate) const SPIN_LIMIT: u32 = 0;

    macro_rules! maybe_const_fn {
        ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
            $(#[$meta])* $vis fn $($rest)*
        };
    }
    pub(crate) use maybe_const_fn;
}

pub(crate) use imp::atomic::*;
pub(crate) use imp::{SPIN_LIMIT, maybe_const_fn, spin_loop};
