//! The error of the crate: which limit, rule or system call, with which errno, and what to do.

// From the bottom up: `kind` and `limit` have the kinds and the limits, `step_error` an error of the
// program's own, `error` the type, `io_error` its conversions from and into std's, `before_start` how an
// error of the program's own becomes one of this crate's.

#[cfg(feature = "alloc")]
mod before_start;
#[expect(
    clippy::module_inception,
    reason = "the file is named for its type, as every other file of the layer"
)]
mod error;
#[cfg(feature = "std")]
mod io_error;
mod kind;
mod limit;
#[cfg(feature = "alloc")]
mod step_error;
#[cfg(not(feature = "alloc"))]
#[path = "no_step_error.rs"]
mod step_error;

pub use error::Error;
pub(crate) use error::Operation;
pub use kind::ErrorKind;
pub use limit::Limit;
