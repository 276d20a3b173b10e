//! Adaptive spinning before a blocking join, and before an idle worker's sleep, where there are idle
//! processors.
//!
//! No `sched_yield` where there is only one, though it seems made for a joiner that waits for a
//! thread on its very processor. By the clock a spawn and join takes as long, however much less
//! processor time the process is charged: the end of a thread's exit is charged to no process.
//! And beside a busy program a yield gives a whole time slice away, milliseconds for each join.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::primitive::SPIN_LIMIT;
use crate::sys::sched;

/// Spins until `done` where that can help; false if it is time to sleep.
pub(in crate::thread) fn spin_until(budget: &SpinBudget, done: impl Fn() -> bool) -> bool {
    if done() {
        return true;
    }
    if !sched::is_multiprocessor() || !budget.allows_spin() {
        return false;
    }
    let succeeded = (0..SPIN_LIMIT).any(|_| {
        core::hint::spin_loop();
        done()
    });
    budget.record(succeeded);
    succeeded
}

/// Counts whether spins have ended by `done` lately. Where other work keeps the processors busy,
/// the thread waits in a queue, behind the spinning joiner perhaps: then only a sleep helps.
pub(in crate::thread) struct SpinBudget {
    /// Spins that ended by `done` less those that did not, from 0 to `MAX`. Relaxed, and updates
    /// may be lost: a wrong value costs one spin or one sleep.
    budget: AtomicU32,
    /// Waits with no budget, of which each `RETRY_INTERVAL`th spins all the same, to notice when the
    /// processors are idle again.
    denied: AtomicU32,
}

/// That of joins.
pub(in crate::thread) static JOINS: SpinBudget = SpinBudget::new();

impl SpinBudget {
    const MAX: u32 = 8;
    const RETRY_INTERVAL: u32 = 32;

    pub(in crate::thread) const fn new() -> Self {
        Self {
            budget: AtomicU32::new(Self::MAX),
            denied: AtomicU32::new(0),
        }
    }

    fn allows_spin(&self) -> bool {
        if self.budget.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let turn = self.denied.load(Ordering::Relaxed).wrapping_add(1);
        self.denied.store(turn, Ordering::Relaxed);
        turn.is_multiple_of(Self::RETRY_INTERVAL)
    }

    fn record(&self, succeeded: bool) {
        let budget = self.budget.load(Ordering::Relaxed);
        let budget = if succeeded {
            (budget + 1).min(Self::MAX)
        } else {
            budget.saturating_sub(1)
        };
        self.budget.store(budget, Ordering::Relaxed);
    }
}
