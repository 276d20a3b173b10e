//! How long a child may take, and what ends it then.

use core::time::Duration;

/// How long a child may take, and what is done to it then: see
/// [`Child::wait_with_output_timeout`](crate::process::Child::wait_with_output_timeout). A `Duration` is a limit
/// after which the child is killed.
///
/// ```
/// use std::time::Duration;
///
/// use rawthread::process::{Command, TimeLimit};
///
/// // A job of a shell, with all that it starts: asked to end after a tenth of a second, killed after another.
/// let limit = TimeLimit::new(Duration::from_millis(100))
///     .terminate_first(Duration::from_millis(100))
///     .whole_group();
/// let job = Command::new("sh")
///     .args(["-c", "trap '' TERM; echo begun; sleep 600 & sleep 600"])
///     .output_timeout(limit)?;
/// assert!(job.timed_out);
/// println!("{}", job.status); // signal: 9 (SIGKILL)
/// println!("{:?}", String::from_utf8_lossy(&job.stdout)); // "begun\n"
/// println!("{:?} of processor time", job.usage.map(|usage| usage.user_time));
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    pub(super) limit: Duration,
    pub(super) grace: Option<Duration>,
    pub(super) group: bool,
}

impl TimeLimit {
    /// The child may take this long, and is killed then (SIGKILL).
    ///
    /// ```
    /// use std::time::Duration;
    /// use rawthread::process::TimeLimit;
    ///
    /// assert_eq!(TimeLimit::new(Duration::from_secs(1)), Duration::from_secs(1).into());
    /// ```
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            limit,
            grace: None,
            group: false,
        }
    }

    /// At the limit the child gets SIGTERM, and SIGKILL only if it has not ended `grace` later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rawthread::process::TimeLimit;
    ///
    /// let limit = TimeLimit::new(Duration::from_secs(60)).terminate_first(Duration::from_secs(5));
    /// # let _ = limit;
    /// ```
    #[must_use]
    pub const fn terminate_first(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The process group that the child leads gets the signals, and what is left of it is killed when the child
    /// has ended, in time or not: no process of the group outlives the wait, but one that changed its ids.
    /// `Command::output_timeout` makes a group; for other children see `Command::process_group`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rawthread::process::TimeLimit;
    ///
    /// let limit = TimeLimit::new(Duration::from_secs(60)).whole_group();
    /// # let _ = limit;
    /// ```
    #[must_use]
    pub const fn whole_group(mut self) -> Self {
        self.group = true;
        self
    }
}

impl From<Duration> for TimeLimit {
    fn from(limit: Duration) -> Self {
        Self::new(limit)
    }
}
