//! Makes one task for real and compares what the kernel says about it with what its flags predict.
//!
//! Three tasks take part: the *maker* calls clone, the *child* tries to change everything (`child`),
//! and the *observer*, a thread beside the maker, looks at the effects (`observe`). All of them live in
//! a process of their own (`crate::subprocess`).

pub(crate) mod child;
pub(crate) mod command;
mod experiment;
mod fixture;
mod observation;
mod observe;
mod plan;
mod predict;
mod proc;
mod property;
mod spawn;

pub(crate) use experiment::{Outcome, run, to_json};
pub(crate) use observation::{Comparison, Observed};
pub(crate) use plan::{Plan, SpawnMethod, flags_title, signal_word};
pub(crate) use property::Property;
