//! What each flag does, since when, and where that is written.

use core::fmt;

use super::CloneFlags;

/// A version of Linux, as in "since Linux 5.7".
///
/// ```
/// use rawthread::flags::KernelVersion;
/// assert!(KernelVersion::new(2, 6, 24) < KernelVersion::new(5, 3, 0));
/// assert_eq!(KernelVersion::new(5, 3, 0).to_string(), "5.3");
/// assert_eq!(KernelVersion::new(2, 6, 24).to_string(), "2.6.24");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number; 0 where the version has only two.
    pub patch: u16,
}

impl KernelVersion {
    /// Creates the version `major.minor.patch`.
    ///
    /// ```
    /// assert_eq!(rawthread::flags::KernelVersion::new(6, 18, 0).minor, 18);
    /// ```
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Parses the version at the start of a release string of `uname(2)`; `None` if it starts
    /// otherwise.
    ///
    /// ```
    /// use rawthread::flags::KernelVersion;
    /// assert_eq!(KernelVersion::parse("6.18.44-generic"), Some(KernelVersion::new(6, 18, 44)));
    /// assert_eq!(KernelVersion::parse("7.1-rc2"), Some(KernelVersion::new(7, 1, 0)));
    /// assert_eq!(KernelVersion::parse("next"), None);
    /// ```
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.splitn(3, '.').map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse::<u16>().ok()
        });
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = numbers.next().flatten().unwrap_or(0);
        Some(Self::new(major, minor, patch))
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// A description of one named flag.
///
/// ```
/// use rawthread::flags::{CloneFlags, FlagInfo};
///
/// let vfork = CloneFlags::VFORK.info().next().unwrap();
/// assert_eq!(vfork.name, "CLONE_VFORK");
/// assert_eq!(vfork.since.to_string(), "2.2");
/// assert_eq!(vfork.man, "clone(2)");
/// assert!(FlagInfo::ALL.len() >= 31);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlagInfo {
    /// The flag itself, one bit.
    pub flag: CloneFlags,
    /// Its name in `sched.h`, with the prefix `CLONE_`.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// The first Linux that knows it.
    pub since: KernelVersion,
    /// The manual page that describes it; for flags that no page has yet, the kernel's file.
    pub man: &'static str,
    /// Whether only `clone3` can ask for it.
    pub clone3_only: bool,
}

/// One row of the table.
const fn row(
    flag: CloneFlags,
    name: &'static str,
    since: (u16, u16, u16),
    man: &'static str,
    description: &'static str,
) -> FlagInfo {
    FlagInfo {
        flag,
        name,
        description,
        since: KernelVersion::new(since.0, since.1, since.2),
        man,
        clone3_only: !flag.fits_legacy(),
    }
}

const CLONE2: &str = "clone(2)";
const SCHED_H: &str = "include/uapi/linux/sched.h";

#[rustfmt::skip]
static TABLE: [FlagInfo; 31] = [
    row(CloneFlags::NEWTIME, "CLONE_NEWTIME", (5, 6, 0), "time_namespaces(7)",
        "The child gets a new time namespace, with its own offsets of the monotonic and boot-time clocks."),
    row(CloneFlags::VM, "CLONE_VM", (2, 0, 0), CLONE2,
        "Both run in one address space: what one writes or maps, the other sees."),
    row(CloneFlags::FS, "CLONE_FS", (2, 0, 0), CLONE2,
        "Both have one root directory, one working directory and one umask."),
    row(CloneFlags::FILES, "CLONE_FILES", (2, 0, 0), CLONE2,
        "Both have one descriptor table: what one opens or closes is open or closed for the other."),
    row(CloneFlags::SIGHAND, "CLONE_SIGHAND", (2, 0, 0), CLONE2,
        "Both have one table of signal handlers; masks and pending signals stay their own."),
    row(CloneFlags::PIDFD, "CLONE_PIDFD", (5, 2, 0), "pidfd_open(2)",
        "The caller is given a descriptor that names the child and cannot come to mean another."),
    row(CloneFlags::PTRACE, "CLONE_PTRACE", (2, 2, 0), "ptrace(2)",
        "If the caller is traced, the same tracer traces the child."),
    row(CloneFlags::VFORK, "CLONE_VFORK", (2, 2, 0), CLONE2,
        "The calling thread sleeps until the child calls execve or exits."),
    row(CloneFlags::PARENT, "CLONE_PARENT", (2, 3, 12), CLONE2,
        "The child becomes the caller's sibling: the caller's parent gets its exit signal."),
    row(CloneFlags::THREAD, "CLONE_THREAD", (2, 4, 0), CLONE2,
        "The child joins the caller's thread group: one pid, one exit, no wait."),
    row(CloneFlags::NEWNS, "CLONE_NEWNS", (2, 4, 19), "mount_namespaces(7)",
        "The child gets a copy of the mount tree, and mounts and unmounts for itself."),
    row(CloneFlags::SYSVSEM, "CLONE_SYSVSEM", (2, 5, 10), "semop(2)",
        "Both have one list of semaphore adjustments, undone when the last of them ends."),
    row(CloneFlags::SETTLS, "CLONE_SETTLS", (2, 5, 32), CLONE2,
        "The child starts with the thread pointer that the caller gives."),
    row(CloneFlags::PARENT_SETTID, "CLONE_PARENT_SETTID", (2, 5, 49), CLONE2,
        "The kernel stores the new tid in the caller's memory before the child runs."),
    row(CloneFlags::CHILD_CLEARTID, "CLONE_CHILD_CLEARTID", (2, 5, 49), "set_tid_address(2)",
        "When the child ends, the kernel clears a word and wakes a futex there: what a join waits for."),
    row(CloneFlags::DETACHED, "CLONE_DETACHED", (2, 5, 32), CLONE2,
        "A leftover without effect since Linux 2.6.2; clone3 refuses it."),
    row(CloneFlags::UNTRACED, "CLONE_UNTRACED", (2, 5, 46), "ptrace(2)",
        "A tracer that follows forks cannot follow this one."),
    row(CloneFlags::CHILD_SETTID, "CLONE_CHILD_SETTID", (2, 5, 49), CLONE2,
        "The kernel stores the new tid in the child's memory when the child first runs."),
    row(CloneFlags::NEWCGROUP, "CLONE_NEWCGROUP", (4, 6, 0), "cgroup_namespaces(7)",
        "The child sees its own cgroup as the root of the hierarchy."),
    row(CloneFlags::NEWUTS, "CLONE_NEWUTS", (2, 6, 19), "uts_namespaces(7)",
        "The child has its own host name and domain name."),
    row(CloneFlags::NEWIPC, "CLONE_NEWIPC", (2, 6, 19), "ipc_namespaces(7)",
        "The child has its own System V IPC objects and POSIX message queues."),
    row(CloneFlags::NEWUSER, "CLONE_NEWUSER", (2, 6, 23), "user_namespaces(7)",
        "The child has its own user and group ids, and every capability over what its namespace owns."),
    row(CloneFlags::NEWPID, "CLONE_NEWPID", (2, 6, 24), "pid_namespaces(7)",
        "The child is pid 1 of a new pid namespace; when it ends, everything in there is killed."),
    row(CloneFlags::NEWNET, "CLONE_NEWNET", (2, 6, 24), "network_namespaces(7)",
        "The child has its own network devices, addresses, routes and ports."),
    row(CloneFlags::IO, "CLONE_IO", (2, 6, 25), CLONE2,
        "The I/O scheduler counts both as one."),
    row(CloneFlags::CLEAR_SIGHAND, "CLONE_CLEAR_SIGHAND", (5, 5, 0), CLONE2,
        "Every signal with a handler gets its default action in the child; ignored ones stay ignored."),
    row(CloneFlags::INTO_CGROUP, "CLONE_INTO_CGROUP", (5, 7, 0), CLONE2,
        "The child starts in the version 2 cgroup that a descriptor names."),
    row(CloneFlags::AUTOREAP, "CLONE_AUTOREAP", (7, 1, 0), SCHED_H,
        "The child leaves no zombie and sends no exit signal: there is nothing to wait for."),
    row(CloneFlags::NNP, "CLONE_NNP", (7, 1, 0), SCHED_H,
        "The child starts with no_new_privs set: execve can never give it more rights."),
    row(CloneFlags::PIDFD_AUTOKILL, "CLONE_PIDFD_AUTOKILL", (7, 1, 0), SCHED_H,
        "The child is killed when the last copy of the pidfd that came with it is closed."),
    row(CloneFlags::EMPTY_MNTNS, "CLONE_EMPTY_MNTNS", (7, 1, 0), SCHED_H,
        "The child gets a mount namespace with an empty root in it and nothing else."),
];

impl FlagInfo {
    /// Every named flag, lowest bit first.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, FlagInfo};
    /// assert_eq!(FlagInfo::ALL[0].flag, CloneFlags::NEWTIME);
    /// ```
    pub const ALL: &'static [Self] = &TABLE;

    /// Returns whether `word` is the flag's name in any case, with or without `CLONE_`: `vm`,
    /// `CLONE_NEWPID`.
    ///
    /// ```
    /// use rawthread::flags::FlagInfo;
    /// assert!(FlagInfo::ALL.iter().any(|info| info.is_named("vm") && info.is_named("CLONE_VM")));
    /// ```
    #[must_use]
    pub fn is_named(&self, word: &str) -> bool {
        let bare = &self.name["CLONE_".len()..];
        word.eq_ignore_ascii_case(self.name) || word.eq_ignore_ascii_case(bare)
    }
}

impl CloneFlags {
    /// Iterates over the descriptions of the flags in the set, lowest bit first. Bits without a name are left out.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// let names: Vec<_> = (CloneFlags::VM | CloneFlags::FS).info().map(|info| info.name).collect();
    /// assert_eq!(names, ["CLONE_VM", "CLONE_FS"]);
    /// ```
    pub fn info(self) -> impl Iterator<Item = &'static FlagInfo> + Clone {
        TABLE.iter().filter(move |info| self.contains(info.flag))
    }

    /// Returns the bits that have no name.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// let odd = CloneFlags::VM | CloneFlags::from_bits_retain(1 << 50);
    /// assert_eq!(odd.unknown_bits(), 1 << 50);
    /// ```
    #[must_use]
    pub fn unknown_bits(self) -> u64 {
        self.info()
            .fold(self.bits(), |bits, info| bits & !info.flag.bits())
    }
}
