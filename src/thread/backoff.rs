//! Waiting for a thread of this process that is a few instructions from what is waited for: pauses
//! that grow, then yields.
//!
//! With std it is `parking_lot_core`'s, of which nothing else is used: it has no state but its own
//! count, so a forked child finds nothing of the parent's in it.

#[cfg(feature = "std")]
pub(super) use parking_lot_core::SpinWait;

/// As `parking_lot_core`'s.
#[cfg(not(feature = "std"))]
pub(super) struct SpinWait {
    rounds: u32,
}

#[cfg(not(feature = "std"))]
impl SpinWait {
    pub(super) fn new() -> Self {
        Self { rounds: 0 }
    }

    /// Pauses; false when it is time for something else.
    pub(super) fn spin(&mut self) -> bool {
        if self.rounds >= 10 {
            return false;
        }
        self.rounds += 1;
        if self.rounds <= 3 {
            (0..1 << self.rounds).for_each(|_| core::hint::spin_loop());
        } else {
            crate::sys::sched::yield_now();
        }
        true
    }
}
