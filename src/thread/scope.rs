//! Scopes: threads that may borrow, because all of them end before what they borrow.
#![allow(unsafe_code, reason = "shortens 'static to the life of a scope")]

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::time::Duration;

use super::backoff::SpinWait;
use super::builder::Builder;
use super::current::Thread;
use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::join::spin;
use super::spawn::packet::Result;
use super::spawn::prepare;
use crate::error::Error;
use crate::primitive::atomic::{AtomicU32, Ordering};
use crate::primitive::futex;
use crate::runtime::{Rt, Runtime};
use crate::sys::sched;

/// What a scope knows of its threads. It lies on the stack of [`scope`], so nothing of it may be
/// touched once its last thread has left.
///
/// `running`:
///
/// | value | meaning |
/// |---|---|
/// | `n` | `n` threads have not left yet; nobody sleeps |
/// | `WAITING + n` | the scope sleeps, or is about to, until the last of `n` threads leaves |
/// | `WAITING` | the last thread has left and is waking the scope |
///
/// Invariants:
/// * SCOPE-1: whoever enters is the scope's closure or a thread of the scope, so the count is above 0,
///   or the scope is not yet waiting, whenever somebody enters.
/// * SCOPE-2: a thread leaves once, after its result was dropped or left to a handle, which cannot
///   outlive the scope.
///
/// Orderings: leaving is a Release and the scope's look an Acquire, with only read-modify-writes
/// between: all that every thread did happens before the scope ends.
#[derive(Debug)]
pub(crate) struct ScopeData {
    running: AtomicU32,
    /// The process, by [`Runtime::fork_generation`], whose threads `running` counts; `CHANGING` while a thread
    /// of a forked child starts the count anew. Not among what the models run: there is no fork.
    process: core::sync::atomic::AtomicU32,
    /// Panics whose payload no join has taken.
    unhandled_panics: AtomicU32,
}

/// More forks than can lie between two processes.
const CHANGING: u32 = u32::MAX;

/// Far above the kernel's highest possible number of threads, 2^22.
const WAITING: u32 = 1 << 31;

impl ScopeData {
    pub(crate) fn new() -> Self {
        Self {
            running: AtomicU32::new(0),
            process: core::sync::atomic::AtomicU32::new(Rt::fork_generation()),
            unhandled_panics: AtomicU32::new(0),
        }
    }

    /// Spawner: one more thread. Relaxed by SCOPE-1.
    pub(crate) fn increment(&self) {
        self.after_fork();
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets the threads of a process that this one was forked from.
    ///
    /// Release and Acquire: the count is 0 before a second thread enters.
    fn after_fork(&self) {
        let process = Rt::fork_generation();
        let mut seen = self.process.load(Ordering::Acquire);
        let mut pause = SpinWait::new();
        while seen != process {
            let changed = seen != CHANGING
                && self
                    .process
                    .compare_exchange(seen, CHANGING, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if changed {
                self.running.store(0, Ordering::Relaxed);
                self.process.store(process, Ordering::Release);
            } else if !pause.spin() {
                // The other thread may need this processor, at a lower priority.
                sched::sleep_nanos(50_000);
            }
            seen = self.process.load(Ordering::Acquire);
        }
    }

    /// Thread, or the spawner of one that did not come to be: leaves.
    ///
    /// Takes an address, for the scope may be gone as soon as the count is 0. The wake is only for
    /// who sleeps at that address, and touches no memory: by then it may be anybody's, who is
    /// woken in vain and sleeps on, as users of futexes must.
    ///
    /// # Safety
    /// The scope lives, and the caller has entered it and not yet left.
    pub(crate) unsafe fn decrement(this: *const Self) {
        // SAFETY: alive until the subtraction by the contract; only the address is used after.
        let running = unsafe { &raw const (*this).running };
        // SAFETY: as above.
        let before = unsafe { (*running).fetch_sub(1, Ordering::Release) };
        if before == WAITING | 1 {
            futex::wake_one(running);
        }
    }

    /// Thread: panicked. Relaxed: the joiner, or the scope, learns of it after this thread is done.
    pub(super) fn panicked(&self) {
        self.unhandled_panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Joiner: took this result, and with it the payload of a panic.
    fn mark_handled<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.unhandled_panics.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// Joiner: took the result, or was too early.
    fn map_joined<'scope, T>(
        &'scope self,
        joined: core::result::Result<Result<T>, JoinHandle<T>>,
    ) -> core::result::Result<Result<T>, ScopedJoinHandle<'scope, T>> {
        match joined {
            Ok(result) => Ok(self.mark_handled(result)),
            Err(handle) => Err(ScopedJoinHandle { handle, data: self }),
        }
    }

    /// Scope: sleeps until no thread is left.
    pub(crate) fn wait(&self) {
        self.after_fork();
        let look = || self.running.load(Ordering::Acquire);
        if spin::spin_until(|| look() == 0) {
            return;
        }
        let mut value = self.running.fetch_or(WAITING, Ordering::Acquire) | WAITING;
        while value != WAITING {
            futex::wait(&self.running, value);
            value = look();
        }
    }
}

/// A thread that entered its scope's ledger and may not come to be: a spawn that fails drops its
/// closure, which may panic.
struct Entered<'scope>(&'scope ScopeData);

impl<'scope> Entered<'scope> {
    fn new(data: &'scope ScopeData) -> Self {
        data.increment();
        Self(data)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: entered by `new`, and no thread came to be that could leave.
        unsafe { ScopeData::decrement(self.0) };
    }
}

/// Where threads may be spawned that borrow from outside; see [`scope`].
///
/// ```
/// fn fill<'scope>(s: &'scope rawthread::Scope<'scope, '_>, cells: &'scope mut [u32]) {
///     for (n, cell) in (0..).zip(cells) {
///         s.spawn(move || *cell = n * n);
///     }
/// }
/// let mut squares = [0; 4];
/// rawthread::scope(|s| fill(s, &mut squares));
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
#[derive(Debug)]
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    /// Invariant: a scope can stand for no longer and no shorter one.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, in which threads can be spawned that borrow what lives longer than this call, and
/// returns when `f` and all of those threads have ended.
///
/// As `std::thread::scope`, and it promises more: the thread-locals' destructors of every thread
/// have run too. Needs no allocator. A handle that was forgotten (`mem::forget`) does not keep the
/// scope from ending; its result is never dropped.
///
/// # Panics
/// With the panic of `f`, after all threads have ended. With "a scoped thread panicked" if one did
/// whose panic was not returned by a join.
///
/// ```
/// let mut numbers = vec![1, 2, 3];
/// let mut sum = 0;
/// rawthread::scope(|s| {
///     s.spawn(|| println!("{} numbers", numbers.len()));
///     s.spawn(|| sum = numbers.iter().sum());
/// });
/// numbers.push(sum);
/// assert_eq!(numbers, [1, 2, 3, 6]);
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    /// Waits also when `f` unwinds: its threads may hold what the unwinding is about to drop.
    struct Wait<'a>(&'a ScopeData);
    impl Drop for Wait<'_> {
        fn drop(&mut self) {
            self.0.wait();
        }
    }

    let scope = Scope {
        data: ScopeData::new(),
        scope: PhantomData,
        env: PhantomData,
    };
    let wait = Wait(&scope.data);
    let result = f(&scope);
    drop(wait);
    if scope.data.unhandled_panics.load(Ordering::Relaxed) > 0 {
        panic!("a scoped thread panicked");
    }
    result
}

impl<'scope> Scope<'scope, '_> {
    /// Makes a thread of this scope with the defaults of [`Builder::new`].
    ///
    /// A handle that is dropped leaves the thread to the end of the scope.
    ///
    /// # Panics
    /// Where [`Builder::spawn_scoped`] returns an error.
    ///
    /// ```
    /// let text = String::from("borrowed");
    /// let len = rawthread::scope(|s| s.spawn(|| text.len()).join().unwrap());
    /// assert_eq!(len, 8);
    /// ```
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }
}

impl Builder {
    /// Makes a thread of a [`scope`], which may borrow what outlives the scope.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    /// As [`Builder::spawn`].
    ///
    /// ```
    /// let mut count = 0;
    /// rawthread::scope(|s| {
    ///     rawthread::Builder::new().name("counter".into()).spawn_scoped(s, || count += 1)?;
    ///     Ok::<(), rawthread::Error>(())
    /// })?;
    /// assert_eq!(count, 1);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn spawn_scoped<'scope, F, T>(
        mut self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> core::result::Result<ScopedJoinHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let mut options = self.options()?;
        let data = &scope.data;
        options.observer = ExitObserver::Scope(data);
        let entered = Entered::new(data);
        // SAFETY: what `f` and its result borrow lives as long as 'scope, which ends after the
        // scope has waited for the thread to leave (SCOPE-2); a handle does not outlive 'scope.
        match unsafe { prepare::spawn(options, f) } {
            Ok(spawned) => {
                // The thread leaves.
                mem::forget(entered);
                Ok(ScopedJoinHandle {
                    handle: JoinHandle::new(spawned),
                    data,
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// Owns the right to join a thread of a [`scope`]; dropping it leaves that to the scope.
///
/// ```
/// let numbers = [1, 2, 3];
/// rawthread::scope(|s| {
///     let handle = s.spawn(|| numbers.iter().sum::<i32>());
///     assert_eq!(handle.join().unwrap(), 6);
/// });
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    data: &'scope ScopeData,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the thread and returns what its closure left; as [`JoinHandle::join`].
    ///
    /// # Errors
    /// The closure panicked. The scope does not panic for it any more.
    ///
    /// ```
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(|| panic!("no"));
    ///     assert!(handle.join().is_err());
    /// });
    /// ```
    pub fn join(self) -> Result<T> {
        self.data.mark_handled(self.handle.join())
    }

    /// [`ScopedJoinHandle::join`] if that need not wait, else the handle; as
    /// [`JoinHandle::try_join`].
    ///
    /// # Errors
    /// The thread is not done: the handle.
    ///
    /// ```
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(rawthread::park);
    ///     let handle = handle.try_join().unwrap_err();
    ///     handle.thread().unpark();
    /// });
    /// ```
    pub fn try_join(self) -> core::result::Result<Result<T>, Self> {
        let Self { handle, data } = self;
        data.map_joined(handle.try_join())
    }

    /// [`ScopedJoinHandle::join`] within `timeout`, else the handle; as
    /// [`JoinHandle::join_timeout`].
    ///
    /// # Errors
    /// The thread was not done in time: the handle.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(rawthread::park);
    ///     let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    ///     handle.thread().unpark();
    /// });
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> core::result::Result<Result<T>, Self> {
        let Self { handle, data } = self;
        data.map_joined(handle.join_timeout(timeout))
    }

    /// [`ScopedJoinHandle::join`] until `deadline`, else the handle; as
    /// [`JoinHandle::join_deadline`]. Feature `std`.
    ///
    /// # Errors
    /// The thread was not done in time: the handle.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(rawthread::park);
    ///     let soon = Instant::now() + Duration::from_millis(1);
    ///     handle.join_deadline(soon).unwrap_err().thread().unpark();
    /// });
    /// ```
    #[cfg(feature = "std")]
    pub fn join_deadline(
        self,
        deadline: std::time::Instant,
    ) -> core::result::Result<Result<T>, Self> {
        let Self { handle, data } = self;
        data.map_joined(handle.join_deadline(deadline))
    }

    /// The thread this handle is of.
    ///
    /// ```
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(rawthread::park);
    ///     handle.thread().unpark();
    /// });
    /// ```
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Whether a join will not wait; as [`JoinHandle::is_finished`].
    ///
    /// ```
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(|| ());
    ///     while !handle.is_finished() {
    ///         rawthread::yield_now();
    ///     }
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The thread's id in the kernel; as [`JoinHandle::tid`].
    ///
    /// ```
    /// rawthread::scope(|s| {
    ///     let handle = s.spawn(|| unsafe { libc::gettid() });
    ///     let tid = handle.tid();
    ///     assert_eq!(handle.join().unwrap(), tid);
    /// });
    /// ```
    pub fn tid(&self) -> i32 {
        self.handle.tid()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("thread", self.thread())
            .finish_non_exhaustive()
    }
}
