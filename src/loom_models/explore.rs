//! What every model is built of: the exploration and a cell that detects races.

use loom::cell::UnsafeCell;

/// Runs `model` in every execution with at most `preemptions` preemptions.
pub(super) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A number whose every access loom checks for races.
pub(super) struct RaceCell(UnsafeCell<u32>);

// SAFETY: not `Sync` by itself in loom; the protocols around it are what the models put to the
// test, and loom reports every access that they fail to order.
#[allow(unsafe_code, reason = "loom checks the accesses")]
unsafe impl Sync for RaceCell {}

impl RaceCell {
    pub(super) fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[allow(unsafe_code, reason = "loom checks the accesses")]
    pub(super) fn get(&self) -> u32 {
        // SAFETY: the pointer is valid; loom panics if a write is not ordered with this.
        self.0.with(|value| unsafe { *value })
    }

    #[allow(unsafe_code, reason = "loom checks the accesses")]
    pub(super) fn set(&self, new: u32) {
        // SAFETY: the pointer is valid; loom panics if an access is not ordered with this.
        self.0.with_mut(|value| unsafe { *value = new });
    }

    pub(super) fn add(&self, more: u32) {
        self.set(self.get() + more);
    }
}
