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
mod child_entry;
mod child_stack;
mod clone_error;
#[cfg(feature = "alloc")]
mod command;
mod fork;
mod guarded_stack;
mod namespaces;
mod pipe;
mod reaper;
mod start_pipe;
mod status;

pub use builder::Builder;
pub use child::Child;
#[cfg(feature = "alloc")]
pub use command::{BeforeExec, Command, KernelStr, Output, Rlimit, Stdio};
pub use fork::{Fork, fork};
pub use namespaces::Namespaces;
pub use pipe::Pipe;
pub use status::ExitStatus;
