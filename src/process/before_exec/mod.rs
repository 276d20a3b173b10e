//! What a child can do to itself before it becomes another program, or runs its closure.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`BeforeExec`] |
//! | `action.rs` | the steps as data, and taking them in the child |
//! | `properties.rs` | what of a step matters to those who plan a child |
//! | `files.rs`, `descriptors.rs`, `attributes.rs`, `rights.rs`, `seccomp.rs` | the constructors, by subject |

mod action;
mod attributes;
mod descriptors;
mod files;
mod properties;
mod rights;
mod seccomp;

pub use action::BeforeExec;
pub(super) use action::NO_ID;
pub(super) use properties::Phase;
