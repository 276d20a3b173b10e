//! A bounded spin before a sleep.

use super::atomic::{SPIN_LIMIT, spin_loop};

/// The longest pause between two reads of the word, in `spin_loop`s.
const LONGEST: u32 = 256;

/// Pauses that double up to [`LONGEST`], [`SPIN_LIMIT`] in all.
///
/// A sleep and its wake cost microseconds, and a lock is often free again in less. Each read of
/// the word takes its cache line from the holder, so the pauses grow quickly: the holder gets long
/// undisturbed runs, which is where most of the throughput of a contended lock comes from
/// (`benches/locks.rs` measured both constants). The whole spin lasts about as long as it takes to
/// wake an idle processor, so a spin in vain, as every spin is on a single CPU, at most doubles the
/// cost of the wait.
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

    /// Pauses and returns true; returns false, without a pause, once the limit is used up.
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
