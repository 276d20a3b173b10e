//! Running another program: clone with shared memory, then execve.
//!
//! | file | what it holds |
//! |---|---|
//! | `builder.rs` | [`Command`]: program, arguments, environment, descriptors |
//! | `attributes.rs`, `settings.rs` | what else it can set: ids, limits, signals, namespaces |
//! | `getters.rs`, `debug.rs` | what was set |
//! | `run.rs` | `spawn`, `status`, `output`: the plan of the child |
//! | `output.rs`, `output_timeout.rs`, `time_limit.rs` | gathering what a child writes |
//! | `fds.rs`, `environment.rs`, `pid_variable.rs` | what the plan takes of descriptors and variables |
//! | `spawn.rs` | in the parent: clone, and how it went |
//! | `exec_child.rs` | in the child: the steps, on the parent's memory |
//! | `end_in_exec.rs` | in the parent: a child that `execve` did not survive |
//! | `caller_groups.rs` | in the parent: children without its groups |
//! | `exec.rs` | `exec`: this process becomes the program |
//! | `saved_fds.rs` | of this process, for an `exec` that fails |
//! | `stdio.rs`, `stdio_from_std.rs` | what a descriptor is connected to |
//! | `exec_stack.rs` | the child's stack |

mod attributes;
mod builder;
mod caller_groups;
mod debug;
mod end_in_exec;
mod environment;
mod exec;
mod exec_child;
mod exec_stack;
mod fds;
mod getters;
mod output;
mod output_timeout;
mod pid_variable;
mod run;
mod saved_fds;
mod settings;
mod shell_word;
mod spawn;
mod stdio;
#[cfg(feature = "std")]
mod stdio_from_std;
mod time_limit;

pub use builder::Command;
pub use output::Output;
pub use stdio::Stdio;
pub use time_limit::TimeLimit;
