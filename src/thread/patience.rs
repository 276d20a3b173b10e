//! How a joiner waits before it sleeps: with open eyes, where there are idle processors.
//!
//! No `sched_yield` where there is only one, though it seems made for a joiner that waits for a
//! thread on its very processor. By the clock a spawn and join takes as long, however much less
//! processor time the process is charged: the end of a thread's exit is charged to nobody. And
//! beside a busy program a yield gives a whole turn away, milliseconds for each join.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::primitive::SPIN_LIMIT;
use crate::sys::sched;

/// Waits awake for `done` where that can help; false if it is time to sleep.
pub(super) fn await_awake(done: impl Fn() -> bool) -> bool {
    if done() {
        return true;
    }
    if !may_spin() || !CREDIT.allows_spin() {
        return false;
    }
    let paid = (0..SPIN_LIMIT).any(|_| {
        core::hint::spin_loop();
        done()
    });
    CREDIT.learn(paid);
    paid
}

/// Whether spins have paid lately. Where other work keeps the processors busy, the thread waits in
/// a queue, behind the spinning joiner perhaps: then only a sleep helps.
struct Credit {
    /// Paid spins less vain ones, from 0 to `MOST`. Relaxed, and updates may be lost: a wrong value
    /// costs one spin or one sleep.
    credit: AtomicU32,
    /// Joins without credit, of which each `TRY_EVERY`th spins all the same, to notice when the
    /// processors are idle again.
    without: AtomicU32,
}

static CREDIT: Credit = Credit {
    credit: AtomicU32::new(Credit::MOST),
    without: AtomicU32::new(0),
};

impl Credit {
    const MOST: u32 = 8;
    const TRY_EVERY: u32 = 32;

    fn allows_spin(&self) -> bool {
        if self.credit.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let turn = self.without.load(Ordering::Relaxed).wrapping_add(1);
        self.without.store(turn, Ordering::Relaxed);
        turn.is_multiple_of(Self::TRY_EVERY)
    }

    fn learn(&self, paid: bool) {
        let credit = self.credit.load(Ordering::Relaxed);
        let credit = if paid {
            (credit + 1).min(Self::MOST)
        } else {
            credit.saturating_sub(1)
        };
        self.credit.store(credit, Ordering::Relaxed);
    }
}

/// Whether spinning can help: not where the joiner sits on the only processor the thread can use.
fn may_spin() -> bool {
    /// Processors may be taken away or given while the process runs: ask again now and then.
    const ASK_EVERY: u32 = 256;
    /// Low bit: whether there is more than one; the rest counts down to the next question.
    /// Relaxed: a stale answer costs one spin or one sleep.
    static CACHED: AtomicU32 = AtomicU32::new(0);
    let cached = CACHED.load(Ordering::Relaxed);
    if cached >> 1 == 0 {
        let several = sched::cpu_count() > 1;
        CACHED.store(ASK_EVERY << 1 | u32::from(several), Ordering::Relaxed);
        return several;
    }
    CACHED.store(cached - 2, Ordering::Relaxed);
    cached & 1 == 1
}
