//! A closure in a process of its own, made with any legal set of clone flags.
#![allow(unsafe_code, reason = "makes a process by hand")]

use super::child::Child;
use super::child_entry::{self, Launch};
use super::child_stack::{ChildStack, TcbStack};
use super::clone_error;
use super::guarded_stack::GuardedStack;
use super::namespaces::{IdMaps, Namespaces};
use super::start_pipe::StartPipe;
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, arch, clone};

/// The kernel's bound on the length of the `set_tid` array (nested pid namespaces).
const MAX_SET_TID: usize = 32;

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
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `spawn`"]
pub struct Builder {
    flags: CloneFlags,
    exit_signal: Option<u32>,
    /// `None`: if the kernel can.
    pidfd: Option<bool>,
    cgroup: Option<i32>,
    tids: [i32; MAX_SET_TID],
    tid_count: usize,
    maps: IdMaps,
    stack_size: usize,
    /// With `VM` only.
    own_tls: bool,
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
            exit_signal: None,
            pidfd: None,
            cgroup: None,
            tids: [0; MAX_SET_TID],
            tid_count: 0,
            maps: IdMaps::default(),
            stack_size: DEFAULT_STACK,
            own_tls: true,
        }
    }

    /// Sets the clone flags, all of them: what was set before is forgotten.
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
    /// (`wait(2)`, `__WALL`); [`Child::wait`] finds it.
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
    /// can.
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

    /// Starts the child in the cgroup whose version-2 directory `fd` is (`CLONE_INTO_CGROUP`,
    /// Linux 5.7).
    ///
    /// ```
    /// // -1 is no descriptor, and spawn says so.
    /// // SAFETY: the child would share nothing and only compute.
    /// let error = unsafe { rawthread::process::Builder::new().cgroup(-1).spawn(|| 0) };
    /// assert!(error.is_err());
    /// ```
    pub fn cgroup(mut self, fd: i32) -> Self {
        self.cgroup = Some(fd);
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

    /// Adds namespaces of the child's own to the flags.
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
        self.flags |= namespaces.flags();
        self
    }

    /// Maps `length` user ids from `outside` on to those from `inside` on in the child's user
    /// namespace; the closure starts once the map is in force. May be called up to eight times.
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

    /// Makes the process; its exit code is what `f` returns (the low 8 bits), 101 if `f` panics.
    ///
    /// The child ends by `exit_group`: no destructor of the caller's frames runs in it, nothing
    /// that stdio buffered is written twice.
    ///
    /// Without `VM`, `f` exists twice after the call, like all memory: the child runs its copy, the
    /// parent drops its own before `spawn` returns. With `VM`, the child alone has it.
    ///
    /// # Errors
    /// [`Refused`](crate::ErrorKind::Refused) for a set of flags that no kernel takes, a limit, or
    /// the step that failed. `f` is dropped then and no child is left.
    ///
    /// # Safety
    /// Without `VM` the contract is that of [`fork`](super::fork()), without libc's help:
    /// if the process may have other threads, `f` calls only async-signal-safe functions
    /// (`signal-safety(7)`) and does not allocate.
    ///
    /// With `VM`, `f` runs at the same time as everything else in this process, though its pid is
    /// another. It must be sound to send there, and must not borrow what may end before the child
    /// does (its end is when [`Child::wait`] returns). With its own thread control block it may then do what a
    /// thread may: allocate, lock, use thread-locals and `errno`, print, panic. What it must not
    /// do is act for the process that it is not: `exit` (which runs this process's handlers),
    /// making or joining threads, changing ids through libc, and using a descriptor by an object
    /// of the other process's (without `FILES` its table is another). If it is killed while
    /// it holds a lock of the shared memory, the lock stays locked.
    ///
    /// With `VM` but without one it uses the thread pointer of the calling thread: it
    /// must not touch thread-locals, `errno`, the allocator, stdio or locks of a libc or of std,
    /// nor panic. That leaves computing, shared memory by atomics, and raw system calls; with
    /// `VFORK`, as the calling thread sleeps, also async-signal-safe functions of libc. A signal
    /// handler of the program may run in such a child: block signals around the call, or take
    /// `CLEAR_SIGHAND`.
    ///
    /// `Command` does all this safely for the case that ends in `execve`.
    ///
    /// Without `FILES`, descriptors in the child are copies: dropping an `OwnedFd` there or here
    /// closes one of two. With `FILES` and without `VM`, both copies of a captured `OwnedFd` would
    /// close the same number: capture numbers.
    ///
    /// ```
    /// # fn main() -> Result<(), rawthread::Error> {
    /// // SAFETY: the child shares nothing and only computes.
    /// let mut child = unsafe { rawthread::process::Builder::new().spawn(|| 256 + 9) }?;
    /// assert_eq!(child.wait()?.code(), Some(9));
    /// # Ok(())
    /// # }
    /// ```
    pub unsafe fn spawn<F>(&self, f: F) -> Result<Child, Error>
    where
        F: FnOnce() -> i32,
    {
        let flags = self.checked_flags()?;
        let start_pipe = StartPipe::new(&self.maps, flags)?;
        let child_start_pipe = start_pipe
            .as_ref()
            .map(|start_pipe| start_pipe.child_side(flags));
        let mut launch = if flags.contains(CloneFlags::VM) {
            let size = self
                .stack_size
                .saturating_add(child_entry::args_size::<F>());
            let stack = if self.own_tls {
                ChildStack::WithTcb(TcbStack::acquire(size)?)
            } else {
                ChildStack::Plain(GuardedStack::new(size)?)
            };
            Launch::own_stack(f, child_start_pipe, stack)?
        } else {
            Launch::fork(f, child_start_pipe)
        };
        let (mut pidfd, mut tid) = (-1i32, 0u32);
        let mut request = self.request(flags);
        request.pidfd = &raw mut pidfd as usize;
        request.parent_tid = &raw mut tid as usize;
        launch.fill_clone_args(&mut request);
        let made = loop {
            // Legacy clone takes one of these two words for the other.
            if request.flags & CloneFlags::PIDFD.bits() == 0 {
                request.pidfd = 0;
            }
            if request.flags & CloneFlags::PARENT_SETTID.bits() == 0 {
                request.parent_tid = 0;
            }
            // SAFETY: the caller's contract for `f`; `launch` completed the request.
            match unsafe { launch.clone(&request) } {
                // An old kernel, a sandbox or an emulator that knows no pidfd, or no descriptor
                // left for one: it was not asked for, so it is not missed.
                Err(
                    Errno::EINVAL | Errno::ENOSYS | Errno::EPERM | Errno::EMFILE | Errno::ENFILE,
                ) if self.pidfd.is_none() && request.pidfd != 0 => {
                    request.flags &= !CloneFlags::PIDFD.bits();
                }
                other => break other,
            }
        };
        let stack = launch.into_stack(made.is_ok());
        let pid = made.map_err(|errno| {
            let attempt = clone_error::CloneAttempt {
                flags,
                exit_signal: self.exit_signal_for(flags),
                set_tid: self.tid_count > 0,
            };
            clone_error::clone_failed(attempt, errno)
        })?;
        // SAFETY: clone stored the number of a descriptor that it made for this caller.
        let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw(pidfd) });
        let mut child = Child::new(pid, pidfd).with_stack(stack);
        if flags.contains(CloneFlags::PARENT) {
            child = child.not_our_child();
        }
        if let Some(start_pipe) = start_pipe {
            if let Err(error) = self.maps.write(pid) {
                // Not by closing the pipe: where the table is shared, the child might come to read
                // only after its number has become another file's.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
            start_pipe.release(flags);
        }
        Ok(child)
    }

    /// What to ask of clone, but for the places that `spawn` has.
    fn request(&self, flags: CloneFlags) -> clone::CloneArgs {
        clone::CloneArgs {
            flags: flags.bits(),
            exit_signal: self.exit_signal_for(flags).into(),
            set_tid: if self.tid_count == 0 {
                0
            } else {
                self.tids.as_ptr() as usize
            },
            set_tid_size: self.tid_count,
            cgroup: self.cgroup.unwrap_or(0) as u64,
            tls: if flags.contains(CloneFlags::SETTLS) {
                arch::thread_pointer() as usize
            } else {
                0
            },
            ..clone::CloneArgs::default()
        }
    }

    fn exit_signal_for(&self, flags: CloneFlags) -> u32 {
        self.exit_signal
            .unwrap_or(if flags.contains(CloneFlags::PARENT) {
                0
            } else {
                libc::SIGCHLD as u32
            })
    }

    /// The flags to ask for, if they can be asked for here.
    fn checked_flags(&self) -> Result<CloneFlags, Error> {
        let mut flags = self.flags;
        if flags.contains(CloneFlags::THREAD) {
            return Err(Error::refused(
                "CLONE_THREAD makes a thread of this process, not a process",
                "Use rawthread::Builder for threads, or leave CLONE_THREAD out.",
                Errno::EINVAL,
            ));
        }
        if flags.contains(CloneFlags::VFORK) && !self.maps.is_empty() {
            return Err(Error::refused(
                "with CLONE_VFORK the parent sleeps and cannot write the child's id maps",
                "Leave CLONE_VFORK out.",
                Errno::EINVAL,
            ));
        }
        self.maps.check(flags)?;
        if self.tid_count > MAX_SET_TID {
            return Err(Error::refused(
                "set_tid names more than 32 nested pid namespaces",
                "Give one id for each namespace, the innermost first.",
                Errno::EINVAL,
            ));
        }
        if self.cgroup.is_some_and(|fd| fd < 0) {
            return Err(Error::invalid_input(
                "the cgroup's descriptor is negative",
                "Open the cgroup's directory and give its descriptor.",
            ));
        }
        if self.cgroup.is_some() {
            flags |= CloneFlags::INTO_CGROUP;
        }
        flags.set(
            CloneFlags::PIDFD,
            self.pidfd.unwrap_or(true) || flags.contains(CloneFlags::PIDFD),
        );
        Ok(flags)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}
