//! What is in force before a closure's first instruction, and what a handle can tell.
#![allow(unsafe_code, reason = "asks the kernel")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

mod builder;
mod cgroup;
#[path = "../common/mod.rs"]
mod common;
mod handle;
mod running;
#[path = "../common/support.rs"]
mod support;
mod unshared;

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
