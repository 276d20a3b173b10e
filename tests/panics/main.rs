//! A panic of the program's code leaves no lock of this crate's held, and an assertion of a debug build
//! looks at no answer of the kernel's.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "makes processes")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

#[path = "../common/mod.rs"]
#[macro_use]
mod common;
mod callbacks;
mod source;
#[path = "../common/support.rs"]
mod support;

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
