//! What the benches share: who competes, how they take turns, what is printed.

pub(crate) mod bare_clone;
pub(crate) mod bare_clone_threads;
pub(crate) mod contenders;
pub(crate) mod machine;
pub(crate) mod rounds;
pub(crate) mod syscalls;
