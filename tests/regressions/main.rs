//! What once went wrong, each in a process of its own.
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "calls libc as C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

mod first;
mod util;
