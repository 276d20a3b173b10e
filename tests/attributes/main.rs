//! What is in force before a closure's first instruction, and what a handle can tell.
#![allow(unsafe_code, reason = "asks the kernel")]

mod at_birth;
mod handle;
mod private;
