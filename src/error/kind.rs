//! The kinds of errors.

/// The kind of an [`Error`](crate::Error), for programs that react to kinds differently.
///
/// ```
/// use rawthread::{Error, ErrorKind};
///
/// fn worth_a_retry(error: &Error) -> bool {
///     error.kind() == ErrorKind::Limit
/// }
/// assert!(!worth_a_retry(&Error::from_raw_os_error(libc::ENOENT)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A limit of the process, its control group or the machine was reached; [`Error::limit`](crate::Error::limit)
    /// names it, if this build has the feature `diagnosis`. The same call may succeed later, or
    /// with a higher limit.
    Limit,
    /// A value given to this crate cannot be used: an empty set of processors, a NUL inside a path.
    InvalidInput,
    /// The kernel's rules forbid this combination of clone flags; see [`Error::violated_rule`](crate::Error::violated_rule).
    Refused,
    /// This kernel, libc or build of the crate cannot do it.
    Unsupported,
    /// A system call failed; [`Error::operation`](crate::Error::operation) names it where the crate made it.
    Os,
    /// A function of the program's own failed ([`Builder::before_start`](crate::Builder)), and its error
    /// has no errno and is none of this crate's. It is the `source()`.
    Other,
}
