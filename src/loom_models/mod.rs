//! Loom models: the protocols of this crate, tried in every interleaving that matters.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_models`
//!
//! Each model is a handful of threads that do the least that can go wrong. Loom runs it again and
//! again, with other interleavings and other reads that the memory model allows, and fails on a
//! data race (data sits in loom's cells), a broken assertion, or a lost wake: that one shows as
//! loom's panic "deadlock", after which the destructors of the stuck threads abort the program, so
//! look for the first panic in the output. The number of preemptions in one execution is bounded
//! by [`explore`]: the known bugs of this kind need one or two.

pub(crate) mod futex;
mod pool;
mod setxid;
mod sync;
mod thread;

use loom::cell::UnsafeCell;

/// Runs `model` in every execution with at most `preemptions` preemptions.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A number whose every access loom checks for races.
struct RaceCell(UnsafeCell<u32>);

// SAFETY: not `Sync` by itself in loom; the protocols around it are what the models put to the
// test, and loom reports every access that they fail to order.
#[allow(unsafe_code, reason = "loom checks the accesses")]
unsafe impl Sync for RaceCell {}

impl RaceCell {
    fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[allow(unsafe_code, reason = "loom checks the accesses")]
    fn get(&self) -> u32 {
        // SAFETY: the pointer is valid; loom panics if a write is not ordered with this.
        self.0.with(|value| unsafe { *value })
    }

    #[allow(unsafe_code, reason = "loom checks the accesses")]
    fn set(&self, new: u32) {
        // SAFETY: the pointer is valid; loom panics if an access is not ordered with this.
        self.0.with_mut(|value| unsafe { *value = new });
    }

    fn add(&self, more: u32) {
        self.set(self.get() + more);
    }
}
