//! Attributes of a new thread that `std::thread::Builder` does not have.
#![allow(unsafe_code, reason = "declares contracts")]

use super::builder::Builder;
use super::cpu_set::CpuSet;
use super::scheduling::Scheduling;
use super::signals::SignalSet;
use super::spawn::hooks::HookChoice;
#[cfg(feature = "alloc")]
use crate::error::Error;
use crate::error::Operation;
use crate::flags::CloneFlags;

static INTO_CGROUP: Operation = Operation {
    name: "clone3",
    purpose: "make the thread in the cgroup asked for",
    hint: |errno| match errno.number() {
        libc::EOPNOTSUPP => {
            "The threads of a process stay in one domain: write `threaded` to the cgroup.type of a cgroup \
             below that of the process."
        }
        libc::EBUSY => "The cgroup passes controllers on: empty its cgroup.subtree_control.",
        libc::EACCES => {
            "The caller must be able to write cgroup.threads there and in the nearest common ancestor."
        }
        libc::ENOENT | libc::ENODEV => "The cgroup was removed.",
        libc::EBADF => "The descriptor must be of a directory of a version 2 cgroup.",
        libc::EINVAL => "A descriptor is not negative.",
        libc::ENOSYS | libc::E2BIG => {
            "This needs clone3 of Linux 5.7, which libc's own threads are not made by: write 0 to \
             cgroup.threads in before_start."
        }
        _ => "See cgroups(7).",
    },
};

/// Attributes of the new thread. They are in force before the closure's first instruction; if one
/// cannot be set, `spawn` returns the error and the thread has exited.
impl Builder {
    /// Sets the processors that the thread may use (`sched_setaffinity(2)`).
    ///
    /// Those that are offline, or outside the process's cpuset, are left out. `spawn` fails if none
    /// is left, or the set is empty.
    ///
    /// ```
    /// use rawthread::{Builder, CpuSet};
    ///
    /// let first = CpuSet::current()?.iter().take(1).collect::<CpuSet>();
    /// let expected = first.clone();
    /// let thread = Builder::new().affinity(first).spawn(|| CpuSet::current().unwrap())?;
    /// assert_eq!(thread.join().unwrap(), expected);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias("pthread_attr_setaffinity_np", "sched_setaffinity"))]
    pub fn affinity(mut self, cpus: CpuSet) -> Self {
        self.actions.set_affinity(cpus);
        self
    }

    /// Sets the scheduling policy, or a [`Scheduling`] with slice and clamps (`sched_setattr(2)`,
    /// `sched(7)`).
    ///
    /// ```
    /// use rawthread::{Builder, ErrorKind, Policy};
    ///
    /// let refused = Builder::new().scheduling(Policy::Fifo { priority: 1000 }).try_spawn(|| ());
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Os); // 1 to 99
    /// ```
    #[doc(alias("pthread_attr_setschedparam", "sched_setscheduler"))]
    pub fn scheduling(mut self, scheduling: impl Into<Scheduling>) -> Self {
        self.actions.set_scheduling(scheduling.into());
        self
    }

    /// Sets the signals that the thread blocks (`pthread_sigmask(3)`); without this it begins with
    /// its spawner's mask.
    ///
    /// No handler runs on the new thread for a signal in the set, from its very beginning.
    ///
    /// ```
    /// use rawthread::{Builder, SignalSet};
    ///
    /// // A worker that leaves all signals to other threads:
    /// Builder::new().signal_mask(SignalSet::all()).spawn(|| ())?.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias("pthread_attr_setsigmask_np", "pthread_sigmask"))]
    pub fn signal_mask(mut self, masked: SignalSet) -> Self {
        self.mask = Some(masked);
        self
    }

    /// Runs `f` in the new thread before the closure, after the other attributes are in force.
    ///
    /// `spawn` returns when `f` has. If `f` fails, the spawn's error prints `before_start:` and what `f`
    /// returned, which is its `source()`; the errno is that of the `Error` or `std::io::Error` that `f`
    /// returned, if it has one, and of an `Error` kind and limit are the same, too. `f` may return any
    /// error, or a string. For a panic in `f` the error has the operation `before_start` and ECANCELED.
    ///
    /// Called more than once, the functions run in that order until one fails.
    ///
    /// Feature `alloc`.
    ///
    /// ```
    /// use rawthread::{Builder, Error};
    /// use std::{error::Error as _, fs, io};
    ///
    /// let refused = Builder::new()
    ///     .before_start(|| fs::read("/no/such").map(drop))
    ///     .try_spawn(|| unreachable!());
    /// let error = refused.map(drop).unwrap_err();
    /// assert_eq!(error.to_string(), "before_start: No such file or directory (os error 2)");
    /// assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    /// let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    /// assert_eq!(source.kind(), io::ErrorKind::NotFound);
    ///
    /// let refused = Builder::new().before_start(|| Err("no queue yet")).try_spawn(|| ());
    /// assert_eq!(refused.unwrap_err().to_string(), "before_start: no queue yet");
    ///
    /// // A function that cannot fail still names its error:
    /// let prepared = Builder::new().before_start(|| Ok::<(), Error>(())).try_spawn(|| 3)?;
    /// assert_eq!(prepared.join().unwrap(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(feature = "alloc")]
    pub fn before_start<F, E>(mut self, f: F) -> Self
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
        E: Into<alloc::boxed::Box<dyn core::error::Error + Send + Sync>>,
    {
        self.actions
            .add_before_start(|| f().map_err(|error| Error::from_before_start(error.into())));
        self
    }

    /// Has the thread neither run nor inherit the spawner's hooks
    /// (`add_spawn_hook`, with the feature `alloc`): for threads that do nothing for their spawner.
    ///
    /// Without the feature `alloc` there are no hooks.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")]
    /// rawthread::add_spawn_hook(|_| || unreachable!());
    /// let thread = rawthread::Builder::new().no_hooks().spawn(|| 7)?;
    /// assert_eq!(thread.join().unwrap(), 7);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn no_hooks(mut self) -> Self {
        self.hooks = HookChoice::Leave;
        self
    }

    /// Gives the thread a working directory, root and umask of its own (leaves out `CLONE_FS`): it
    /// begins with copies of the spawner's, and neither sees the other's changes.
    ///
    /// ```
    /// let before = std::env::current_dir()?;
    /// let thread = rawthread::Builder::new().private_cwd().spawn(|| {
    ///     std::env::set_current_dir("/").unwrap();
    ///     std::env::current_dir().unwrap()
    /// })?;
    /// assert_eq!(thread.join().unwrap(), std::path::Path::new("/"));
    /// assert_eq!(std::env::current_dir()?, before);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias("CLONE_FS", "chdir"))]
    pub fn private_cwd(mut self) -> Self {
        self.flags = self.flags.union(CloneFlags::FS);
        self
    }

    /// Gives the thread a descriptor table of its own (leaves out `CLONE_FILES`): it begins with a
    /// copy of the spawner's. Descriptors that either opens or closes afterwards exist in its own
    /// table only, and opening and accepting do not contend with other threads
    /// (`examples/private_fds.rs` measures what that gains).
    ///
    /// # Safety
    /// A descriptor's number means something only in its own table, and Rust's I/O types
    /// (`OwnedFd`, `File`, `TcpStream`, ...) do not know about tables. So:
    /// * no value that owns or borrows a descriptor may pass between this thread and threads of
    ///   another table once the thread was made, in either direction: not in messages, statics or
    ///   the thread's result;
    /// * what the closure captures may be used by it, for its copy was made at the clone; but
    ///   dropping it closes only the thread's copy, and the spawner's stays open until the process
    ///   ends or other code closes it there by number;
    /// * libraries that keep descriptors in statics (event loops, loggers that open files) must
    ///   not be used from both sides. Standard input, output and error are safe: they are the same
    ///   in both tables unless one side replaces them.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    ///
    /// let builder = rawthread::Builder::new();
    /// // SAFETY: the file is opened, used and closed inside.
    /// let thread = unsafe { builder.private_fds() }.spawn(|| {
    ///     std::fs::File::open("/dev/null").map(|file| file.as_raw_fd())
    /// })?;
    /// assert!(thread.join().unwrap().is_ok());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "CLONE_FILES")]
    pub unsafe fn private_fds(mut self) -> Self {
        self.flags = self.flags.union(CloneFlags::FILES);
        self
    }

    /// Starts the thread in the version-2 cgroup whose directory `fd` is (`CLONE_INTO_CGROUP`, Linux
    /// 5.7), so that all it does, from its first instruction, is charged there.
    ///
    /// The threads of a process stay in one domain: the cgroup must be a threaded one (`threaded` in
    /// `cgroup.type`) below that of the process (`cgroups(7)`, Documentation/admin-guide/cgroup-v2.rst).
    /// The descriptor is used during [`try_spawn`](Builder::try_spawn) alone.
    ///
    /// Only clone3 can do this. Where a libc makes the threads (`Support::Libc`) the spawn fails with
    /// ENOSYS; a `before_start` step that writes `0` to the cgroup's
    /// `cgroup.threads` moves such a thread before its closure begins.
    ///
    /// # Errors
    /// Of the spawn: EOPNOTSUPP for a cgroup of another domain, or one that is not threaded; EBUSY where
    /// the cgroup passes controllers on to its children; EACCES without the right to move threads there;
    /// ENOENT or ENODEV if the cgroup was removed; EBADF for what is no directory of a version-2 cgroup; EINVAL for
    /// a negative number; ENOSYS or E2BIG before Linux 5.7 and in sandboxes without clone3.
    ///
    /// ```
    /// // A negative number is no descriptor.
    /// let error = rawthread::Builder::new().cgroup(-1).try_spawn(|| ()).unwrap_err();
    /// assert!(error.raw_os_error().is_some());
    /// ```
    pub fn cgroup(mut self, fd: i32) -> Self {
        self.flags = self.flags.union(CloneFlags::INTO_CGROUP);
        self.cgroup = fd;
        self.refusal = Some(&INTO_CGROUP);
        self
    }

    /// Puts the thread's frames on memory of the caller's own (huge pages, a NUMA node, an arena).
    ///
    /// `stack_size` and `guard_size` then have no meaning, and there is no guard. The thread control
    /// block stays on memory of this crate's, but with `Support::Libc`, where libc
    /// puts it, and the program's thread-locals, at the end of the memory. `pthread_getattr_np(3)` reports the caller's memory as
    /// the thread's stack; with a libc where that cannot be set, `spawn` fails as `Unsupported`.
    ///
    /// # Safety
    /// `[address, address + len)` must be writable memory that is used for nothing else from now
    /// until the thread was joined by its handle (the end of a scope, of a
    /// [`JoinFuture`](crate::JoinFuture) or of a poll of a set is too early). If it is never
    /// joined, or if it panicked with the feature `panic-thread`, which leaves references to its
    /// frames in use, the memory must stay the thread's until the process ends.
    /// It must be large enough for the closure: running over its end is undefined. 16 KiB is
    /// little; panicking alone needs some 8 KiB.
    ///
    /// ```
    /// let mut memory = vec![0u8; 256 * 1024];
    /// let builder = rawthread::Builder::new();
    /// // SAFETY: the vector is used for nothing else and outlives the join.
    /// let builder = unsafe { builder.stack(memory.as_mut_ptr(), memory.len()) };
    /// let range = memory.as_ptr_range();
    /// let (low, high) = (range.start as usize, range.end as usize);
    /// let thread = builder.spawn(move || {
    ///     let local = 0u8;
    ///     (low..high).contains(&(&raw const local as usize))
    /// })?;
    /// assert!(thread.join().unwrap());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias = "pthread_attr_setstack")]
    pub unsafe fn stack(mut self, address: *mut u8, len: usize) -> Self {
        self.stack = Some((address as usize, len));
        self
    }
}
