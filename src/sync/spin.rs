//! A bounded wait with open eyes, before a sleep.

use crate::primitive::{SPIN_LIMIT, spin_loop};

/// The longest pause between two looks, in `spin_loop`s.
const LONGEST: u32 = 256;

/// Pauses that double up to [`LONGEST`], [`SPIN_LIMIT`] in all.
///
/// A sleep and its wake cost microseconds, and a lock is often free again in less. Each look at
/// the word takes its cache line from the holder, so looks become rare quickly: the holder gets
/// long undisturbed runs, which is where most of the throughput of a contended lock comes from
/// (`benches/locks.rs`, which found both numbers). The whole is about as long as it takes to wake
/// an idle processor, so that a spin in vain, as it always is on a single CPU, at most doubles the
/// price.
pub(crate) struct Spin {
    pauses: u32,
    left: u32,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self {
            pauses: 1,
            left: SPIN_LIMIT,
        }
    }

    /// Pauses; `false` if patience has ended.
    #[must_use]
    pub(crate) fn spin(&mut self) -> bool {
        if self.left < self.pauses {
            return false;
        }
        self.left -= self.pauses;
        for _ in 0..self.pauses {
            spin_loop();
        }
        self.pauses = (self.pauses * 2).min(LONGEST);
        true
    }
}
