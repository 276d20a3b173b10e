//! Predicts whether the kernel accepts a call, without making it.
//!
//! The rules are in one table (`rule_table.rs`), in the order in which the kernel checks them; the
//! first that applies decides the errno. This file evaluates them.

use core::fmt;

use super::rule_table::RULES;
use super::{Call, Caller, CloneFlags, Condition, Rule};

/// A call as the kernel reads its arguments.
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
    fn matches(&self, query: &Query<'_>) -> bool {
        self.exists_in(query.caller.kernel()) && self.when.matches(query)
    }
}

/// The outcome of a call of `clone` or `clone3`: accepted, or refused by a [`Rule`].
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
    /// Returns the errno that the call fails with; `None` if it is accepted.
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

    /// Returns the rule that refuses the call; `None` if it is accepted.
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

    /// Returns whether the kernel creates the task.
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
    /// Predicts the outcome of `call` with these flags and this exit signal, for that caller.
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

    /// Iterates over the rules that the call violates; the first decides the errno.
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
