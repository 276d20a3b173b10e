//! A reason for which the kernel refuses a call, and when it applies.

use core::fmt;

use super::{Call, CloneFlags, Fact, KernelVersion};
use crate::sys::Errno;

/// A reason for which the kernel refuses a call.
///
/// ```
/// use rawthread::flags::{Rule, CloneFlags};
///
/// let rule = Rule::by_id("D3").unwrap();
/// assert_eq!(rule.description, "CLONE_THREAD needs CLONE_SIGHAND");
/// assert_eq!(rule.errno, 22); // EINVAL
/// assert_eq!(rule.when.all, CloneFlags::THREAD);
/// assert_eq!(rule.when.none, CloneFlags::SIGHAND);
/// println!("{rule}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// A letter for the step of the kernel's checks and a number: the steps are in alphabetical
    /// order, except for S, a seccomp filter, which comes first.
    pub id: &'static str,
    /// What is wrong: a clause without a full stop.
    pub description: &'static str,
    /// The error number that the call returns.
    pub errno: i32,
    /// The first version of Linux with this rule.
    pub since: KernelVersion,
    /// The first version of Linux in which the rule no longer exists; `None` if it still does. The
    /// versions with the rule are `since..until`.
    pub until: Option<KernelVersion>,
    /// The condition under which it applies.
    pub when: Condition,
}

/// The condition under which a [`Rule`] applies: all fields must hold.
///
/// ```
/// use rawthread::flags::{CloneFlags, Fact, Rule};
/// // New namespaces need CAP_SYS_ADMIN, unless a new user namespace comes with them.
/// let when = Rule::by_id("F1").unwrap().when;
/// assert!(when.any.contains(CloneFlags::NEWNET));
/// assert_eq!((when.none, when.unless), (CloneFlags::NEWUSER, Some(Fact::SysAdmin)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Condition {
    /// The call is this one; `None` admits both.
    pub call: Option<Call>,
    /// All of these flags are set.
    pub all: CloneFlags,
    /// At least one of these flags is set; no flags here admit every call.
    pub any: CloneFlags,
    /// None of these flags is set.
    pub none: CloneFlags,
    /// This fact holds for the caller.
    pub with: Option<Fact>,
    /// This fact does not hold for the caller.
    pub unless: Option<Fact>,
    /// At least one of these namespace flags is set and the caller's quota for it is used up; no
    /// flags here admit every call.
    pub exhausted: CloneFlags,
    /// The exit signal is of this class.
    pub signal: ExitSignalClass,
    /// If true: the flags contain one from bit 32 up that this kernel does not know.
    pub unknown_flag: bool,
}

/// A class of exit signals, as the kernel distinguishes them.
///
/// ```
/// use rawthread::flags::ExitSignalClass;
/// assert!(ExitSignalClass::Given.matches(17) && !ExitSignalClass::Given.matches(0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitSignalClass {
    /// Any, or none.
    Anything,
    /// Not 0.
    Given,
    /// More than 64, the highest signal, but within a byte.
    Invalid,
    /// More than a byte.
    BeyondByte,
}

impl ExitSignalClass {
    /// Returns whether this exit signal is of this class.
    ///
    /// ```
    /// use rawthread::flags::ExitSignalClass;
    /// assert!(ExitSignalClass::Invalid.matches(65) && !ExitSignalClass::Invalid.matches(64));
    /// ```
    #[must_use]
    pub const fn matches(self, exit_signal: u32) -> bool {
        match self {
            Self::Anything => true,
            Self::Given => exit_signal != 0,
            Self::Invalid => exit_signal > 64 && exit_signal <= 0xff,
            Self::BeyondByte => exit_signal > 0xff,
        }
    }
}

impl Rule {
    /// Returns whether this version of Linux has the rule.
    ///
    /// ```
    /// use rawthread::flags::{KernelVersion, Rule};
    /// let no_thread_pidfd = Rule::by_id("D8").unwrap();
    /// assert!(no_thread_pidfd.exists_in(KernelVersion::new(6, 8, 0)));
    /// assert!(!no_thread_pidfd.exists_in(KernelVersion::new(6, 9, 0)));
    /// ```
    #[must_use]
    pub fn exists_in(&self, kernel: KernelVersion) -> bool {
        kernel >= self.since && self.until.is_none_or(|until| kernel < until)
    }
}

/// Writes `D3: CLONE_THREAD needs CLONE_SIGHAND (EINVAL, since Linux 2.5.35)`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = Errno::new(self.errno).name();
        write!(
            f,
            "{}: {} ({errno}, since Linux {}",
            self.id, self.description, self.since
        )?;
        match self.until {
            Some(until) => write!(f, " and before {until})"),
            None => f.write_str(")"),
        }
    }
}
