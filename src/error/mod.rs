//! The error of the crate: which limit, rule or system call, with which errno, and what to do.

// From the bottom up: `limit` has the limits, `error` the type, `io_error` its conversions from and
// into std's.

#[expect(
    clippy::module_inception,
    reason = "the file is named for its type, as every other file of the layer"
)]
mod error;
#[cfg(feature = "std")]
mod io_error;
mod limit;

pub(crate) use error::Operation;
pub use error::{Error, ErrorKind};
pub use limit::Limit;
