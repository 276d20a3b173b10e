//! The rules of `clone` and `clone3`, in the order in which the kernel checks them.
//!
//! Read from `kernel/fork.c`, `kernel/nsproxy.c`, `kernel/user_namespace.c`, `kernel/pid.c` and
//! `kernel/cgroup/cgroup.c`; checked against a running Linux 6.18 by `tests/flags`. The steps:
//!
//! | step | where | what is looked at |
//! |---|---|---|
//! | S | seccomp | a filter returns an error before the call begins |
//! | A | `copy_clone_args_from_user` | the structure given to clone3 |
//! | B | `clone3_args_valid` | what clone3 refuses and clone does not look at |
//! | C | `kernel_clone` | the words for results, the signal |
//! | D | `copy_process`, its beginning | which flags go together |
//! | E | `copy_creds` to `copy_fs` | user namespace, limits, scheduling |
//! | F | `copy_namespaces` | rights to, and limits of, the other namespaces |
//! | G | `copy_thread` | the thread pointer |
//! | H | `alloc_pid`, `pidfd_prepare` | tids and the pidfd |
//! | I | `cgroup_can_fork` to the end | the cgroup, a deadly signal |
//!
//! The rules for the flags that came with Linux 7.1 (D10 to D14) are read, not yet tried.
//! Stable releases have taken over two changes early: the mistake of B2b is mended in those of
//! March 2023 and later, and some of 2026 have C2.

use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EEXIST, EFAULT, EINTR, EINVAL, EMFILE, ENOENT, ENOMEM, ENOSPC,
    ENOSYS, EOPNOTSUPP, EPERM,
};

use super::{Call, CloneFlags as F, Condition, ExitSignalClass, Fact, KernelVersion, Rule};

const ALWAYS: Condition = Condition {
    call: None,
    all: F::empty(),
    any: F::empty(),
    none: F::empty(),
    with: None,
    unless: None,
    exhausted: F::empty(),
    signal: ExitSignalClass::Anything,
    unknown_flag: false,
};
/// Rules of clone3 alone.
const CLONE3: Condition = Condition {
    call: Some(Call::Clone3),
    ..ALWAYS
};
/// Rules of legacy clone alone.
const CLONE: Condition = Condition {
    call: Some(Call::Clone),
    ..ALWAYS
};

/// Every kind but user namespaces, whose capabilities serve for the others.
const NON_USER_NAMESPACES: F = F::NAMESPACES.difference(F::NEWUSER);
/// clone3's flags have no use for the bits of clone's signal, save the one that `NEWTIME` took.
const SIGNAL_BITS: F = F::from_bits_retain(0x7f);

impl Condition {
    const fn requires_all(mut self, flags: F) -> Self {
        self.all = flags;
        self
    }
    const fn requires_any(mut self, flags: F) -> Self {
        self.any = flags;
        self
    }
    const fn forbids(mut self, flags: F) -> Self {
        self.none = flags;
        self
    }
    const fn when(mut self, fact: Fact) -> Self {
        self.with = Some(fact);
        self
    }
    const fn unless(mut self, fact: Fact) -> Self {
        self.unless = Some(fact);
        self
    }
    const fn quota_exhausted(mut self, namespaces: F) -> Self {
        self.exhausted = namespaces;
        self
    }
    const fn exit_signal(mut self, signal: ExitSignalClass) -> Self {
        self.signal = signal;
        self
    }
    const fn unknown_flag(mut self) -> Self {
        self.unknown_flag = true;
        self
    }
}

const fn version((major, minor, patch): (u16, u16, u16)) -> KernelVersion {
    KernelVersion::new(major, minor, patch)
}

/// One row of the table.
const fn rule(
    id: &'static str,
    errno: i32,
    since: (u16, u16, u16),
    when: Condition,
    description: &'static str,
) -> Rule {
    Rule {
        id,
        description,
        errno,
        since: version(since),
        until: None,
        when,
    }
}

/// A row that Linux has dropped in version `end`.
const fn dropped_in(end: (u16, u16, u16), mut rule: Rule) -> Rule {
    rule.until = Some(version(end));
    rule
}

impl Rule {
    /// Every rule, in the order in which the kernel checks them.
    ///
    /// ```
    /// use rawthread::flags::Rule;
    /// let order: Vec<_> = Rule::ALL.iter().map(|rule| rule.id).collect();
    /// let place = |id| order.iter().position(|other| *other == id);
    /// assert!(place("D1") < place("F1"));
    /// ```
    pub const ALL: &'static [Self] = &RULES;

    /// Returns the rule with this id, or `None` if there is none.
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
}

#[rustfmt::skip]
pub(super) static RULES: [Rule; 68] = [
    rule("S1", ENOSYS, (3, 5, 0), CLONE3.when(Fact::Clone3Filtered),
        "a sandbox answers that there is no clone3: use clone"),
    rule("S1b", EPERM, (3, 5, 0), CLONE3.when(Fact::Clone3Forbidden),
        "a sandbox refuses clone3: use clone"),
    rule("S2", EPERM, (3, 5, 0), ALWAYS.requires_any(F::NAMESPACES).when(Fact::NamespacesFiltered),
        "a sandbox refuses new namespaces"),

    dropped_in((5, 3, 0), rule("A0", ENOSYS, (2, 0, 0), CLONE3,
        "clone3 came with Linux 5.3")),
    rule("A1", E2BIG, (5, 3, 0), CLONE3.when(Fact::ArgumentsBeyondPage),
        "clone3's structure is larger than a page"),
    rule("A2", EINVAL, (5, 3, 0), CLONE3.when(Fact::ArgumentsTooShort),
        "clone3's structure is shorter than its first version, 64 bytes"),
    rule("A3", EFAULT, (5, 3, 0), CLONE3.when(Fact::ArgumentsEfault),
        "clone3's structure cannot be read"),
    rule("A4", E2BIG, (5, 3, 0), CLONE3.when(Fact::ArgumentsNonzeroTail),
        "clone3's structure asks for something that this kernel does not know"),
    rule("A5", EINVAL, (5, 5, 0), CLONE3.when(Fact::SetTidMismatch),
        "set_tid and set_tid_size go together, for at most 32 namespaces"),
    rule("A6", EINVAL, (5, 3, 0), CLONE3.exit_signal(ExitSignalClass::BeyondByte),
        "the exit signal does not fit a byte"),
    dropped_in((7, 1, 0), rule("A6b", EINVAL, (5, 3, 0), CLONE3.exit_signal(ExitSignalClass::Invalid),
        "signals end at 64")),
    rule("A7", EINVAL, (5, 7, 0), CLONE3.requires_all(F::INTO_CGROUP).when(Fact::CgroupNotGiven),
        "CLONE_INTO_CGROUP needs a descriptor in the structure's cgroup field"),
    rule("A8", EFAULT, (5, 5, 0), CLONE3.when(Fact::SetTidEfault),
        "the array set_tid cannot be read"),

    rule("B1", EINVAL, (5, 3, 0), CLONE3.unknown_flag(),
        "a flag is not known to this kernel"),
    rule("B2", EINVAL, (5, 3, 0), CLONE3.requires_any(F::DETACHED.union(SIGNAL_BITS)),
        "clone3 takes neither CLONE_DETACHED nor a signal among the flags"),
    dropped_in((6, 3, 0), rule("B2b", EINVAL, (5, 3, 0), CLONE3.requires_all(F::NEWTIME),
        "CLONE_NEWTIME was refused by mistake")),
    rule("B3", EINVAL, (5, 5, 0), CLONE3.requires_all(F::SIGHAND.union(F::CLEAR_SIGHAND)),
        "signal handlers are either shared (CLONE_SIGHAND) or reset (CLONE_CLEAR_SIGHAND)"),
    rule("B4", EINVAL, (5, 3, 0), CLONE3.requires_any(F::THREAD.union(F::PARENT)).exit_signal(ExitSignalClass::Given),
        "clone3 takes no exit signal with CLONE_THREAD or CLONE_PARENT"),
    rule("B5", EINVAL, (5, 4, 0), CLONE3.when(Fact::StackIncomplete),
        "stack and stack_size go together"),
    rule("B5b", EINVAL, (5, 4, 0), CLONE3.when(Fact::StackOutOfRange),
        "the stack is not in user space"),

    rule("C1", EINVAL, (5, 2, 0), CLONE.requires_all(F::PIDFD.union(F::PARENT_SETTID)),
        "clone stores the pidfd where CLONE_PARENT_SETTID stores the tid: take one, or clone3"),
    rule("C1b", EINVAL, (5, 3, 0),
        CLONE3.requires_all(F::PIDFD.union(F::PARENT_SETTID)).when(Fact::PidfdOverTid),
        "pidfd and tid would be stored in the same word"),
    rule("C2", EINVAL, (7, 1, 0), ALWAYS.exit_signal(ExitSignalClass::Invalid),
        "signals end at 64"),

    rule("D1", EINVAL, (2, 4, 19), ALWAYS.requires_all(F::NEWNS.union(F::FS)),
        "a new mount namespace cannot share a root directory (CLONE_NEWNS with CLONE_FS)"),
    rule("D2", EINVAL, (3, 9, 0), ALWAYS.requires_all(F::NEWUSER.union(F::FS)),
        "a new user namespace cannot share a root directory (CLONE_NEWUSER with CLONE_FS)"),
    rule("D2b", EPERM, (3, 8, 0), ALWAYS.requires_all(F::NEWUSER).when(Fact::UserNamespacesForbidden),
        "kernel.unprivileged_userns_clone forbids user namespaces"),
    rule("D3", EINVAL, (2, 5, 35), ALWAYS.requires_all(F::THREAD).forbids(F::SIGHAND),
        "CLONE_THREAD needs CLONE_SIGHAND"),
    rule("D4", EINVAL, (2, 6, 0), ALWAYS.requires_all(F::SIGHAND).forbids(F::VM),
        "CLONE_SIGHAND needs CLONE_VM"),
    rule("D5", EINVAL, (2, 6, 32), ALWAYS.requires_all(F::PARENT).when(Fact::InitOfPidNamespace),
        "the init of a pid namespace has no siblings (CLONE_PARENT)"),
    rule("D6", EINVAL, (3, 8, 0), ALWAYS.requires_all(F::THREAD).requires_any(F::NEWUSER.union(F::NEWPID)),
        "a thread group has one user namespace and one pid namespace"),
    rule("D6b", EINVAL, (3, 8, 0), ALWAYS.requires_all(F::THREAD).when(Fact::PendingPidNamespace),
        "the caller's children belong to another pid namespace, so they cannot be its threads"),
    rule("D7", EINVAL, (5, 2, 0), CLONE.requires_all(F::PIDFD.union(F::DETACHED)),
        "CLONE_PIDFD cannot go with the old CLONE_DETACHED"),
    dropped_in((6, 9, 0), rule("D8", EINVAL, (5, 2, 0), ALWAYS.requires_all(F::PIDFD.union(F::THREAD)),
        "a thread had no pidfd")),
    dropped_in((6, 2, 0), rule("D9", EINVAL, (5, 6, 0),
        ALWAYS.requires_any(F::THREAD.union(F::VM)).when(Fact::PendingTimeNamespace),
        "the caller's children belong to another time namespace, so they could not share memory")),
    rule("D10", EINVAL, (7, 1, 0), CLONE3.requires_all(F::AUTOREAP).requires_any(F::THREAD.union(F::PARENT)),
        "CLONE_AUTOREAP is for children of the caller: no CLONE_THREAD, no CLONE_PARENT"),
    rule("D10b", EINVAL, (7, 1, 0), CLONE3.requires_all(F::AUTOREAP).exit_signal(ExitSignalClass::Given),
        "CLONE_AUTOREAP takes no exit signal"),
    rule("D11", EINVAL, (7, 1, 0), ALWAYS.requires_all(F::PARENT).when(Fact::Autoreaped),
        "a task made with CLONE_AUTOREAP has no siblings (CLONE_PARENT)"),
    rule("D12", EINVAL, (7, 1, 0), CLONE3.requires_all(F::NNP.union(F::THREAD)),
        "no_new_privs is set for whole processes (CLONE_NNP with CLONE_THREAD)"),
    rule("D13", EINVAL, (7, 1, 0), CLONE3.requires_all(F::PIDFD_AUTOKILL).forbids(F::PIDFD),
        "CLONE_PIDFD_AUTOKILL needs CLONE_PIDFD"),
    rule("D13b", EINVAL, (7, 1, 0), CLONE3.requires_all(F::PIDFD_AUTOKILL).forbids(F::AUTOREAP),
        "CLONE_PIDFD_AUTOKILL needs CLONE_AUTOREAP"),
    rule("D14", EPERM, (7, 1, 0),
        CLONE3.requires_all(F::PIDFD_AUTOKILL).forbids(F::NNP).unless(Fact::SysAdmin),
        "CLONE_PIDFD_AUTOKILL needs CLONE_NNP or CAP_SYS_ADMIN"),

    rule("E1", ENOSPC, (4, 9, 0), ALWAYS.requires_all(F::NEWUSER).quota_exhausted(F::NEWUSER),
        "user namespaces are nested too deep, or user.max_user_namespaces is reached"),
    rule("E2", EPERM, (3, 9, 0), ALWAYS.requires_all(F::NEWUSER).when(Fact::Chrooted),
        "a chrooted task makes no user namespaces"),
    rule("E2b", EPERM, (3, 8, 0), ALWAYS.requires_all(F::NEWUSER).when(Fact::UnmappedIds),
        "the caller's uid or gid has no mapping in its own user namespace"),
    rule("E3", EAGAIN, (2, 4, 0),
        ALWAYS.when(Fact::ProcessLimitReached).unless(Fact::ExemptFromProcessLimit),
        "RLIMIT_NPROC is reached"),
    rule("E3b", EAGAIN, (2, 4, 0), ALWAYS.when(Fact::ThreadLimitReached),
        "kernel.threads-max is reached"),
    rule("E4", EAGAIN, (3, 14, 0), ALWAYS.when(Fact::DeadlineWithoutReset),
        "a SCHED_DEADLINE task needs reset-on-fork to make others"),
    rule("E5", EAGAIN, (2, 6, 0), ALWAYS.requires_all(F::FS).when(Fact::ExecInProgress),
        "what would be shared by CLONE_FS is held by an execve under way"),
    rule("E5b", ENOMEM, (2, 0, 0), ALWAYS.when(Fact::OutOfMemory),
        "there is no memory for the copies"),

    rule("F1", EPERM, (3, 8, 0),
        ALWAYS.requires_any(NON_USER_NAMESPACES).forbids(F::NEWUSER).unless(Fact::SysAdmin),
        "new namespaces need CAP_SYS_ADMIN, or CLONE_NEWUSER with them"),
    rule("F2", EINVAL, (2, 6, 19), ALWAYS.requires_all(F::NEWIPC.union(F::SYSVSEM)),
        "semaphores of one IPC namespace cannot be undone from another (CLONE_NEWIPC with CLONE_SYSVSEM)"),
    rule("F3", ENOSPC, (4, 9, 0), ALWAYS.quota_exhausted(F::NEWNS.union(F::NEWUTS).union(F::NEWIPC)),
        "user.max_mnt_namespaces, max_uts_namespaces or max_ipc_namespaces is reached"),
    rule("F3b", EINVAL, (3, 8, 0), ALWAYS.requires_all(F::NEWPID).when(Fact::PendingPidNamespace),
        "the caller's children already belong to another pid namespace"),
    rule("F3c", ENOSPC, (4, 9, 0),
        ALWAYS.quota_exhausted(F::NEWPID.union(F::NEWCGROUP).union(F::NEWNET).union(F::NEWTIME)),
        "pid namespaces are nested too deep, or user.max_pid_namespaces, max_cgroup_namespaces, max_net_namespaces or max_time_namespaces is reached"),

    rule("G1", EPERM, (2, 6, 0), ALWAYS.requires_all(F::SETTLS).when(Fact::ThreadPointerOutOfRange),
        "the thread pointer is not in user space (x86-64 looks)"),

    rule("H1", EINVAL, (5, 5, 0), CLONE3.when(Fact::SetTidOutOfRange),
        "set_tid names a tid that cannot be, or more namespaces than there are"),
    rule("H2", EPERM, (5, 5, 0), CLONE3.when(Fact::SetTid).unless(Fact::CheckpointRestore),
        "set_tid needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over the pid namespace"),
    rule("H3", EEXIST, (5, 5, 0), CLONE3.when(Fact::SetTidInUse),
        "a tid that set_tid names is in use"),
    rule("H3b", EAGAIN, (2, 4, 0), ALWAYS.when(Fact::NoFreeTid),
        "no tid is free"),
    rule("H3c", ENOMEM, (2, 6, 24), ALWAYS.forbids(F::NEWPID).when(Fact::PidNamespaceDead),
        "the pid namespace's init is dead"),
    rule("H4", EMFILE, (5, 2, 0), ALWAYS.requires_all(F::PIDFD).when(Fact::DescriptorTableFull),
        "there is no descriptor left for the pidfd"),
    rule("H4b", EFAULT, (5, 2, 0), ALWAYS.requires_all(F::PIDFD).when(Fact::PidfdEfault),
        "the word for the pidfd cannot be written"),

    rule("I1", EBADF, (5, 7, 0), CLONE3.requires_all(F::INTO_CGROUP).when(Fact::CgroupNotV2),
        "the descriptor is not one of a version 2 cgroup"),
    rule("I1b", ENOENT, (5, 7, 0), CLONE3.requires_all(F::INTO_CGROUP).when(Fact::CgroupRemoved),
        "the cgroup was removed"),
    rule("I1c", EACCES, (5, 7, 0), CLONE3.requires_all(F::INTO_CGROUP).when(Fact::CgroupForbidden),
        "the caller may not put tasks into that cgroup"),
    rule("I1d", EOPNOTSUPP, (5, 7, 0),
        CLONE3.requires_all(F::INTO_CGROUP.union(F::THREAD)).when(Fact::CgroupOfOtherDomain),
        "threads of one process stay in one cgroup domain"),
    rule("I2", EAGAIN, (4, 3, 0), ALWAYS.when(Fact::CgroupFull),
        "the cgroup's pids.max is reached"),
    rule("I3", EINTR, (4, 14, 0), ALWAYS.when(Fact::FatalSignalPending),
        "the caller is about to be killed"),
];
