//! The kernel's verdict on a call, without calling.
//!
//! The rules stand in one table (`rule_table.rs`) in the order in which the kernel looks; the first
//! that applies decides the errno. Here is how a rule is read.

use core::fmt;

use super::{Call, Caller, CloneFlags, Fact, KernelVersion};
use crate::sys::Errno;

pub(super) use super::rule_table::RULES;

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

/// The question as the kernel understands it.
struct Query<'a> {
    call: Call,
    flags: CloneFlags,
    exit_signal: u32,
    unknown_flag: bool,
    caller: &'a Caller,
}

impl<'a> Query<'a> {
    fn new(flags: CloneFlags, call: Call, exit_signal: u32, caller: &'a Caller) -> Self {
        let kernel = caller.kernel();
        let too_new = flags
            .info()
            .filter(|info| info.since > kernel)
            .fold(CloneFlags::empty(), |set, info| set | info.flag);
        match call {
            Call::Clone => {
                // The register's upper half is dropped, and of what is left an old kernel looks
                // only at what it knows.
                let word = flags.bits() & 0xffff_ffff | u64::from(exit_signal) & 0xff;
                let (flags, exit_signal) = CloneFlags::from_legacy(word);
                Self {
                    call,
                    flags: flags.difference(too_new),
                    exit_signal,
                    unknown_flag: false,
                    caller,
                }
            }
            Call::Clone3 => {
                const UPPER: u64 = !0xffff_ffff;
                let implied = if flags.difference(too_new).contains(CloneFlags::EMPTY_MNTNS) {
                    CloneFlags::NEWNS
                } else {
                    CloneFlags::empty()
                };
                Self {
                    call,
                    flags: flags | implied,
                    exit_signal,
                    unknown_flag: (too_new.bits() | flags.unknown_bits()) & UPPER != 0,
                    caller,
                }
            }
        }
    }
}

impl Condition {
    fn matches(&self, query: &Query<'_>) -> bool {
        let flags = query.flags;
        let caller = query.caller;
        self.call.is_none_or(|call| call == query.call)
            && flags.contains(self.all)
            && (self.any.is_empty() || flags.intersects(self.any))
            && !flags.intersects(self.none)
            && self.with.is_none_or(|fact| caller.has_fact(fact))
            && self.unless.is_none_or(|fact| !caller.has_fact(fact))
            && (self.exhausted.is_empty() || flags.intersects(self.exhausted & caller.exhausted()))
            && self.signal.matches(query.exit_signal)
            && (!self.unknown_flag || query.unknown_flag)
    }
}

impl Rule {
    /// Every rule, in the order in which the kernel looks.
    ///
    /// ```
    /// use rawthread::flags::Rule;
    /// let order: Vec<_> = Rule::ALL.iter().map(|rule| rule.id).collect();
    /// let place = |id| order.iter().position(|other| *other == id);
    /// assert!(place("D1") < place("F1"));
    /// ```
    pub const ALL: &'static [Self] = &RULES;

    /// The rule with this id.
    ///
    /// ```
    /// use rawthread::flags::Rule;
    /// assert_eq!(Rule::by_id("D4").unwrap().description, "CLONE_SIGHAND needs CLONE_VM");
    /// assert_eq!(Rule::by_id("Z9"), None);
    /// ```
    #[must_use]
    pub fn by_id(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id)
    }

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

    fn matches(&self, query: &Query<'_>) -> bool {
        self.exists_in(query.caller.kernel()) && self.when.matches(query)
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

/// What the kernel will say.
///
/// ```
/// use rawthread::flags::{Call, Caller, CloneFlags};
///
/// let flags = CloneFlags::VM | CloneFlags::THREAD;
/// let verdict = flags.verdict(Call::Clone3, 0, &Caller::unprivileged());
/// assert_eq!(verdict.errno(), Some(22)); // EINVAL
/// assert_eq!(verdict.rule().unwrap().id, "D3");
/// assert!(verdict.to_string().contains("needs CLONE_SIGHAND"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    rule: Option<&'static Rule>,
}

impl Verdict {
    /// The errno that the call fails with; `None` if it is accepted.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, Preset};
    /// let thread = Preset::NPTL.flags.verdict(Call::Clone, 0, &Caller::unprivileged());
    /// assert_eq!(thread.errno(), None);
    /// ```
    #[must_use]
    pub const fn errno(&self) -> Option<i32> {
        match self.rule {
            Some(rule) => Some(rule.errno),
            None => None,
        }
    }

    /// The rule that refuses the call; `None` if it is accepted.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// let verdict = CloneFlags::SIGHAND.verdict(Call::Clone, 17, &Caller::unprivileged());
    /// assert_eq!(verdict.rule().unwrap().id, "D4");
    /// ```
    #[must_use]
    pub const fn rule(&self) -> Option<&'static Rule> {
        self.rule
    }

    /// Whether the kernel makes the task.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// assert!(CloneFlags::VM.verdict(Call::Clone, 17, &Caller::unprivileged()).is_accepted());
    /// ```
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.rule.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(rule) => write!(f, "refused by rule {rule}"),
            None => f.write_str("accepted"),
        }
    }
}

impl CloneFlags {
    /// What `call` will say to these flags, for that caller.
    ///
    /// Modelled are Linux 4.9 and later on x86-64 and aarch64. Through [`Call::Clone`] only the low
    /// 32 bits of the flags and the low byte of the signal are looked at, as the kernel does; bits
    /// from 32 up that have no name are taken for unknown to any kernel.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    ///
    /// let container = CloneFlags::NEWPID | CloneFlags::NEWNS;
    /// let user = Caller::unprivileged();
    /// assert_eq!(container.verdict(Call::Clone3, 17, &user).errno(), Some(1)); // EPERM
    /// let rootless = container | CloneFlags::NEWUSER;
    /// assert!(rootless.verdict(Call::Clone3, 17, &user).is_accepted());
    /// ```
    pub fn verdict(self, call: Call, exit_signal: u32, caller: &Caller) -> Verdict {
        Verdict {
            rule: self.violated_rules(call, exit_signal, caller).next(),
        }
    }

    /// Every rule that the call breaks; the kernel answers by the first.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// let flags = CloneFlags::NEWNS | CloneFlags::FS | CloneFlags::THREAD;
    /// let ids: Vec<_> = flags
    ///     .violated_rules(Call::Clone3, 0, &Caller::unprivileged())
    ///     .map(|rule| rule.id)
    ///     .collect();
    /// assert_eq!(ids, ["D1", "D3", "F1"]);
    /// ```
    pub fn violated_rules(
        self,
        call: Call,
        exit_signal: u32,
        caller: &Caller,
    ) -> impl Iterator<Item = &'static Rule> {
        let query = Query::new(self, call, exit_signal, caller);
        RULES.iter().filter(move |rule| rule.matches(&query))
    }
}
