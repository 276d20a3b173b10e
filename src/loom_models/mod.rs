//! Loom models: the protocols of this crate, run in every interleaving up to a number of preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_models`
//!
//! Each model is a few threads in the smallest scenario that can go wrong. Loom runs it many
//! times, with other interleavings and other reads that the memory model allows, and fails on a
//! data race (data sits in loom's cells), a broken assertion, or a lost wake: that one shows as
//! loom's panic "deadlock", after which the destructors of the stuck threads abort the program, so
//! look for the first panic in the output. The number of preemptions in one execution is bounded
//! by [`explore::explore`]: the known bugs of this kind need one or two.
//!
//! Each model has a broken twin that must fail ([`twins`]): the same code with one ordering, read-modify-write,
//! look at a word or wake less ([`weak`]).

mod arena;
mod dumpable;
mod ends;
mod explore;
pub(crate) mod futex;
mod loader_gate;
mod park;
mod pool;
pub(crate) mod setxid;
mod start;
mod sync;
mod thread;
mod twins;
pub(crate) mod weak;
