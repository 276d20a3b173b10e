//! The caller of clone and its state: what the kernel's decision depends on besides the flags.

use core::fmt;

use super::{CloneFlags, KernelVersion};

/// Declares [`Fact`]; the sentence that documents each fact is also its data.
macro_rules! facts {
    ($($(#[doc = $sentence:literal])+ $name:ident,)+) => {
        /// A fact about the caller or the call's other arguments on which the kernel's decision
        /// depends. Without any, the caller is an ordinary process and every argument is well
        /// formed.
        ///
        /// ```
        /// use rawthread::flags::{Call, Caller, CloneFlags, Fact};
        ///
        /// let jailed = Caller::unprivileged().with_fact(Fact::Chrooted);
        /// let verdict = CloneFlags::NEWUSER.verdict(Call::Clone3, 17, &jailed);
        /// assert_eq!(verdict.errno(), Some(1)); // EPERM
        /// for fact in Fact::ALL {
        ///     println!("{fact:?}: {}", fact.sentence());
        /// }
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fact {
            $($(#[doc = $sentence])+ $name,)+
        }

        impl Fact {
            /// Every fact that a rule depends on.
            ///
            /// ```
            /// use rawthread::flags::Fact;
            /// assert!(Fact::ALL.contains(&Fact::Chrooted));
            /// ```
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns a sentence that states the fact.
            ///
            /// ```
            /// use rawthread::flags::Fact;
            /// assert!(Fact::Chrooted.sentence().contains("root directory"));
            /// ```
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($sentence),+).trim_start(),)+
                }
            }
        }
    };
}

facts! {
    // Rights.
    /// The caller has CAP_SYS_ADMIN in its user namespace.
    SysAdmin,
    /// The caller has CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over its pid namespace.
    CheckpointRestore,
    /// RLIMIT_NPROC does not bind the caller: it is the machine's root, or has CAP_SYS_RESOURCE or CAP_SYS_ADMIN there.
    ExemptFromProcessLimit,

    // State of the caller.
    /// The caller's root directory is not that of its mount namespace.
    Chrooted,
    /// The caller's effective uid or gid has no mapping in its user namespace.
    UnmappedIds,
    /// The distribution forbids user namespaces to this caller (kernel.unprivileged_userns_clone is 0).
    UserNamespacesForbidden,
    /// The caller is pid 1 of a pid namespace.
    InitOfPidNamespace,
    /// The caller's children belong to another pid namespace than itself (unshare or setns).
    PendingPidNamespace,
    /// The caller's children belong to another time namespace than itself (unshare or setns).
    PendingTimeNamespace,
    /// The caller itself was created with CLONE_AUTOREAP.
    Autoreaped,
    /// The caller runs under SCHED_DEADLINE without reset-on-fork.
    DeadlineWithoutReset,
    /// A signal that will kill the caller is pending.
    FatalSignalPending,
    /// Another task that shares the caller's root and working directory is inside execve.
    ExecInProgress,
    /// A seccomp filter answers clone3 with ENOSYS, as those of container runtimes do.
    Clone3Filtered,
    /// A seccomp filter answers clone3 with EPERM, as those of older container runtimes do.
    Clone3Forbidden,
    /// A seccomp filter answers namespace flags with EPERM, as those of container runtimes do.
    NamespacesFiltered,

    // Limits that are reached.
    /// As many processes of this user live as RLIMIT_NPROC allows.
    ProcessLimitReached,
    /// As many threads live on the machine as kernel.threads-max allows.
    ThreadLimitReached,
    /// The cgroup has as many tasks as its pids.max allows.
    CgroupFull,
    /// The caller's descriptor table is full.
    DescriptorTableFull,
    /// No tid is free in a pid namespace.
    NoFreeTid,
    /// The init of the pid namespace that the child would belong to is dead.
    PidNamespaceDead,
    /// There is no memory for the copies.
    OutOfMemory,

    // The other arguments of the call.
    /// The size given to clone3 is larger than a page.
    ArgumentsBeyondPage,
    /// The size given to clone3 is less than 64 bytes.
    ArgumentsTooShort,
    /// The structure given to clone3 cannot be read.
    ArgumentsEfault,
    /// The structure given to clone3 has non-zero bytes beyond what this kernel knows.
    ArgumentsNonzeroTail,
    /// Of set_tid and set_tid_size only one is zero, or the size is above 32.
    SetTidMismatch,
    /// The array set_tid cannot be read.
    SetTidEfault,
    /// Particular tids are requested (set_tid).
    SetTid,
    /// The array set_tid is longer than there are pid namespaces, or holds a tid that cannot be.
    SetTidOutOfRange,
    /// A tid requested by set_tid is in use.
    SetTidInUse,
    /// Of stack and stack_size only one is zero.
    StackIncomplete,
    /// The stack wraps around or leaves user space.
    StackOutOfRange,
    /// The words for the pidfd and for the parent's tid are the same.
    PidfdOverTid,
    /// The word for the pidfd cannot be written.
    PidfdEfault,
    /// The thread pointer lies outside user space (checked on x86-64 only).
    ThreadPointerOutOfRange,
    /// The cgroup's number is no descriptor number, or the structure is too short to hold it.
    CgroupNotGiven,
    /// The cgroup's descriptor is not one of a version 2 cgroup.
    CgroupNotV2,
    /// The cgroup was removed.
    CgroupRemoved,
    /// The cgroup may not be written by the caller.
    CgroupForbidden,
    /// The cgroup belongs to another domain than the caller's.
    CgroupOfOtherDomain,
}

impl Fact {
    const fn mask(self) -> u64 {
        1 << self as u32
    }
}

/// A caller of clone: its privileges and state, and the kernel that it runs on.
///
/// Three ways to get one, and each can be changed step by step:
/// [`current`](Caller::current), [`privileged`](Caller::privileged),
/// [`unprivileged`](Caller::unprivileged).
///
/// The decisions of security modules (AppArmor, SELinux) and seccomp filters are not predicted,
/// except for those that are a [`Fact`].
///
/// ```
/// use rawthread::flags::{Call, Caller, CloneFlags, Fact, KernelVersion};
///
/// let old = Caller::unprivileged().on_kernel(KernelVersion::new(5, 4, 0));
/// let verdict = CloneFlags::CLEAR_SIGHAND.verdict(Call::Clone3, 17, &old);
/// assert_eq!(verdict.rule().unwrap().id, "B1"); // that flag came with 5.5
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    kernel: KernelVersion,
    facts: u64,
    exhausted: CloneFlags,
}

impl Caller {
    /// The newest kernel whose flags and rules are in the tables. A younger row raises it; callers
    /// without a kernel of their own are on it.
    ///
    /// ```
    /// use rawthread::flags::{Caller, KernelVersion};
    /// assert!(Caller::NEWEST_KERNEL >= KernelVersion::new(7, 1, 0));
    /// ```
    pub const NEWEST_KERNEL: KernelVersion = KernelVersion::new(7, 1, 0);

    /// Creates a caller that is an ordinary user's process, on [`NEWEST_KERNEL`](Self::NEWEST_KERNEL).
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// let verdict = CloneFlags::NEWNET.verdict(Call::Clone3, 17, &Caller::unprivileged());
    /// assert_eq!(verdict.rule().unwrap().id, "F1");
    /// ```
    #[must_use]
    pub const fn unprivileged() -> Self {
        Self {
            kernel: Self::NEWEST_KERNEL,
            facts: 0,
            exhausted: CloneFlags::empty(),
        }
    }

    /// Creates a caller that is the machine's root with every capability, on
    /// [`NEWEST_KERNEL`](Self::NEWEST_KERNEL).
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// let verdict = CloneFlags::NEWNET.verdict(Call::Clone3, 17, &Caller::privileged());
    /// assert_eq!(verdict.errno(), None);
    /// ```
    #[must_use]
    pub const fn privileged() -> Self {
        Self::unprivileged()
            .with_fact(Fact::SysAdmin)
            .with_fact(Fact::CheckpointRestore)
            .with_fact(Fact::ExemptFromProcessLimit)
    }

    /// Returns the caller with this fact.
    ///
    /// ```
    /// use rawthread::flags::{Caller, Fact};
    /// assert!(Caller::unprivileged().with_fact(Fact::SysAdmin).has_fact(Fact::SysAdmin));
    /// ```
    #[must_use]
    pub const fn with_fact(mut self, fact: Fact) -> Self {
        self.facts |= fact.mask();
        self
    }

    /// Returns the caller without this fact.
    ///
    /// ```
    /// use rawthread::flags::{Caller, Fact};
    /// assert!(!Caller::privileged().without_fact(Fact::SysAdmin).has_fact(Fact::SysAdmin));
    /// ```
    #[must_use]
    pub const fn without_fact(mut self, fact: Fact) -> Self {
        self.facts &= !fact.mask();
        self
    }

    /// Returns the caller on another kernel.
    ///
    /// ```
    /// use rawthread::flags::{Caller, KernelVersion};
    /// let kernel = KernelVersion::new(5, 10, 0);
    /// assert_eq!(Caller::privileged().on_kernel(kernel).kernel(), kernel);
    /// ```
    #[must_use]
    pub const fn on_kernel(mut self, kernel: KernelVersion) -> Self {
        self.kernel = kernel;
        self
    }

    /// Returns the caller with the quota of these kinds of namespaces used up: they are nested too
    /// deep, or a limit in `/proc/sys/user` is reached.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, CloneFlags};
    /// let caller = Caller::privileged().with_quota_exhausted(CloneFlags::NEWNET);
    /// assert_eq!(CloneFlags::NEWNET.verdict(Call::Clone3, 17, &caller).errno(), Some(28)); // ENOSPC
    /// ```
    #[must_use]
    pub const fn with_quota_exhausted(mut self, namespaces: CloneFlags) -> Self {
        self.exhausted = self
            .exhausted
            .union(namespaces.intersection(CloneFlags::NAMESPACES));
        self
    }

    /// Returns whether this fact holds for the caller.
    ///
    /// ```
    /// use rawthread::flags::{Caller, Fact};
    /// assert!(Caller::privileged().has_fact(Fact::SysAdmin));
    /// ```
    #[must_use]
    pub const fn has_fact(&self, fact: Fact) -> bool {
        self.facts & fact.mask() != 0
    }

    /// Iterates over the facts that hold for the caller.
    ///
    /// ```
    /// use rawthread::flags::{Caller, Fact};
    /// assert_eq!(Caller::unprivileged().facts().count(), 0);
    /// assert!(Caller::privileged().facts().any(|fact| fact == Fact::SysAdmin));
    /// ```
    pub fn facts(self) -> impl Iterator<Item = Fact> {
        Fact::ALL
            .iter()
            .copied()
            .filter(move |fact| self.has_fact(*fact))
    }

    /// Returns the kernel that the caller runs on.
    ///
    /// ```
    /// use rawthread::flags::Caller;
    /// assert_eq!(Caller::unprivileged().kernel(), Caller::NEWEST_KERNEL);
    /// ```
    #[must_use]
    pub const fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    /// Returns the flags of the namespaces for which the caller's quota is used up.
    ///
    /// ```
    /// use rawthread::flags::{Caller, CloneFlags};
    /// assert_eq!(Caller::unprivileged().exhausted(), CloneFlags::empty());
    /// ```
    #[must_use]
    pub const fn exhausted(&self) -> CloneFlags {
        self.exhausted
    }
}

/// The facts by name, not as bits.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Facts(Caller);
        impl fmt::Debug for Facts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.0.facts()).finish()
            }
        }
        f.debug_struct("Caller")
            .field("kernel", &self.kernel)
            .field("facts", &Facts(*self))
            .field("exhausted", &self.exhausted)
            .finish()
    }
}
