//! Threads: everything `std::thread` promises, and what this crate promises beyond it.
//!
//! The modules in `parity/` are one body each, compiled and run twice: against `std::thread` and
//! against this crate. All that differs is the line that brings `thread` into scope. `parity.md`
//! lists the promises and their tests.

#![cfg(feature = "std")]

mod across_std;
#[path = "../common/mod.rs"]
#[macro_use]
mod common;
mod hooks;
mod last_destructors;
mod list;
mod metrics;
mod records;
mod scope;
mod set;
#[path = "../common/support.rs"]
mod support;
mod threads;

macro_rules! run_against_both {
    ($($body:ident),*) => {
        #[allow(clippy::useless_conversion, reason = "this crate's errors have to be converted")]
        mod with_std {
            $(mod $body {
                use std::thread;
                include!(concat!("parity/", stringify!($body), ".rs"));
            })*
        }
        mod with_rawthread {
            $(mod $body {
                use rawthread as thread;
                include!(concat!("parity/", stringify!($body), ".rs"));
            })*
        }
    };
}

run_against_both!(current, park, scope, spawn, module);

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
