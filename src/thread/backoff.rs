//! Waiting for a thread of this process that is a few instructions from what is waited for: pauses
//! that grow, then yields.
//!
//! With std this is `parking_lot_core`'s `SpinWait`, the one part of that crate that a fork cannot
//! harm: it has no state but its own count. The crate's table of parked threads is a state of the
//! whole process. A forked child may find a bucket of it locked by a thread that the child does not
//! have, so nothing here may park in it.

#[cfg(feature = "std")]
pub(super) use parking_lot_core::SpinWait;

/// As `parking_lot_core`'s, on the pauses of `crossbeam_utils`.
#[cfg(not(feature = "std"))]
pub(super) struct SpinWait(crossbeam_utils::Backoff);

#[cfg(not(feature = "std"))]
impl SpinWait {
    pub(super) fn new() -> Self {
        Self(crossbeam_utils::Backoff::new())
    }

    /// Pauses; false when it is time to sleep instead.
    pub(super) fn spin(&mut self) -> bool {
        if self.0.is_completed() {
            return false;
        }
        self.0.snooze();
        true
    }
}
