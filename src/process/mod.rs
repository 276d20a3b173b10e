//! PROCESSES: fork, vfork, exec and containers, from the same clone flags that make threads.
//!
//! | I want | take |
//! |---|---|
//! | a copy of this process | [`fork`] |
//! | a closure in a process that shares exactly what I say | [`Builder`] |
//! | another program | `Command` (feature `alloc`) |
//!
//! Each gives a [`Child`], which waits, signals, and leaves no zombie when dropped.

mod builder;
mod child;
#[cfg(feature = "alloc")]
mod command;
mod explain;
mod footing;
mod fork;
mod gate;
mod ground;
mod namespaces;
mod pipe;
mod reaper;
mod start;
mod status;

pub use builder::Builder;
pub use child::Child;
#[cfg(feature = "alloc")]
pub use command::{BeforeExec, Command, Output, Resource, Stdio, Text};
pub use fork::{Fork, fork};
pub use namespaces::Namespaces;
pub use pipe::Pipe;
pub use status::ExitStatus;
