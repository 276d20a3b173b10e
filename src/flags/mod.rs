//! The clone flags: what each does, which combinations the kernel refuses, and what a new task
//! shares.
//!
//! | file | question it answers |
//! |---|---|
//! | `clone_flags.rs` | which flags are there? [`CloneFlags`] |
//! | `info.rs` | what does a flag do, since when, where is it documented? [`FlagInfo`] |
//! | `parse.rs` | how is a set of flags read and written? [`ParseFlagsError`] |
//! | `presets.rs` | which programs use which set? [`Preset`] |
//! | `caller.rs` | which state of the caller does the kernel look at? [`Caller`], [`Fact`] |
//! | `current.rs` | what is that state now? [`Caller::current`], the one file that reads the running system |
//! | `rule.rs` | what is a reason for refusal? [`Rule`], [`Condition`] |
//! | `rule_table.rs` | what does the kernel refuse, in which order? [`Rule::ALL`] |
//! | `verdict.rs` | does the kernel refuse this call? [`CloneFlags::verdict`] |
//! | `effects.rs` | what will the new task share, copy, get new or lose? [`CloneFlags::effects`] |
//!
//! The sources are `clone(2)` and the kernel's `include/uapi/linux/sched.h`, up to
//! [`Caller::NEWEST_KERNEL`].

mod caller;
mod clone_flags;
mod current;
mod effects;
mod info;
mod parse;
mod presets;
mod rule;
mod rule_table;
mod verdict;

pub use caller::{Caller, Fact};
pub use clone_flags::CloneFlags;
pub use effects::{Effect, Resource};
pub use info::{FlagInfo, KernelVersion};
pub use parse::{ParseFlagsError, signal_name, signal_number};
pub use presets::{Call, Preset, PresetMatch};
pub use rule::{Condition, ExitSignalClass, Rule};
pub use verdict::Verdict;
