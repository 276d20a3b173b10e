//! What is in force before a closure's first instruction, and what a handle can tell.
#![allow(unsafe_code, reason = "asks the kernel")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

mod builder;
mod handle;
mod unshared;
