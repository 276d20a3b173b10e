//! A closure in a process of its own, made with any legal set of clone flags.

#[cfg(feature = "alloc")]
use super::before_exec::BeforeExec;
use super::cgroup::Cgroup;
use super::namespaces::{IdMaps, Namespaces};
use super::steps::Steps;
use crate::flags::CloneFlags;

/// The kernel's bound on the length of the `set_tid` array (nested pid namespaces).
pub(super) const MAX_SET_TID: usize = 32;

/// The stack of a child that shares memory, unless set: 256 KiB.
const DEFAULT_STACK: usize = 256 * 1024;

/// Configures and spawns a process that runs a closure and shares with its parent what the flags say.
///
/// | flags | the child | its stack |
/// |---|---|---|
/// | none (`fork`) | runs on a private copy of memory | the copy of the caller's |
/// | `VM` | runs beside its parent, in the same memory | its own, guarded, [`stack_size`](Self::stack_size) |
/// | `VM`, `VFORK` | the same, while the calling thread sleeps until it exits or execs | the same |
/// | `THREAD` | refused: that is a thread, see `rawthread::Builder` | |
///
/// The exit signal is `SIGCHLD` unless set (0 with `PARENT`, where the kernel takes the caller's).
///
/// With `VM`, `SIGHAND` and `NEWPID` the child is an init that shares the table of signal actions, and an
/// init that dies ignores `SIGCHLD` in it (kernel/pid_namespace.c, `zap_pid_ns_processes`): from then on
/// the kernel reaps this process's children, of any kind, by itself. [`Child::wait`](super::Child::wait)
/// finds their status by the pidfd (Linux 6.15), `waitpid` and std's `wait` fail with `ECHILD`; set the
/// action of `SIGCHLD` again.
///
/// ```
/// use rawthread::process::Builder;
///
/// # fn main() -> Result<(), rawthread::Error> {
/// // SAFETY: the child shares nothing and only computes.
/// let mut child = unsafe { Builder::new().spawn(|| 42) }?;
/// assert_eq!(child.wait()?.code(), Some(42));
/// # Ok(())
/// # }
/// ```
#[doc(alias("clone", "clone3"))]
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `spawn`"]
pub struct Builder {
    pub(super) flags: CloneFlags,
    pub(super) namespaces: Namespaces,
    pub(super) exit_signal: Option<u32>,
    /// `None`: if the kernel can.
    pub(super) pidfd: Option<bool>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) tids: [i32; MAX_SET_TID],
    pub(super) tid_count: usize,
    pub(super) maps: IdMaps,
    pub(super) stack_size: usize,
    /// With `VM` only.
    pub(super) own_tls: bool,
    pub(super) steps: Steps,
}

impl Builder {
    /// A child that shares nothing: what `fork` makes.
    ///
    /// ```
    /// let builder = rawthread::process::Builder::new();
    /// # let _ = builder;
    /// ```
    pub fn new() -> Self {
        Self {
            flags: CloneFlags::empty(),
            namespaces: Namespaces::empty(),
            exit_signal: None,
            pidfd: None,
            cgroup: None,
            tids: [0; MAX_SET_TID],
            tid_count: 0,
            maps: IdMaps::default(),
            stack_size: DEFAULT_STACK,
            own_tls: true,
            steps: Steps::default(),
        }
    }

    /// Sets the clone flags, in place of those of an earlier call. What [`namespaces`](Self::namespaces) adds is
    /// kept, before and after.
    ///
    /// The words that `PARENT_SETTID`, `CHILD_SETTID` and `CHILD_CLEARTID` ask for are provided;
    /// `SETTLS` alone keeps the caller's thread pointer.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// use rawthread::process::Builder;
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// let mut seen = 0;
    /// let seen_by_child = &raw mut seen as usize;
    /// // SAFETY: the parent sleeps, and the child only stores a number that outlives it.
    /// let mut child = unsafe {
    ///     Builder::new()
    ///         .flags(CloneFlags::VM | CloneFlags::VFORK)
    ///         .spawn(move || {
    ///             (seen_by_child as *mut i32).write_volatile(5);
    ///             0
    ///         })
    /// }?;
    /// child.wait()?;
    /// // SAFETY: the child is gone.
    /// assert_eq!(unsafe { (&raw const seen).read_volatile() }, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flags(mut self, flags: CloneFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The signal that the parent gets at the child's end; 0 for none.
    ///
    /// A child whose exit signal is not `SIGCHLD` is invisible to a plain `waitpid`
    /// (`wait(2)`, `__WALL`); [`Child::wait`](super::Child::wait) finds it.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().exit_signal(0).spawn(|| 1) }?;
    /// assert_eq!(child.wait()?.code(), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit_signal(mut self, signal: u32) -> Self {
        self.exit_signal = Some(signal);
        self
    }

    /// Whether the child comes with a pidfd (`CLONE_PIDFD`, Linux 5.2). The default: if the kernel
    /// can. Without one the handle knows it by number: it does not find the status where SIGCHLD is ignored, and
    /// [`Child::wait_group`](super::Child::wait_group) reaps no other child meanwhile.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let child = unsafe { rawthread::process::Builder::new().pidfd(false).spawn(|| 0) }?;
    /// assert!(child.raw_pidfd().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn pidfd(mut self, enable: bool) -> Self {
        self.pidfd = Some(enable);
        self
    }

    /// Starts the child in a version-2 cgroup (`CLONE_INTO_CGROUP`, Linux 5.7).
    ///
    /// ```
    /// // The root directory is none of a cgroup, and spawn says so.
    /// let root = rawthread::process::Cgroup::open(c"/")?;
    /// // SAFETY: the child would share nothing and only compute.
    /// let error = unsafe { rawthread::process::Builder::new().cgroup(root).spawn(|| 0) };
    /// assert!(error.is_err());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn cgroup(mut self, cgroup: impl Into<Cgroup>) -> Self {
        self.cgroup = Some(cgroup.into());
        self
    }

    /// Chooses the child's process id, in the innermost pid namespace first (Linux 5.5).
    ///
    /// Needs `CAP_CHECKPOINT_RESTORE` over each of those namespaces.
    ///
    /// ```
    /// // A process of this number exists.
    /// // SAFETY: the child would share nothing and only compute.
    /// let taken = unsafe { rawthread::process::Builder::new().set_tid(&[1]).spawn(|| 0) };
    /// assert!(taken.is_err());
    /// ```
    pub fn set_tid(mut self, tids: &[i32]) -> Self {
        let kept = tids.len().min(MAX_SET_TID);
        self.tids[..kept].copy_from_slice(&tids[..kept]);
        self.tid_count = tids.len();
        self
    }

    /// Adds namespaces of the child's own, whatever [`flags`](Self::flags) are set.
    ///
    /// ```no_run
    /// use rawthread::process::{Builder, Namespaces};
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only asks for its number.
    /// let mut child = unsafe {
    ///     Builder::new()
    ///         .namespaces(Namespaces::USER | Namespaces::PID)
    ///         .spawn(|| unsafe { libc::getpid() })
    /// }?;
    /// assert_eq!(child.wait()?.code(), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespaces(mut self, namespaces: Namespaces) -> Self {
        self.namespaces |= namespaces;
        self
    }

    /// Maps `length` user ids from `outside` on to those from `inside` on in the child's user
    /// namespace; the closure starts once the map is in force. May be called up to
    /// 32 times.
    ///
    /// ```no_run
    /// use rawthread::process::{Builder, Namespaces};
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// let me = unsafe { libc::geteuid() };
    /// // SAFETY: the child shares nothing and only asks for its user id.
    /// let mut child = unsafe {
    ///     Builder::new()
    ///         .namespaces(Namespaces::USER)
    ///         .uid_map(0, me, 1)
    ///         .spawn(|| unsafe { libc::getuid() as i32 })
    /// }?;
    /// assert_eq!(child.wait()?.code(), Some(0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn uid_map(mut self, inside: u32, outside: u32, length: u32) -> Self {
        self.maps.users.add(inside, outside, length);
        self
    }

    /// As [`uid_map`](Self::uid_map), for group ids. Where the caller lacks `CAP_SETGID`, `setgroups`
    /// is denied in the namespace first, as the kernel demands.
    ///
    /// ```
    /// let builder = rawthread::process::Builder::new().gid_map(0, 1000, 1);
    /// # let _ = builder;
    /// ```
    pub fn gid_map(mut self, inside: u32, outside: u32, length: u32) -> Self {
        self.maps.groups.add(inside, outside, length);
        self
    }

    /// Bytes of stack for a child that shares memory, rounded up to pages; 256 KiB unless set. A
    /// guard lies below. Without `VM` it has no meaning: the child has a copy of the caller's.
    ///
    /// ```
    /// let builder = rawthread::process::Builder::new().stack_size(64 * 1024);
    /// # let _ = builder;
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Adds a step that the child takes before its closure begins, in the order given; after the id maps
    /// and the hook of [`spawn_with_hook`](Self::spawn_with_hook). The error of a step is `spawn`'s, and
    /// the closure does not run then. Feature `alloc`.
    ///
    /// ```
    /// use rawthread::process::{BeforeExec, Builder};
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// let niced = Builder::new().before_start(BeforeExec::nice(7));
    /// // SAFETY: the child shares nothing and makes a system call.
    /// let mut child = unsafe { niced.spawn(|| libc::getpriority(libc::PRIO_PROCESS, 0)) }?;
    /// assert_eq!(child.wait()?.code(), Some(7));
    ///
    /// let refused = Builder::new().before_start(BeforeExec::unmount("/no/such", 0));
    /// // SAFETY: the child does not come to its closure.
    /// let error = unsafe { refused.spawn(|| 0) }.unwrap_err();
    /// assert_eq!(error.operation(), Some("umount2"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "alloc")]
    pub fn before_start(mut self, step: BeforeExec) -> Self {
        self.steps.push(step);
        self
    }

    /// Sets whether a child that shares memory gets a thread control block of its own, and with it
    /// `errno` and thread-locals. It does unless set; without `VM` there is no need.
    ///
    /// A thread control block adds `SETTLS`, `PARENT_SETTID` and `CHILD_CLEARTID` to the flags. A child that
    /// does not return from its closure (it is killed, calls `execve` or `_exit`) takes
    /// the block and its stack with it: that memory is not used again.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// use rawthread::process::Builder;
    ///
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // Exactly these flags: what vfork asks for.
    /// let bare = Builder::new()
    ///     .flags(CloneFlags::VM | CloneFlags::VFORK)
    ///     .own_tls(false);
    /// // SAFETY: the parent sleeps; the child touches nothing.
    /// let mut child = unsafe { bare.spawn(|| 3) }?;
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn own_tls(mut self, enable: bool) -> Self {
        self.own_tls = enable;
        self
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}
