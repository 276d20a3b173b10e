//! At every limit `Builder::spawn` returns an error that names it, and the process lives on.
//!
//! Each test runs in a process of its own, with limits of its own where the kernel has such: other
//! programs on the machine notice nothing.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/heap.rs"]
mod heap;
#[path = "../common/support.rs"]
mod support;

mod ending;
mod many_threads;
mod memory;
mod reasons;
mod release;
mod sizes;
mod tasks;
mod util;

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
