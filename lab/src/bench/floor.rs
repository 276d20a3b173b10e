//! The floor: the one of the crate's own benches, from their files.

#[path = "../../../benches/common/bare_clone.rs"]
mod bare_clone;
#[path = "../../../benches/common/bare_clone_threads.rs"]
mod bare_clone_threads;

pub(super) use bare_clone_threads::BareClone;
