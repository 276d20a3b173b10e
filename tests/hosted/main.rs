//! Threads of this crate in a libc process: each thing that is promised of them, shown.
//!
//! Deadly things and things that need a process of their own run in a child: this binary again,
//! told by an environment variable which test to be (`common::in_subprocess`, `common::expect_crash`).
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "calls libc as C programs do")]

mod basics;
#[path = "../common/mod.rs"]
mod common;
mod dlopen;
#[path = "../common/filter.rs"]
mod filter;
mod fork;
mod guard_zero;
mod keys;
mod libc_services;
mod locals;
mod locks;
mod partial_support;
mod process_exit;
mod pthread_kill;
mod pthreads;
mod setuid;
#[path = "../common/support.rs"]
mod support;
#[path = "../common/unknown_libc.rs"]
mod unknown_libc;
mod util;
