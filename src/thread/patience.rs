//! How a joiner waits before it sleeps.
//!
//! A sleep costs two changes of threads and a wake-up, which comes while the ending thread still
//! has work to do in the kernel. Where there are idle processors, some looks with open eyes cost
//! less; where the joiner has one processor, giving it away for once does: then the thread ends
//! with nobody to wake, and the joiner finds it gone.
//!
//! Both depend on what else runs on the machine, so both are tried less where they did not pay.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::primitive::PATIENCE;
use crate::runtime::{Current, Runtime};
use crate::sys::futex::Deadline;
use crate::sys::sched;

/// Waits awake for `done` where that can help; false if it is time to sleep.
pub(super) fn await_awake(deadline: Option<&Deadline>, done: impl Fn() -> bool) -> bool {
    if done() {
        return true;
    }
    if may_spin() {
        return CREDIT.allows_spin() && spin(done);
    }
    // Given away, the processor comes back when others let go of it, perhaps after the deadline.
    deadline.is_none() && YIELDS.allowed() && give_way(done)
}

fn spin(done: impl Fn() -> bool) -> bool {
    let paid = (0..PATIENCE).any(|_| {
        core::hint::spin_loop();
        done()
    });
    CREDIT.learn(paid);
    paid
}

/// Lets the thread that is waited for run on the one processor.
fn give_way(done: impl Fn() -> bool) -> bool {
    let before = Current::nanoseconds();
    sched::yield_now();
    YIELDS.learn(Current::nanoseconds().wrapping_sub(before) < LONG);
    done()
}

/// Nanoseconds: a short thread's whole life takes less, a busy program's turn on the processor, of
/// milliseconds, more.
const LONG: u64 = 100_000;

/// Whether giving way is worth a try. Beside a busy program it gives a whole turn away, which is
/// some thousand times what it saves. So each bad try doubles the number of joins that go without,
/// until a thousand good ones have come in a row.
struct Yields {
    /// Joins to go without. Relaxed, and updates may be lost, as in [`Credit`].
    without: AtomicU32,
    /// How many the last bad try made of it.
    penalty: AtomicU32,
    /// Good tries since the last bad one.
    good: AtomicU32,
}

static YIELDS: Yields = Yields {
    without: AtomicU32::new(0),
    penalty: AtomicU32::new(0),
    good: AtomicU32::new(0),
};

impl Yields {
    const LEAST: u32 = 16;
    const MOST: u32 = 1 << 16;
    const FORGIVEN_AFTER: u32 = 1000;

    fn allowed(&self) -> bool {
        let without = self.without.load(Ordering::Relaxed);
        if without == 0 {
            return true;
        }
        self.without.store(without - 1, Ordering::Relaxed);
        false
    }

    fn learn(&self, good: bool) {
        if good {
            let good = self.good.load(Ordering::Relaxed) + 1;
            if good == Self::FORGIVEN_AFTER {
                self.penalty.store(0, Ordering::Relaxed);
            }
            self.good
                .store(good % Self::FORGIVEN_AFTER, Ordering::Relaxed);
            return;
        }
        let penalty = self.penalty.load(Ordering::Relaxed);
        let penalty = (penalty * 2).clamp(Self::LEAST, Self::MOST);
        self.good.store(0, Ordering::Relaxed);
        self.penalty.store(penalty, Ordering::Relaxed);
        self.without.store(penalty, Ordering::Relaxed);
    }
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
        let several = sched::allowed_processors() > 1;
        CACHED.store(ASK_EVERY << 1 | u32::from(several), Ordering::Relaxed);
        return several;
    }
    CACHED.store(cached - 2, Ordering::Relaxed);
    cached & 1 == 1
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn fresh() -> Yields {
        Yields {
            without: AtomicU32::new(0),
            penalty: AtomicU32::new(0),
            good: AtomicU32::new(0),
        }
    }

    /// How many of so many joins give way, if each that does is good or bad as told.
    fn tries(yields: &Yields, joins: u32, good: impl Fn(u32) -> bool) -> u32 {
        let mut tries = 0;
        for _ in 0..joins {
            if yields.allowed() {
                yields.learn(good(tries));
                tries += 1;
            }
        }
        tries
    }

    #[test]
    fn beside_a_busy_program_joins_stop_giving_way() {
        // 16, 32, ... 65536 joins without between them.
        assert_eq!(tries(&fresh(), 100_000, |_| false), 13);
        // Now and then a try happens to be good.
        let mixed = tries(&fresh(), 100_000, |number| number % 3 != 0);
        assert!(mixed < 50, "{mixed}");
    }

    #[test]
    fn alone_every_join_gives_way_and_a_bad_moment_is_forgotten() {
        let yields = fresh();
        assert_eq!(tries(&yields, 5000, |_| true), 5000);
        assert_eq!(tries(&yields, 1, |_| false), 1);
        assert_eq!(tries(&yields, 2016, |_| true), 2000);
        assert_eq!(yields.penalty.load(Ordering::Relaxed), 0);
        assert_eq!(tries(&yields, 1, |_| false), 1);
        assert_eq!(tries(&yields, 16, |_| true), 0);
    }
}
