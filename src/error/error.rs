//! The type `Error`, and the operations that it names.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::kind::ErrorKind;
use super::limit::Limit;
use super::step_error::{StepError, Subject};
use crate::sys::Errno;
#[cfg(feature = "diagnosis")]
use crate::sys::limits;

/// The error for a thread or process that could not be created, prepared, or waited for.
///
/// Its message names the limit that was reached, the rule that was violated or the system call
/// that failed, and says what to do. It converts into a `std::io::Error` of the errno's kind that holds
/// it.
///
/// ```
/// use rawthread::{Error, ErrorKind};
///
/// let error = Error::from_raw_os_error(libc::ENOENT);
/// assert_eq!(error.kind(), ErrorKind::Os);
/// assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
/// # #[cfg(feature = "std")]
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone)]
pub struct Error {
    errno: Option<Errno>,
    cause: Cause,
}

/// A system call made for a thread or process, and its purpose.
///
/// A `static` beside the code that makes the call, so that the child of a `vfork` can report it by
/// an index, and only the display of the error formats text.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The system call, or the setting: "chdir".
    pub(crate) name: &'static str,
    /// Completes "could not ...": "enter the child's working directory".
    pub(crate) purpose: &'static str,
    /// A sentence: what to check where it failed so.
    pub(crate) hint: fn(Errno) -> &'static str,
}

#[derive(Clone)]
enum Cause {
    Limit(Limit, Option<u64>),
    InvalidInput {
        problem: &'static str,
        hint: &'static str,
    },
    Rule {
        rule: &'static str,
        hint: &'static str,
    },
    Unsupported {
        problem: &'static str,
        hint: &'static str,
    },
    Operation(&'static Operation),
    /// One of several that were asked for: of this path or program.
    #[cfg_attr(
        not(feature = "alloc"),
        allow(dead_code, reason = "only builds with an allocator construct it")
    )]
    OperationOn(&'static Operation, Subject),
    /// A call met a limit that its errno names; the value, if it could be read.
    #[cfg_attr(
        not(feature = "diagnosis"),
        allow(dead_code, reason = "only builds with diagnosis construct it")
    )]
    OperationAtLimit(&'static Operation, Limit, Option<u64>),
    /// A limit that was not looked for: the feature `diagnosis` is off.
    #[cfg_attr(
        feature = "diagnosis",
        allow(dead_code, reason = "only builds without diagnosis construct it")
    )]
    UnknownLimit(&'static Operation),
    /// A function of the program's own returned it.
    #[cfg_attr(
        not(feature = "alloc"),
        allow(dead_code, reason = "only builds with an allocator construct it")
    )]
    Step(StepError),
    /// An error with a text of its own and without an errno came from outside the crate.
    #[cfg_attr(
        not(feature = "std"),
        allow(dead_code, reason = "only builds with std construct it")
    )]
    Foreign(StepError),
    /// An errno that came from outside the crate.
    External,
}

// As before it could hold a program's error: nothing of it is changed by a shared borrow's methods.
impl UnwindSafe for Error {}
impl RefUnwindSafe for Error {}

impl Error {
    /// A function of the program's own failed; `errno` is what it knows of one.
    #[cfg(feature = "alloc")]
    pub(super) const fn from_step(step: StepError, errno: Option<Errno>) -> Self {
        Self {
            errno,
            cause: Cause::Step(step),
        }
    }

    /// `error` has no errno.
    #[cfg(feature = "std")]
    pub(super) fn from_foreign(error: std::io::Error) -> Self {
        let step = StepError::new(ErrorKind::Other, None, std::boxed::Box::new(error));
        Self {
            errno: None,
            cause: Cause::Foreign(step),
        }
    }

    /// A limit was reached; `value` is what it was set to, if that could be read.
    pub(crate) const fn at_limit(limit: Limit, value: Option<u64>, errno: Errno) -> Self {
        Self {
            errno: Some(errno),
            cause: Cause::Limit(limit, value),
        }
    }

    /// `problem` is a clause without a full stop, `hint` a sentence.
    pub(crate) const fn invalid_input(problem: &'static str, hint: &'static str) -> Self {
        Self {
            errno: Some(Errno::EINVAL),
            cause: Cause::InvalidInput { problem, hint },
        }
    }

    /// A rule of clone, checked beforehand or inferred from the kernel's errno; `rule` is a clause,
    /// `hint` a sentence.
    pub(crate) const fn refused(rule: &'static str, hint: &'static str, errno: Errno) -> Self {
        Self {
            errno: Some(errno),
            cause: Cause::Rule { rule, hint },
        }
    }

    /// `problem` is a clause, `hint` a sentence.
    pub(crate) const fn unsupported(
        problem: &'static str,
        hint: &'static str,
        errno: Option<Errno>,
    ) -> Self {
        Self {
            errno,
            cause: Cause::Unsupported { problem, hint },
        }
    }

    /// The system call of `operation` failed.
    pub(crate) fn from_operation(operation: &'static Operation, errno: Errno) -> Self {
        Self {
            errno: Some(errno),
            cause: at_named_limit(operation, errno).unwrap_or(Cause::Operation(operation)),
        }
    }

    /// Adds the path or program to the error of an operation.
    #[cfg(feature = "alloc")]
    pub(crate) fn about(self, subject: Option<&core::ffi::CStr>) -> Self {
        let cause = match (self.cause, subject.and_then(Subject::new)) {
            (Cause::Operation(operation), Some(text)) => Cause::OperationOn(operation, text),
            (cause, _) => cause,
        };
        Self { cause, ..self }
    }

    /// A limit made the system call of `operation` fail, and this build does not look which.
    #[cfg(not(feature = "diagnosis"))]
    pub(crate) const fn at_unknown_limit(operation: &'static Operation, errno: Errno) -> Self {
        Self {
            errno: Some(errno),
            cause: Cause::UnknownLimit(operation),
        }
    }

    /// Creates an error from an errno: for closures that prepare a thread where there is no
    /// `std::io::Error`.
    ///
    /// A number outside 1 to 4095 is no errno and becomes `EINVAL`.
    ///
    /// ```
    /// let error = rawthread::Error::from_raw_os_error(libc::EBADF);
    /// assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    /// ```
    pub const fn from_raw_os_error(errno: i32) -> Self {
        let errno = if errno > 0 && errno < 4096 {
            Errno::new(errno)
        } else {
            Errno::EINVAL
        };
        Self {
            errno: Some(errno),
            cause: Cause::External,
        }
    }

    /// Returns the kind of this error.
    ///
    /// ```
    /// use rawthread::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::from_raw_os_error(libc::EIO).kind(), ErrorKind::Os);
    /// ```
    pub const fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Limit(..) | Cause::UnknownLimit(_) | Cause::OperationAtLimit(..) => {
                ErrorKind::Limit
            }
            Cause::InvalidInput { .. } => ErrorKind::InvalidInput,
            Cause::Rule { .. } => ErrorKind::Refused,
            Cause::Unsupported { .. } => ErrorKind::Unsupported,
            Cause::Operation(_) | Cause::OperationOn(..) | Cause::External => ErrorKind::Os,
            Cause::Step(step) | Cause::Foreign(step) => step.kind(),
        }
    }

    /// Returns the errno, as in `errno(3)`; `None` if no system call was made.
    ///
    /// ```
    /// let error = rawthread::Error::from_raw_os_error(libc::EPERM);
    /// assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    /// ```
    pub const fn raw_os_error(&self) -> Option<i32> {
        match self.errno {
            Some(errno) => Some(errno.number()),
            None => None,
        }
    }

    /// Returns the limit that was reached; `None` for every [`ErrorKind::Limit`] without the feature
    /// `diagnosis`, which `std` and `hosted` bring. A call for which no descriptor is left (`EMFILE`) is at
    /// [`Limit::OpenFiles`], and [`operation`](Self::operation) names it too.
    ///
    /// ```
    /// let error = rawthread::Error::from_raw_os_error(libc::EAGAIN);
    /// assert_eq!(error.limit(), None); // an errno alone names no limit
    /// ```
    pub const fn limit(&self) -> Option<Limit> {
        match &self.cause {
            Cause::Limit(limit, _) | Cause::OperationAtLimit(_, limit, _) => Some(*limit),
            Cause::Step(step) | Cause::Foreign(step) => step.limit(),
            _ => None,
        }
    }

    /// Returns the description of the rule of clone that forbids the call.
    ///
    /// ```
    /// assert_eq!(rawthread::Error::from_raw_os_error(libc::EINVAL).violated_rule(), None);
    /// ```
    pub const fn violated_rule(&self) -> Option<&'static str> {
        match &self.cause {
            Cause::Rule { rule, .. } => Some(*rule),
            _ => None,
        }
    }

    /// Returns the name of the system call that failed: `"execve"`, `"chdir"`; `"before_start"` for the
    /// error of a function that was given to [`Builder::before_start`](crate::Builder).
    ///
    /// ```
    /// assert_eq!(rawthread::Error::from_raw_os_error(libc::EINVAL).operation(), None);
    /// ```
    pub const fn operation(&self) -> Option<&'static str> {
        match &self.cause {
            Cause::Operation(operation)
            | Cause::OperationOn(operation, _)
            | Cause::UnknownLimit(operation)
            | Cause::OperationAtLimit(operation, ..) => Some(operation.name),
            Cause::Step(_) => Some(BEFORE_START),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = ErrnoSuffix(self.errno);
        match &self.cause {
            Cause::Limit(limit, Some(value)) => write!(
                f,
                "the limit {} ({value}) is reached{errno}. {}",
                limit.name(),
                limit.hint()
            ),
            Cause::Limit(limit, None) => write!(
                f,
                "the limit {} is reached{errno}. {}",
                limit.name(),
                limit.hint()
            ),
            Cause::InvalidInput { problem, hint } => write!(f, "{problem}. {hint}"),
            Cause::Rule { rule, hint } => {
                write!(f, "clone refuses: {rule}{errno}. {hint}")
            }
            Cause::Unsupported { problem, hint } => {
                write!(f, "not supported here: {problem}{errno}. {hint}")
            }
            Cause::Operation(operation) => write!(
                f,
                "{} could not {}{errno}. {}",
                operation.name,
                operation.purpose,
                self.errno.map_or("", operation.hint)
            ),
            Cause::OperationOn(operation, subject) => write!(
                f,
                "{} could not {} ({:?}){errno}. {}",
                operation.name,
                operation.purpose,
                subject.as_str(),
                self.errno.map_or("", operation.hint)
            ),
            Cause::OperationAtLimit(operation, limit, value) => write!(
                f,
                "{} could not {}{errno}: the limit {}{} is reached. {}",
                operation.name,
                operation.purpose,
                limit.name(),
                InBrackets(*value),
                self.errno.map_or("", operation.hint)
            ),
            Cause::UnknownLimit(operation) => write!(
                f,
                "a limit is reached, so {} could not {}{errno}. The feature `diagnosis` of \
                 rawthread finds out which.",
                operation.name, operation.purpose
            ),
            Cause::Step(step) => write!(f, "{BEFORE_START}: {}", step.source()),
            Cause::Foreign(step) => write!(f, "{}", step.source()),
            Cause::External => match self.errno {
                Some(errno) => write!(f, "{errno:?}. See errno(3)."),
                None => f.write_str("unknown error"),
            },
        }
    }
}

/// EMFILE has one meaning in each call that the crate makes: no number is left below `RLIMIT_NOFILE`.
#[cfg(feature = "diagnosis")]
#[allow(clippy::unnecessary_cast, reason = "musl's constants are signed")]
fn at_named_limit(operation: &'static Operation, errno: Errno) -> Option<Cause> {
    let value = || limits::rlimit(libc::RLIMIT_NOFILE as u32);
    (errno == Errno::EMFILE).then(|| Cause::OperationAtLimit(operation, Limit::OpenFiles, value()))
}

#[cfg(not(feature = "diagnosis"))]
fn at_named_limit(_operation: &'static Operation, _errno: Errno) -> Option<Cause> {
    None
}

/// " (1024)", or nothing.
struct InBrackets(Option<u64>);

impl fmt::Display for InBrackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, " ({value})"),
            None => Ok(()),
        }
    }
}

/// ": EAGAIN (11)", or nothing.
struct ErrnoSuffix(Option<Errno>);

impl fmt::Display for ErrnoSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(errno) => write!(f, ": {errno:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("errno", &self.errno)
            .field("message", &format_args!("{self}"))
            .finish()
    }
}

/// The error that a function of [`Builder::before_start`](crate::Builder) returned is the source of the
/// error of the spawn; an `io::Error` with a text of its own, of the error that it was converted into.
impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.cause {
            Cause::Step(step) | Cause::Foreign(step) => Some(step.source()),
            _ => None,
        }
    }
}

const BEFORE_START: &str = "before_start";

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    static CHDIR: Operation = Operation {
        name: "chdir",
        purpose: "enter the child's working directory",
        hint: |errno| match errno.number() {
            libc::ENOENT => "Check that it exists.",
            _ => "Check who may enter it.",
        },
    };

    #[test]
    fn a_message_names_the_cause_and_the_way_out() {
        let limit = Error::at_limit(Limit::Processes, Some(40), Errno::EAGAIN);
        assert_eq!(
            limit.to_string(),
            "the limit RLIMIT_NPROC (40) is reached: EAGAIN (11). Run fewer tasks as this user, \
             or raise it with `ulimit -u`."
        );
        let step = Error::from_operation(&CHDIR, Errno::new(libc::ENOENT));
        assert_eq!(
            step.to_string(),
            "chdir could not enter the child's working directory: ENOENT (2). Check that it exists."
        );
        assert_eq!(step.operation(), Some("chdir"));
        // What the errno rules out is not advised.
        let other = Error::from_operation(&CHDIR, Errno::new(libc::EACCES)).to_string();
        assert!(other.ends_with("EACCES (13). Check who may enter it."));
        let rule = Error::refused("a rule", "Do otherwise.", Errno::EINVAL);
        assert_eq!(
            rule.to_string(),
            "clone refuses: a rule: EINVAL (22). Do otherwise."
        );
    }

    #[test]
    fn nonsense_is_no_errno() {
        for number in [0, -1, 4096, i32::MIN] {
            let error = Error::from_raw_os_error(number);
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }
}
