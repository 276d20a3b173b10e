//! PROCESSES: fork, vfork, exec and containers, from the same clone flags that make threads.
//!
//! | I want | take |
//! |---|---|
//! | a copy of this process | [`fork`] |
//! | a closure in a process that shares exactly what I say | [`Builder`] |
//!
//! Each gives a [`Child`], which waits, signals, and leaves no zombie when dropped.

mod builder;
mod child;
mod explain;
mod fork;
mod ground;
mod namespaces;
mod reaper;
mod status;

pub use builder::Builder;
pub use child::Child;
pub use fork::{Fork, fork};
pub use namespaces::Namespaces;
pub use status::ExitStatus;
