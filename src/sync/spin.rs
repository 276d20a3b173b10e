//! A bounded wait with open eyes, before a sleep.

use crate::primitive::{LONGEST_SPIN, spin_loop};

/// Pauses that double, from 1 to [`LONGEST_SPIN`], and then no more.
///
/// A sleep and its wake cost microseconds, and a lock is often free again in less. Each look at
/// the word takes its cache line from the holder, so looks become rare quickly: the holder gets
/// long undisturbed runs, which is where most of the throughput of a contended lock comes from
/// (`benches/locks.rs`). The whole is about as long as one sleep and wake, so that a spin in
/// vain, as it always is on a single CPU, at most doubles the price.
pub(crate) struct Spin {
    pauses: u32,
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { pauses: 1 }
    }

    /// Pauses; `false` if patience has ended.
    #[must_use]
    pub(crate) fn again(&mut self) -> bool {
        if self.pauses > LONGEST_SPIN {
            return false;
        }
        for _ in 0..self.pauses {
            spin_loop();
        }
        self.pauses *= 2;
        true
    }
}
