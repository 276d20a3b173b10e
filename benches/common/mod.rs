//! What the benches share: the contenders, how they take turns, what is printed.

pub(crate) mod bare_clone;
pub(crate) mod bare_clone_contender;
pub(crate) mod contenders;
pub(crate) mod machine;
pub(crate) mod rounds;
pub(crate) mod syscalls;
