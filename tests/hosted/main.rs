//! Raw threads as citizens of a libc process: each thing that is promised of them, shown.
//!
//! Deadly things and things that need a process of their own run in a child: this binary again,
//! told by an environment variable which test to be (`common::alone`, `common::deadly`).
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "calls libc as C programs do")]

mod basics;
#[path = "../common/mod.rs"]
mod common;
mod dlopen;
mod ends;
mod fork;
mod guest;
mod keys;
mod locals;
mod locks;
mod pthreads;
mod services;
mod setuid;
mod util;
