//! The flags of `clone3`'s flag word: which there are.

bitflags::bitflags! {
    /// A set of clone flags: what the new task shares with the caller, and what it gets of its own.
    ///
    /// The bits are those of `clone3`'s `flags` word. Legacy `clone` takes the low 32 of them,
    /// and its low byte is the exit signal: see [`CloneFlags::from_legacy`]. Bits without a name
    /// are kept, so that flags of newer kernels can be passed on and displayed.
    ///
    /// [`CloneFlags::info`] says what each flag does. [`Display`](core::fmt::Display) writes what
    /// `strace` writes; [`FromStr`](core::str::FromStr) reads names and numbers.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    ///
    /// let thread: CloneFlags = "vm,fs,files,sighand,thread,sysvsem".parse()?;
    /// assert!(thread.contains(CloneFlags::VM | CloneFlags::THREAD));
    /// assert_eq!(thread.bits(), 0x50f00);
    /// assert_eq!((CloneFlags::VM | CloneFlags::VFORK).to_string(), "CLONE_VM|CLONE_VFORK");
    /// # Ok::<(), rawthread::flags::ParseFlagsError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CloneFlags: u64 {
        /// A new time namespace (`clone3` only: in `clone` the bit belongs to the exit signal).
        #[doc(alias = "CLONE_NEWTIME")]
        const NEWTIME = 0x80;
        /// Share the address space.
        #[doc(alias = "CLONE_VM")]
        const VM = 0x100;
        /// Share root directory, working directory and umask.
        #[doc(alias = "CLONE_FS")]
        const FS = 0x200;
        /// Share the descriptor table.
        #[doc(alias = "CLONE_FILES")]
        const FILES = 0x400;
        /// Share the table of signal handlers.
        #[doc(alias = "CLONE_SIGHAND")]
        const SIGHAND = 0x800;
        /// Give the caller a pidfd for the new task.
        #[doc(alias = "CLONE_PIDFD")]
        const PIDFD = 0x1000;
        /// Trace the new task too, if the caller is traced.
        #[doc(alias = "CLONE_PTRACE")]
        const PTRACE = 0x2000;
        /// Suspend the calling thread until the child calls `execve` or exits.
        #[doc(alias = "CLONE_VFORK")]
        const VFORK = 0x4000;
        /// Create a sibling: the new task gets the caller's parent.
        #[doc(alias = "CLONE_PARENT")]
        const PARENT = 0x8000;
        /// Join the caller's thread group.
        #[doc(alias = "CLONE_THREAD")]
        const THREAD = 0x1_0000;
        /// A new mount namespace.
        #[doc(alias = "CLONE_NEWNS")]
        const NEWNS = 0x2_0000;
        /// Share the list of System V semaphore adjustments.
        #[doc(alias = "CLONE_SYSVSEM")]
        const SYSVSEM = 0x4_0000;
        /// Set the thread pointer.
        #[doc(alias = "CLONE_SETTLS")]
        const SETTLS = 0x8_0000;
        /// Store the new tid in the caller's memory.
        #[doc(alias = "CLONE_PARENT_SETTID")]
        const PARENT_SETTID = 0x10_0000;
        /// Clear a word in the child's memory when it ends, and wake a futex there.
        #[doc(alias = "CLONE_CHILD_CLEARTID")]
        const CHILD_CLEARTID = 0x20_0000;
        /// Without effect since Linux 2.6.2; `clone3` refuses it.
        #[doc(alias = "CLONE_DETACHED")]
        const DETACHED = 0x40_0000;
        /// A tracer cannot force `PTRACE` on the new task.
        #[doc(alias = "CLONE_UNTRACED")]
        const UNTRACED = 0x80_0000;
        /// Store the new tid in the child's memory.
        #[doc(alias = "CLONE_CHILD_SETTID")]
        const CHILD_SETTID = 0x100_0000;
        /// A new cgroup namespace.
        #[doc(alias = "CLONE_NEWCGROUP")]
        const NEWCGROUP = 0x200_0000;
        /// A new UTS namespace (host and domain name).
        #[doc(alias = "CLONE_NEWUTS")]
        const NEWUTS = 0x400_0000;
        /// A new IPC namespace.
        #[doc(alias = "CLONE_NEWIPC")]
        const NEWIPC = 0x800_0000;
        /// A new user namespace.
        #[doc(alias = "CLONE_NEWUSER")]
        const NEWUSER = 0x1000_0000;
        /// A new pid namespace.
        #[doc(alias = "CLONE_NEWPID")]
        const NEWPID = 0x2000_0000;
        /// A new network namespace.
        #[doc(alias = "CLONE_NEWNET")]
        const NEWNET = 0x4000_0000;
        /// Share the I/O context.
        #[doc(alias = "CLONE_IO")]
        const IO = 0x8000_0000;
        /// Reset all signal handlers to the default (`clone3` only).
        #[doc(alias = "CLONE_CLEAR_SIGHAND")]
        const CLEAR_SIGHAND = 1 << 32;
        /// Start in a given cgroup (`clone3` only).
        #[doc(alias = "CLONE_INTO_CGROUP")]
        const INTO_CGROUP = 1 << 33;
        /// The child is reaped by itself when it ends (`clone3` only).
        #[doc(alias = "CLONE_AUTOREAP")]
        const AUTOREAP = 1 << 34;
        /// Set `no_new_privs` in the child (`clone3` only).
        #[doc(alias = "CLONE_NNP")]
        const NNP = 1 << 35;
        /// Kill the child when the pidfd made with it is closed (`clone3` only).
        #[doc(alias = "CLONE_PIDFD_AUTOKILL")]
        const PIDFD_AUTOKILL = 1 << 36;
        /// A new mount namespace with nothing in it but an empty root (`clone3` only).
        #[doc(alias = "CLONE_EMPTY_MNTNS")]
        const EMPTY_MNTNS = 1 << 37;

        // Every other bit is kept: the kernel may know it already.
        #[doc(alias = "CLONE__")]
        const _ = !0;
    }
}

impl CloneFlags {
    /// The namespace flags: each gives the new task a namespace of its own.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// assert!(CloneFlags::NAMESPACES.contains(CloneFlags::NEWPID));
    /// assert!(!CloneFlags::NAMESPACES.contains(CloneFlags::VM));
    /// ```
    pub const NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET)
        .union(Self::NEWTIME)
        .union(Self::EMPTY_MNTNS);

    /// The flags that only set where a number is stored or which tracer is attached: they do not
    /// change what the two tasks share.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Preset};
    /// let (nptl, go) = (Preset::NPTL.flags, Preset::GO.flags);
    /// assert_eq!(nptl.difference(CloneFlags::BOOKKEEPING), go);
    /// ```
    pub const BOOKKEEPING: Self = Self::SETTLS
        .union(Self::PARENT_SETTID)
        .union(Self::CHILD_CLEARTID)
        .union(Self::CHILD_SETTID)
        .union(Self::DETACHED)
        .union(Self::PIDFD)
        .union(Self::PTRACE)
        .union(Self::UNTRACED);

    /// The bits of legacy `clone`'s word that hold the exit signal (`CSIGNAL` in `sched.h`).
    ///
    /// ```
    /// assert_eq!(rawthread::flags::CloneFlags::EXIT_SIGNAL_MASK, 0xff);
    /// ```
    pub const EXIT_SIGNAL_MASK: u64 = 0xff;

    /// Splits legacy `clone`'s word into the flags and the exit signal in its low byte.
    ///
    /// Bits from 32 up are kept, though the kernel drops them: `clone` cannot express them.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// // The word that glibc's fork() passes.
    /// let (flags, signal) = CloneFlags::from_legacy(0x1200011);
    /// assert_eq!(flags, CloneFlags::CHILD_CLEARTID | CloneFlags::CHILD_SETTID);
    /// assert_eq!(signal, 17); // SIGCHLD
    /// ```
    #[must_use]
    pub const fn from_legacy(word: u64) -> (Self, u32) {
        (
            Self::from_bits_retain(word & !Self::EXIT_SIGNAL_MASK),
            (word & Self::EXIT_SIGNAL_MASK) as u32,
        )
    }

    /// Returns whether legacy `clone` has a bit for each of these flags.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// assert!(CloneFlags::VM.fits_legacy());
    /// assert!(!CloneFlags::INTO_CGROUP.fits_legacy());
    /// assert!(!CloneFlags::NEWTIME.fits_legacy());
    /// ```
    #[must_use]
    pub const fn fits_legacy(self) -> bool {
        self.bits() & !0xffff_ff00 == 0
    }
}
