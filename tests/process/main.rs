//! Processes: what `rawthread::process` promises, and the traps a learner falls into.
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "children are made by unsafe functions")]

mod builder;
mod child;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod container;
mod daemon;
mod deadlines;
mod debug;
mod dumpable;
mod environment;
mod exec;
mod exhaustion;
#[path = "../common/filter.rs"]
mod filter;
mod groups;
mod held;
mod identity;
mod inputs;
mod orphans;
mod pitfalls;
mod promises;
mod refusals;
mod report;
mod rights;
mod sandbox;
mod settings;
mod stdio;
mod steps;
#[path = "../common/support.rs"]
mod support;
mod surroundings;
mod util;
mod vm_closure;

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
