//! Threads and processes for Linux on the raw `clone(2)` and `clone3(2)` system calls.
//!
//! The crate root is `std::thread` again, and more: [`spawn`], [`scope`], [`Builder`] with what is in
//! force before a closure begins, [`JoinHandle`] with time limits, [`JoinSet`], and an [`Error`] that
//! names the limit where a thread cannot be made.
//!
//! ```
//! # #[cfg(feature = "std")] {
//! use rawthread as thread;
//!
//! let worker = thread::Builder::new().name("worker".into()).spawn(|| 6 * 7)?;
//! assert_eq!(worker.join().unwrap(), 42);
//! # }
//! # Ok::<(), rawthread::Error>(())
//! ```
//!
//! [`process`] creates child processes by the same system call; [`flags`] describes each clone flag.
//! [`sync`] has the locks of `std::sync` for programs without std: futexes and nothing else.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `std` (default) | `hosted` and `alloc`; panics to the joiner, conversions to and from std's types |
//! | `hosted` | threads in a program that links a C library; `diagnosis` |
//! | `diagnosis` | errors name the limit that was met |
//! | `alloc` | names of any length, `Builder::before_start`, `JoinSet::join_all`, `process::Command` |
//! | `lock_api` | `sync::{RawMutex, RawRwLock}` for version 0.4 of the crate of that name |
//! | `start` | without libc: the program's start (`entry!`, `start`) |
//! | `panic-thread` | without libc: a panic ends its thread and no other |
//!
//! What needs a feature says which. What only a program without libc has is shown where the
//! documentation is built without `hosted`.

#![no_std]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

/// Tries the snippets of the README.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
)))]
compile_error!(
    "rawthread creates threads by Linux's clone system call and knows its ABI on x86_64 and aarch64 (64-bit) only"
);

#[cfg(all(feature = "start", feature = "hosted"))]
compile_error!(
    "the feature `start` is for programs without a C library, the feature `hosted` (which `std` brings) for programs with one: choose"
);

#[cfg(all(feature = "panic-thread", feature = "hosted"))]
compile_error!(
    "the feature `panic-thread` is for programs without a C library; with the feature `std`, panics unwind to the joiner"
);

mod diagnosis;
mod error;
pub mod flags;
#[cfg(all(test, loom))]
mod loom_models;
mod primitive;
pub mod process;
pub mod sync;
mod sys;

mod arena;

pub mod runtime;

mod stack;
mod thread;

pub use error::{Error, ErrorKind, Limit};
#[cfg(all(feature = "start", not(feature = "hosted"), not(test)))]
pub use runtime::freestanding::start;
#[cfg(feature = "hosted")]
pub use runtime::hosted::{
    choice::{allow_partial_support, serve_by_libc},
    host,
    libc_layout::{Host, Support},
};
pub use thread::*;
