//! The module `flags`: its tables, and its verdicts against the running kernel.

mod against_kernel;
mod bare_clone;
mod effects;
mod fs_fixtures;
mod parsing;
mod random;
mod tables;
mod trial_call;
mod worker;
