//! Generated input, the same in every run: text for the parsers of flags, builders with any settings.
//!
//! A case is a seed. `RAWTHREAD_FUZZ_SECONDS` has each test go on beyond its number of cases, from the seed
//! `RAWTHREAD_FUZZ_SEED`; a failure names its seed, and what broke once is a line of `corpus/`.
//! `ci/fuzz.sh` runs these and what in `src`, `lab` and the other suites is made of seeds.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "asks the kernel")]

mod builders;
#[path = "../common/cases.rs"]
mod cases;
mod flags;
