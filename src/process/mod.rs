//! Child processes: fork, vfork, exec and containers, by the clone flags that also make threads.
//!
//! | I want | take |
//! |---|---|
//! | a copy of this process | [`fork`] |
//! | a closure in a process that shares exactly what I say | [`Builder`] |
//! | another program | `Command` (feature `alloc`) |
//! | either in a container | `BeforeExec`, the steps before it begins (feature `alloc`) |
//!
//! Each gives a [`Child`], which waits, signals, and leaves no zombie when dropped. A child that waits for its
//! parent to set it up ends if that dies first.

#[cfg(feature = "alloc")]
mod before_exec;
mod builder;
#[cfg(feature = "alloc")]
mod capabilities;
mod child;
mod child_entry;
mod child_stack;
mod clone_error;
#[cfg(feature = "alloc")]
mod command;
mod fork;
mod group;
mod guarded_stack;
#[cfg(feature = "alloc")]
mod kernel_str;
#[cfg(feature = "alloc")]
mod landlock;
mod namespaces;
mod pipe;
mod reaper;
#[cfg(feature = "alloc")]
mod rlimit;
mod spawn;
mod start_pipe;
mod status;
#[cfg(feature = "alloc")]
mod step_report;
#[cfg(not(feature = "alloc"))]
#[path = "no_steps.rs"]
mod step_report;
mod usage;
#[cfg(feature = "alloc")]
mod users;
mod waitid;

#[cfg(feature = "alloc")]
pub use before_exec::BeforeExec;
pub use builder::Builder;
#[cfg(feature = "alloc")]
pub use capabilities::Capabilities;
pub use child::Child;
#[cfg(feature = "alloc")]
pub use command::{Command, Output, Stdio};
pub use fork::{Fork, fork};
#[cfg(feature = "alloc")]
pub use kernel_str::KernelStr;
#[cfg(feature = "alloc")]
pub use landlock::Landlock;
pub use namespaces::Namespaces;
pub use pipe::Pipe;
#[cfg(feature = "alloc")]
pub use rlimit::Rlimit;
pub use status::ExitStatus;
pub use usage::Usage;
