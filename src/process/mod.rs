//! Child processes: fork, vfork, exec and containers, by the clone flags that also make threads.
//!
//! | I want | take |
//! |---|---|
//! | a copy of this process | [`fork`] |
//! | a closure in a process that shares exactly what I say | [`Builder`] |
//! | another program | `Command` (feature `alloc`) |
//! | either in a container | `BeforeExec`, the steps before it begins (feature `alloc`) |
//!
//! `use rawthread::process;` compiles most code that was written for `std::process`. Chapter 10 of the guide has
//! every name of std's and what differs, beside what Go and Python have.
//!
//! Each gives a [`Child`], which waits, signals, and leaves no zombie when dropped. A child that waits for its
//! parent to set it up ends if that dies first.
//!
//! # A pipeline
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use rawthread::process::{Command, Stdio};
//!
//! // sort | uniq, as one job: the first leads its process group.
//! let mut sort = Command::new("sort")
//!     .stdin(Stdio::bytes("b\na\nb\n")?)
//!     .stdout(Stdio::piped())
//!     .process_group(0)
//!     .spawn()?;
//! let lines = sort.stdout.take().unwrap();
//! let output = Command::new("uniq").stdin(lines).process_group(sort.pid()).output()?;
//! assert_eq!(output.stdout, b"a\nb\n");
//! assert!(sort.wait_group()?.success());
//! # }
//! # Ok::<(), rawthread::Error>(())
//! ```
//!
//! # A service that is started again when it fails
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use std::time::Duration;
//!
//! use rawthread::process::{BeforeExec, Command, Rlimit, Stdio};
//!
//! let mut service = Command::new("sh");
//! service
//!     .args(["-c", "exit 3"])
//!     .stdin(Stdio::null())
//!     .process_group(0) // it and what it starts can be signalled at once
//!     .close_others()
//!     .rlimit(Rlimit::OpenFiles, 64, 64)
//!     .rlimit(Rlimit::Core, 0, 0)
//!     .before_exec(BeforeExec::oom_score_adj(500))
//!     .before_exec(BeforeExec::no_new_privileges());
//! // As root: service.user("nobody")?
//! let mut failures = 0;
//! while failures < 3 {
//!     let mut child = service.spawn()?;
//!     match child.wait_timeout(Duration::from_secs(3600))? {
//!         Some(status) if status.success() => break,
//!         Some(_) => failures += 1,
//!         None => {
//!             // It hangs.
//!             child.signal_group(libc::SIGKILL)?;
//!             child.wait()?;
//!         }
//!     }
//! }
//! assert_eq!(failures, 3);
//! # }
//! # Ok::<(), rawthread::Error>(())
//! ```
//!
//! A container is `examples/container.rs`, of some hundred lines.

#[cfg(feature = "alloc")]
mod before_exec;
mod builder;
mod by_number;
#[cfg(feature = "alloc")]
mod capabilities;
mod cgroup;
mod child;
mod child_entry;
mod child_stack;
mod clone_error;
#[cfg(feature = "alloc")]
mod command;
#[cfg(feature = "alloc")]
pub(crate) mod dumpable;
mod fork;
mod group;
mod guarded_stack;
#[cfg(feature = "alloc")]
mod ids;
#[cfg(feature = "alloc")]
mod kernel_str;
#[cfg(feature = "alloc")]
mod landlock;
#[cfg(feature = "alloc")]
mod memory_id;
mod namespaces;
mod pipe;
mod process_handle;
mod reaper;
#[cfg(feature = "alloc")]
mod rlimit;
mod spawn;
mod start_pipe;
mod start_report;
mod status;
#[cfg(feature = "alloc")]
mod steps;
#[cfg(not(feature = "alloc"))]
#[path = "no_steps.rs"]
mod steps;
mod usage;
#[cfg(feature = "alloc")]
mod users;
mod waitid;

#[cfg(feature = "alloc")]
pub use before_exec::BeforeExec;
pub use builder::Builder;
#[cfg(feature = "alloc")]
pub use capabilities::Capabilities;
pub use cgroup::Cgroup;
pub use child::Child;
#[cfg(feature = "alloc")]
pub use command::{Command, Output, Stdio, TimeLimit};
pub use fork::{Fork, fork};
#[cfg(feature = "alloc")]
pub use kernel_str::KernelStr;
#[cfg(feature = "alloc")]
pub use landlock::Landlock;
pub use namespaces::Namespaces;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout, Pipe};
#[cfg(feature = "alloc")]
pub use rlimit::Rlimit;
pub use status::ExitStatus;
pub use usage::Usage;

// What else a program takes from `std::process`.
#[cfg(feature = "std")]
pub use std::process::{ExitCode, Termination, abort, exit, id};
