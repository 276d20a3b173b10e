//! A thread pool whose tasks cannot be told from new threads.
//!
//! [`spawn`](fn@spawn) runs a closure, a *task*, on an idle *worker*: a kernel thread of this module
//! that has run other tasks before. It takes the worker that became idle last, or makes one if none
//! is idle, so a task never waits for another to end. To the closure it is a new thread: a new
//! [`ThreadId`](crate::ThreadId), fresh thread-locals (whose destructors run before a join returns),
//! no name, and its spawner's signal mask, affinity, scheduling, comm, directory and descriptors.
//! The handle is a [`JoinHandle`](crate::JoinHandle) with the same guarantees: dropping it detaches
//! the task, a panic is returned by the join, and the end of the process ends all tasks. Only the
//! kernel's tid may be that of an earlier task.
//!
//! What a new thread inherits from its spawner, a task has, too:
//!
//! | what | how |
//! |---|---|
//! | signal mask, comm | set for each task |
//! | floating-point environment: MXCSR, the x87 unit's control and exceptions, FPCR, FPSR | set for each task |
//! | all four user and group ids, supplementary groups | compared |
//! | effective, permitted, inheritable and ambient capabilities, secure bits | compared |
//! | the bounding set of capabilities | one of its bits is compared, `CAP_SYS_ADMIN`, which every sandbox takes away. The kernel reports one bit a call, so the others are not compared |
//! | affinity, policy, priority, nice value, slice and utilization clamps, I/O priority, timer slack, personality, NUMA policy | compared |
//! | directory, root, umask and descriptors (with `CLONE_FS` a mount namespace, too) | compared by `kcmp(2)`; where the kernel has none every worker exits after its task |
//! | `no_new_privs`, and with it seccomp filters and Landlock domains | a spawner that has it gets a new thread for each task, for the kernel does not report which filters and domains it has. So does a spawner under a seccomp filter that has `CAP_SYS_ADMIN` in its bounding set: with that right it could have added the filter without `no_new_privs` |
//! | more than 1024 processors or memory nodes, or 64 supplementary groups | a new thread for each task |
//! | a Landlock domain or another security module's context that a thread with `CAP_SYS_ADMIN` took without `no_new_privs`; keyrings; the namespaces of network, UTS, IPC, control groups, time, and of children's pids; the threaded control group; core scheduling, speculation control and other `prctl` settings; protection-key rights and other registers | not compared: use [`crate::spawn`] for a closure that changes one for its thread, and in a thread that has changed one |
//!
//! Threads of a process without rights (all user ids alike, all group ids alike, no capability) cannot
//! change ids, groups and capabilities: there they are compared once for each thread, not for each task.
//!
//! The spawner is compared with an idle worker, and a worker with what it was at its start. A worker
//! that differs exits, and so does one whose task left a robust mutex or a
//! [`PiMutex`](crate::sync::PiMutex) locked, had a [`pidfd`] opened
//! for it, a [`signal`] sent to it, or its processors, scheduling or I/O priority set by its
//! handle.
//!
//! [`spawn_unverified`] leaves the comparisons out, which are most of the cost.
//!
//! [`Builder`] gives a task a name, a signal mask and more; tasks of a [`scope`](fn@scope) may borrow.
//!
//! Idle workers block all signals and exit after [`set_idle_time`], or at [`trim`](crate::trim). Each
//! waits on a futex of its own, which a fork leaves usable. Closure and result of a task are on the
//! heap; without the feature `alloc` they take 256 bytes of an arena that grows and never shrinks, or
//! pages of their own if they are larger.
//!
//! Without std, an rseq area or a tid address that a task registered is not found, and with the
//! feature `panic-thread` a task that panics ends its worker with it.
//!
//! ```
//! use rawthread::warm;
//!
//! let tasks: Vec<_> = (0..4).map(|n| warm::spawn(move || n * n)).collect();
//! let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
//! assert_eq!(sum, 14);
//! ```
//!
//! [`pidfd`]: crate::JoinHandle::open_pidfd
//! [`signal`]: crate::JoinHandle::signal

#![allow(unsafe_code, reason = "shortens 'static to the life of a scope")]

use core::fmt;
use core::ops::Deref;
use core::ptr;

use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::join::membership::InScope;
use super::pool::idle::Attributes;
use super::pool::workers::{TaskSettings, spawn_task};
use super::scope::ScopedJoinHandle;
use super::signals::SignalSet;
use super::spawn::raw_handle::RawHandle;
use crate::error::Error;
use crate::runtime::{Rt, Runtime};

pub use super::pool::idle::set_idle_time;
pub use super::pool::workers::{spawn, spawn_unverified, try_spawn, try_spawn_unverified};

/// Configures and spawns a task.
///
/// | setting | a task has it |
/// |---|---|
/// | [`name_str`](Self::name_str), [`signal_mask`](Self::signal_mask), [`no_hooks`](Self::no_hooks), [`Builder::retry`](crate::Builder::retry) | on an idle worker, or a new one if none is idle |
/// | any other of [`crate::Builder`]'s: affinity, scheduling, `before_start`, sizes of stack and guard, memory of the caller's own, a directory or descriptors of its own | in a new thread, which ends with it: a worker could not be made to serve the next task as if nothing had been |
///
/// An affinity, for one, is not set on an idle worker and taken back: a new thread with one makes 9 system
/// calls for spawn and join, a task 44, and it would make at least two more; the worker would also be moved
/// to the processors and back, and could not go back once its cpuset has changed.
///
/// What a worker was given ends with the task: the next one has its own name and mask. With
/// `Support::Libc` each task has a new thread.
///
/// ```
/// use rawthread::{CpuSet, warm};
///
/// let task = warm::Builder::new().name("fetch".into()).try_spawn(rawthread::current)?;
/// assert_eq!(task.join().unwrap().name(), Some("fetch"));
///
/// // Settings of every kind come from a `rawthread::Builder`:
/// let first = CpuSet::current()?.iter().take(1).collect::<CpuSet>();
/// let pinned = warm::Builder::from(rawthread::Builder::new().affinity(first.clone()));
/// assert_eq!(pinned.try_spawn(|| CpuSet::current().unwrap())?.join().unwrap(), first);
/// # Ok::<(), rawthread::Error>(())
/// ```
#[must_use = "a builder makes a task only when `spawn` or `try_spawn` is called"]
#[derive(Debug, Default)]
pub struct Builder(super::builder::Builder);

impl From<super::builder::Builder> for Builder {
    fn from(settings: super::builder::Builder) -> Self {
        Self(settings)
    }
}

impl Builder {
    /// Creates the configuration of a task without a name.
    ///
    /// ```
    /// let task = rawthread::warm::Builder::new().try_spawn(|| 7)?;
    /// assert_eq!(task.join().unwrap(), 7);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub const fn new() -> Self {
        Self(super::builder::Builder::new())
    }

    /// Names the task, as [`Builder::name`](crate::Builder::name) names a thread: the kernel has its
    /// first 15 bytes while the task runs. Feature `alloc`.
    ///
    /// ```
    /// let task = rawthread::warm::Builder::new().name("parse".into()).try_spawn(rawthread::current)?;
    /// assert_eq!(task.join().unwrap().name(), Some("parse"));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[cfg(feature = "alloc")]
    pub fn name(self, name: alloc::string::String) -> Self {
        Self(self.0.name(name))
    }

    /// Names the task, as [`Builder::name_str`](crate::Builder::name_str) names a thread.
    ///
    /// ```
    /// let task = rawthread::warm::Builder::new().name_str("parse").try_spawn(rawthread::current)?;
    /// assert_eq!(task.join().unwrap().name(), Some("parse"));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn name_str(self, name: &str) -> Self {
        Self(self.0.name_str(name))
    }

    /// Sets the signals that the task blocks; without this it begins with its spawner's mask.
    ///
    /// ```
    /// use rawthread::{SignalSet, warm};
    ///
    /// let task = warm::Builder::new().signal_mask(SignalSet::all()).try_spawn(|| ())?;
    /// task.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn signal_mask(self, masked: SignalSet) -> Self {
        Self(self.0.signal_mask(masked))
    }

    /// Has the task neither run nor inherit the spawner's hooks, as
    /// [`Builder::no_hooks`](crate::Builder::no_hooks).
    ///
    /// ```
    /// let task = rawthread::warm::Builder::new().no_hooks().try_spawn(|| ())?;
    /// task.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn no_hooks(self) -> Self {
        Self(self.0.no_hooks())
    }

    /// Runs `f` as a task, and returns its handle.
    ///
    /// # Errors
    /// As [`rawthread::Builder::try_spawn`](crate::Builder::try_spawn).
    ///
    /// # Panics
    /// If the name contains a NUL byte.
    ///
    /// ```
    /// let greeting = String::from("hello");
    /// let task = rawthread::warm::Builder::new().try_spawn(move || greeting.len())?;
    /// assert_eq!(task.join().unwrap(), 5);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.needs_thread()? {
            return self.0.try_spawn(f);
        }
        // SAFETY: 'static outlives every task.
        unsafe { self.spawn_on_worker(ExitObserver::None, f) }.map(JoinHandle::new)
    }

    /// Runs `f` as a task of a scope, which may borrow what outlives the scope, and returns its
    /// handle. The scope is one of [`warm::scope`](fn@scope) or of [`rawthread::scope`](fn@crate::scope).
    ///
    /// # Errors
    /// As [`Builder::try_spawn`].
    ///
    /// # Panics
    /// As [`Builder::try_spawn`].
    ///
    /// ```
    /// use rawthread::warm;
    ///
    /// let text = String::from("borrowed");
    /// let len = warm::scope(|s| {
    ///     let task = warm::Builder::new().name("count".into()).try_spawn_scoped(s, || text.len())?;
    ///     Ok::<_, rawthread::Error>(task.join().unwrap())
    /// })?;
    /// assert_eq!(len, 8);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn try_spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope super::scope::Scope<'scope, '_>,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        if self.needs_thread()? {
            return self.0.try_spawn_scoped(scope, f);
        }
        let data = scope.data();
        // SAFETY: what `f` and its result borrow lives as long as 'scope, which ends after the
        // scope has waited for the task to be done (SCOPE-2); a handle does not outlive 'scope.
        let spawned = unsafe { self.spawn_on_worker(ExitObserver::Scope(data), f)? };
        Ok(JoinHandle::with_scope(spawned, InScope(data)))
    }

    /// Whether the task gets a thread that is made for it.
    fn needs_thread(&self) -> Result<bool, Error> {
        Rt::ensure_init()?;
        Ok(Rt::is_served_by_libc() || !self.0.is_poolable())
    }

    /// # Safety
    /// What the closure and its result borrow must outlive the task and its result.
    unsafe fn spawn_on_worker<F, T>(
        mut self,
        observer: ExitObserver,
        f: F,
    ) -> Result<RawHandle<T>, Error>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let options = self.0.options()?;
        let settings = TaskSettings {
            attributes: Attributes::Verified,
            name: options.name,
            mask: options.mask,
            hooks: options.hooks,
            retry: options.retry,
            observer,
        };
        // SAFETY: passed on.
        unsafe { spawn_task(settings, f) }
    }
}

/// A scope to run tasks in that may borrow; [`scope`](fn@scope) passes it to its closure.
///
/// It is a [`rawthread::Scope`](crate::Scope), too, in which threads of their own may be spawned.
///
/// ```
/// fn fill<'scope>(s: &'scope rawthread::warm::Scope<'scope, '_>, cells: &'scope mut [u32]) {
///     for (n, cell) in (0..).zip(cells) {
///         s.spawn(move || *cell = n * n);
///     }
/// }
/// let mut squares = [0; 4];
/// rawthread::warm::scope(|s| fill(s, &mut squares));
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
#[repr(transparent)]
pub struct Scope<'scope, 'env: 'scope>(super::scope::Scope<'scope, 'env>);

/// Creates a scope for tasks that may borrow, runs `f` in it, and returns the result of `f` when all
/// tasks are done: as [`rawthread::scope`](fn@crate::scope), on the threads of this pool.
///
/// # Panics
/// As [`rawthread::scope`](fn@crate::scope).
///
/// ```
/// use rawthread::warm;
///
/// let numbers: Vec<u64> = (1..=100).collect();
/// let sum: u64 = warm::scope(|s| {
///     let halves = numbers.split_at(50);
///     let halves = [halves.0, halves.1].map(|half| s.spawn(|| half.iter().sum::<u64>()));
///     halves.map(|half| half.join().unwrap()).iter().sum()
/// });
/// assert_eq!(sum, 5050);
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    super::scope::scope(|scope| {
        // SAFETY: transparent.
        f(unsafe { &*ptr::from_ref(scope).cast() })
    })
}

impl<'scope> Scope<'scope, '_> {
    /// Runs `f` as a task of this scope, and returns its handle.
    ///
    /// If the handle is dropped, the end of the scope waits for the task.
    ///
    /// # Panics
    /// Where [`Builder::try_spawn_scoped`] returns an error.
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// let len = rawthread::warm::scope(|s| s.spawn(|| text.len()).join().unwrap());
    /// assert_eq!(len, 8);
    /// ```
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match Builder::new().try_spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }
}

impl<'scope, 'env> Deref for Scope<'scope, 'env> {
    type Target = super::scope::Scope<'scope, 'env>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}
