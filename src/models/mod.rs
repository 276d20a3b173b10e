//! Loom models: the protocols of this crate, tried in every interleaving that matters.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib models`
//!
//! Each model is a handful of threads that do the least that can go wrong. Loom runs it again and
//! again, with other interleavings and other reads that the memory model allows, and fails on a
//! data race (data sits in loom's cells), a broken assertion, or a lost wake: that one shows as
//! loom's panic "deadlock", after which the destructors of the stuck threads abort the program, so
//! look for the first panic in the output. The number of preemptions in one execution is bounded
//! by [`check`]: the known bugs of this kind need one or two.

pub(crate) mod futex;
mod sync;
mod thread;

/// Runs `model` in every execution with at most `preemptions` preemptions.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
