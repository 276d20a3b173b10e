//! A ticket counter and the word that all but the last thread of a round sleep on.
//!
//! | field | meaning |
//! |---|---|
//! | `tickets` | arrivals so far. Ticket `t` belongs to round `t / size`; the last ticket of a round leads it |
//! | `generation` | rounds whose leader has arrived, wrapping; round `r` may pass once it exceeds `r` |
//!
//! * BARRIER-1. Tickets are unique, so every round has one leader and `size - 1` that wait, even if
//!   more than `size` threads use the barrier and rounds overlap.
//! * BARRIER-2. `generation` is only added to, once for each round. Where the leader of a later
//!   round is faster than that of an earlier one, the earlier round passes on the later one's count
//!   and the later round waits for the earlier leader: no thread passes before its own round is
//!   full.
//!
//! BARRIER-2 needs an argument: round `r` passes when `generation > r`, that is when `r + 1`
//! leaders have arrived. Leaders of rounds beyond `r` arrive only when every ticket of round `r` is
//! taken. So among `r + 1` leaders either one is beyond `r`, or they are those of rounds 0 to `r`:
//! in both cases round `r` is full.
//!
//! Orderings: an arrival is Release and Acquire, and so the leader, whose ticket is the last of
//! its round, happens after every arrival of the round; it adds to `generation` with Release and the
//! others load it with Acquire. Hence what any thread did before the barrier happens before what
//! any thread does after it. That holds too for a thread that passes on a later leader's count,
//! as that leader's ticket comes later.

use crate::primitive::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::primitive::atomic::{AtomicU32, AtomicU64};
use crate::primitive::futex;
use crate::primitive::maybe_const_fn;

pub(crate) struct RawBarrier {
    tickets: AtomicU64,
    generation: AtomicU32,
    size: u64,
}

impl RawBarrier {
    maybe_const_fn! {
        /// A `size` of 0 counts as 1.
        pub(crate) fn new(size: usize) -> Self {
            Self {
                tickets: AtomicU64::new(0),
                generation: AtomicU32::new(0),
                size: if size == 0 { 1 } else { size as u64 },
            }
        }
    }

    /// Takes a ticket. 2^64 of them do not run out.
    fn take_ticket(&self) -> u64 {
        self.tickets.fetch_add(1, AcqRel)
    }

    /// Whether `round` may pass in view of `generation`. Both count rounds modulo 2^32; the
    /// difference distinguishes before from after as long as no thread sleeps through 2^31 rounds.
    fn is_open(generation: u32, round: u64) -> bool {
        (generation.wrapping_sub(round as u32) as i32) > 0
    }

    /// Waits until the round is full; returns whether the caller leads it.
    pub(crate) fn wait(&self) -> bool {
        let ticket = self.take_ticket();
        let round = ticket / self.size;
        if ticket % self.size == self.size - 1 {
            self.generation.fetch_add(1, Release);
            futex::wake_all(&self.generation);
            return true;
        }
        loop {
            let generation = self.generation.load(Acquire);
            if Self::is_open(generation, round) {
                return false;
            }
            futex::wait(&self.generation, generation);
        }
    }
}
