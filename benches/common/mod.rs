//! What the benches share: contenders, rounds in which they take turns, descriptions of the machine.

pub(crate) mod all;
pub(crate) mod bare_clone;
pub(crate) mod bare_clone_threads;
pub(crate) mod contender;
pub(crate) mod instructions;
pub(crate) mod machine;
pub(crate) mod per_thread;
pub(crate) mod report;
pub(crate) mod rounds;
pub(crate) mod syscalls;
