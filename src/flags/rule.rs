//! A reason for which the kernel refuses a call, and when it applies.

use core::fmt;

use super::{Call, CloneFlags, Fact, KernelVersion};
use crate::sys::Errno;

/// One reason for which the kernel refuses a call.
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
    /// A letter for the step of the kernel's work and a number: steps go in alphabetical order,
    /// except for S, a sandbox that answers before the kernel.
    pub id: &'static str,
    /// What is wrong, in words.
    pub description: &'static str,
    /// The error number that the call returns.
    pub errno: i32,
    /// The first Linux with this rule.
    pub since: KernelVersion,
    /// The first Linux without it again.
    pub until: Option<KernelVersion>,
    /// When it applies.
    pub when: Condition,
}

/// When a rule applies: all parts must hold.
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
    /// Only by this call; `None` for both.
    pub call: Option<Call>,
    /// All of these flags are set.
    pub all: CloneFlags,
    /// At least one of these is set, if there are any here.
    pub any: CloneFlags,
    /// None of these is set.
    pub none: CloneFlags,
    /// This is so.
    pub with: Option<Fact>,
    /// This is not so.
    pub unless: Option<Fact>,
    /// At least one of these is set and the caller is out of it, if there are any here.
    pub exhausted: CloneFlags,
    /// The exit signal is of this kind.
    pub signal: ExitSignalClass,
    /// The flags contain one from bit 32 up that this kernel does not know.
    pub unknown_flag: bool,
}

/// A kind of exit signal.
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
    /// Whether this exit signal is of that kind.
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
    /// Whether a kernel has this rule.
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
