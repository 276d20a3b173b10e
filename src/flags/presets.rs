//! Known ways to create a task, with the flags that distinguish them.

use super::CloneFlags;

/// A system call that creates a task: `clone` or `clone3`.
///
/// ```
/// use rawthread::flags::{Call, Preset};
/// assert_eq!(Preset::GO.call, Call::Clone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Legacy `clone(2)`: flags and exit signal in one word, 32 bits of it used.
    Clone,
    /// `clone3(2)`, since Linux 5.3: 64 bits of flags, the signal beside them.
    Clone3,
}

/// A known user of clone: a program, library or function, and the flags that it passes.
///
/// ```
/// use rawthread::flags::{CloneFlags, Preset};
///
/// let fork = Preset::by_id("fork").unwrap();
/// assert_eq!(fork.flags, CloneFlags::empty());
/// assert_eq!(fork.exit_signal, 17); // SIGCHLD
/// for preset in Preset::ALL {
///     println!("{:<20} {}", preset.name, preset.flags);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// A short word for command lines: `nptl`, `go-exec`.
    pub id: &'static str,
    /// Its common name.
    pub name: &'static str,
    /// The flags that it passes.
    pub flags: CloneFlags,
    /// The signal its parent gets when it ends; 0 for none.
    pub exit_signal: u32,
    /// The call it is made with.
    pub call: Call,
    /// What the new task is, in one sentence.
    pub description: &'static str,
    /// Where these flags can be read.
    pub source: &'static str,
}

/// How closely flags and exit signal match a preset.
///
/// ```
/// use rawthread::flags::{PresetMatch, Preset};
/// assert_eq!(Preset::NPTL.match_preset(Preset::NPTL.flags, 0), Some(PresetMatch::Exact));
/// assert_eq!(Preset::NPTL.match_preset(Preset::GO.flags, 0), Some(PresetMatch::SameSharing));
/// assert_eq!(Preset::NPTL.match_preset(Preset::FORK.flags, 17), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresetMatch {
    /// Flags and exit signal are the preset's.
    Exact,
    /// They differ only in [`CloneFlags::BOOKKEEPING`]: the tasks share what the preset's share.
    SameSharing,
}

/// `SIGCHLD` on x86-64 and aarch64.
const SIGCHLD: u32 = 17;
/// The signal that a LinuxThreads manager got when one of its threads ended.
const SIGUSR2: u32 = 12;

/// What every thread of today shares.
const THREAD: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM);

/// The same with a thread pointer, a tid and a word to join on.
const POSIX_THREAD: CloneFlags = THREAD
    .union(CloneFlags::SETTLS)
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_CLEARTID);

impl Preset {
    /// A POSIX thread of glibc (NPTL).
    ///
    /// ```
    /// assert_eq!(rawthread::flags::Preset::NPTL.flags.bits(), 0x3d0f00);
    /// ```
    pub const NPTL: Self = Self {
        id: "nptl",
        name: "pthread_create (NPTL)",
        flags: POSIX_THREAD,
        exit_signal: 0,
        call: Call::Clone3,
        description: "A POSIX thread of glibc: shares everything, joined on a word that the kernel clears (by clone before glibc 2.34).",
        source: "glibc nptl/pthread_create.c, create_thread",
    };

    /// A thread of this crate.
    ///
    /// ```
    /// use rawthread::flags::Preset;
    /// assert_eq!(Preset::RAWTHREAD.flags, Preset::NPTL.flags);
    /// ```
    pub const RAWTHREAD: Self = Self {
        id: "rawthread",
        name: "rawthread::spawn",
        flags: POSIX_THREAD,
        exit_signal: 0,
        call: Call::Clone3,
        description: "A thread of this crate: shares what a POSIX thread shares (by clone where clone3 is refused).",
        source: "rawthread src/thread/spawn/prepare.rs",
    };

    /// A thread of Go's runtime (an M).
    ///
    /// ```
    /// assert_eq!(rawthread::flags::Preset::GO.flags.bits(), 0x50f00);
    /// ```
    pub const GO: Self = Self {
        id: "go",
        name: "Go runtime thread",
        flags: THREAD,
        exit_signal: 0,
        call: Call::Clone,
        description: "A thread that runs goroutines: shares everything, is never joined, and sets its thread pointer itself (on amd64 by CLONE_SETTLS).",
        source: "Go src/runtime/os_linux.go, cloneFlags",
    };

    /// A thread as LinuxThreads made it: a process that shares memory.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Preset};
    /// assert!(!Preset::LINUX_THREADS.flags.contains(CloneFlags::THREAD));
    /// ```
    pub const LINUX_THREADS: Self = Self {
        id: "linuxthreads",
        name: "LinuxThreads (1996)",
        flags: CloneFlags::VM
            .union(CloneFlags::FS)
            .union(CloneFlags::FILES)
            .union(CloneFlags::SIGHAND),
        exit_signal: SIGUSR2,
        call: Call::Clone,
        description: "A thread before there were thread groups: a process with its own pid that shares memory, and that a manager thread waits for.",
        source: "LinuxThreads manager.c (glibc up to 2.3), __pthread_sig_cancel: SIGUSR2, or a real-time signal where the kernel has them",
    };

    /// The plain `fork`.
    ///
    /// ```
    /// assert!(rawthread::flags::Preset::FORK.flags.is_empty());
    /// ```
    pub const FORK: Self = Self {
        id: "fork",
        name: "fork",
        flags: CloneFlags::empty(),
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "A copy of the process: shares nothing but open file descriptions (glibc adds the child's tid word).",
        source: "fork(2); kernel/fork.c",
    };

    /// `vfork`.
    ///
    /// ```
    /// assert_eq!(rawthread::flags::Preset::VFORK.flags.bits(), 0x4100);
    /// ```
    pub const VFORK: Self = Self {
        id: "vfork",
        name: "vfork",
        flags: CloneFlags::VM.union(CloneFlags::VFORK),
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "A child that borrows memory and stack while the calling thread sleeps, until it calls execve or exits.",
        source: "vfork(2); kernel/fork.c",
    };

    /// `posix_spawn` of glibc.
    ///
    /// ```
    /// use rawthread::flags::Preset;
    /// assert_eq!(Preset::POSIX_SPAWN.flags, Preset::VFORK.flags);
    /// ```
    pub const POSIX_SPAWN: Self = Self {
        id: "posix_spawn",
        name: "posix_spawn",
        flags: CloneFlags::VM.union(CloneFlags::VFORK),
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "As vfork, but the child stands on a stack of its own (glibc 2.38 and later ask clone3 to reset signal handlers too).",
        source: "glibc sysdeps/unix/sysv/linux/spawni.c",
    };

    /// A program started by Go's `exec.Command`.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Preset};
    /// assert!(Preset::GO_EXEC.flags.contains(CloneFlags::PIDFD));
    /// ```
    pub const GO_EXEC: Self = Self {
        id: "go-exec",
        name: "Go exec.Command",
        flags: CloneFlags::VM
            .union(CloneFlags::VFORK)
            .union(CloneFlags::PIDFD),
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "As vfork, and Go keeps a pidfd to wait by (clone3 only when a cgroup is asked for).",
        source: "Go src/syscall/exec_linux.go, forkAndExecInChild1",
    };

    /// A container: new namespaces.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Preset};
    /// assert!(CloneFlags::NAMESPACES.contains(Preset::CONTAINER.flags));
    /// ```
    pub const CONTAINER: Self = Self {
        id: "container",
        name: "container",
        flags: CloneFlags::NEWUSER
            .union(CloneFlags::NEWNS)
            .union(CloneFlags::NEWPID)
            .union(CloneFlags::NEWUTS)
            .union(CloneFlags::NEWIPC)
            .union(CloneFlags::NEWNET)
            .union(CloneFlags::NEWCGROUP),
        exit_signal: SIGCHLD,
        call: Call::Clone3,
        description: "A process with its own users, mounts, pids, host name, IPC, network and cgroup root: what a rootless container starts from.",
        source: "namespaces(7)",
    };

    /// A process by clone with nothing shared: one half of the classic experiment.
    ///
    /// ```
    /// use rawthread::flags::Preset;
    /// assert_eq!(Preset::CLONE.flags, Preset::FORK.flags);
    /// ```
    pub const CLONE: Self = Self {
        id: "clone",
        name: "clone",
        flags: CloneFlags::empty(),
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "A process by glibc's clone() on a stack of its own: what it writes stays its own.",
        source: "clone(2), EXAMPLES",
    };

    /// A process that shares memory: the other half of the classic experiment.
    ///
    /// ```
    /// assert_eq!(rawthread::flags::Preset::CLONE_VM.flags.bits(), 0x100);
    /// ```
    pub const CLONE_VM: Self = Self {
        id: "clone-vm",
        name: "clone vm",
        flags: CloneFlags::VM,
        exit_signal: SIGCHLD,
        call: Call::Clone,
        description: "A process that shares memory and nothing else: what it writes, its caller reads.",
        source: "clone(2)",
    };

    /// Every preset, threads first.
    ///
    /// ```
    /// assert!(rawthread::flags::Preset::ALL.len() >= 11);
    /// ```
    pub const ALL: &'static [Self] = &[
        Self::NPTL,
        Self::RAWTHREAD,
        Self::GO,
        Self::LINUX_THREADS,
        Self::FORK,
        Self::VFORK,
        Self::POSIX_SPAWN,
        Self::GO_EXEC,
        Self::CONTAINER,
        Self::CLONE,
        Self::CLONE_VM,
    ];

    /// Returns the preset with this id or name, in any case; what a name has in parentheses may be
    /// left out.
    ///
    /// ```
    /// use rawthread::flags::Preset;
    /// assert_eq!(Preset::by_id("go"), Some(&Preset::GO));
    /// assert_eq!(Preset::by_id("clone vm"), Some(&Preset::CLONE_VM));
    /// assert_eq!(Preset::by_id("pthread_create"), Some(&Preset::NPTL));
    /// assert_eq!(Preset::by_id("solaris"), None);
    /// ```
    #[must_use]
    pub fn by_id(word: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|preset| {
            let short = preset.name.split(" (").next().unwrap_or(preset.name);
            [preset.id, preset.name, short]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(word))
        })
    }

    /// Returns how closely flags and exit signal match this preset; `None` if they create another
    /// kind of task.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, PresetMatch, Preset};
    /// // glibc's fork also has the kernel store the tid in the child.
    /// let glibc = CloneFlags::CHILD_SETTID | CloneFlags::CHILD_CLEARTID;
    /// assert_eq!(Preset::FORK.match_preset(glibc, 17), Some(PresetMatch::SameSharing));
    /// ```
    #[must_use]
    pub fn match_preset(&self, flags: CloneFlags, exit_signal: u32) -> Option<PresetMatch> {
        let significant = |flags: CloneFlags| flags.difference(CloneFlags::BOOKKEEPING);
        if self.exit_signal != exit_signal {
            None
        } else if self.flags == flags {
            Some(PresetMatch::Exact)
        } else if significant(self.flags) == significant(flags) {
            Some(PresetMatch::SameSharing)
        } else {
            None
        }
    }

    /// Iterates over the presets that flags and exit signal match, exact ones first.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, PresetMatch, Preset};
    /// let mut found = Preset::matching(CloneFlags::VM | CloneFlags::VFORK, 17);
    /// assert_eq!(found.next(), Some((&Preset::VFORK, PresetMatch::Exact)));
    /// assert_eq!(found.next(), Some((&Preset::POSIX_SPAWN, PresetMatch::Exact)));
    /// assert_eq!(found.next(), Some((&Preset::GO_EXEC, PresetMatch::SameSharing)));
    /// assert_eq!(found.next(), None);
    /// ```
    pub fn matching(
        flags: CloneFlags,
        exit_signal: u32,
    ) -> impl Iterator<Item = (&'static Self, PresetMatch)> {
        [PresetMatch::Exact, PresetMatch::SameSharing]
            .into_iter()
            .flat_map(move |wanted| {
                Self::ALL
                    .iter()
                    .filter(move |preset| preset.match_preset(flags, exit_signal) == Some(wanted))
                    .map(move |preset| (preset, wanted))
            })
    }
}
