//! Scopes: threads that may borrow, because the scope waits for all of them.
#![allow(unsafe_code, reason = "shortens 'static to the life of a scope")]

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::time::Duration;

use super::builder::Builder;
use super::current::Thread;
use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::join::result::Result;
use super::join::scope_data::{Entered, ScopeData};
use super::spawn::prepare;
use crate::error::Error;

/// A scope to spawn threads in that may borrow; [`scope`] passes it to its closure.
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
    /// Invariant in 'scope: a scope does not convert to one of a longer or shorter lifetime.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Creates a scope for threads that may borrow, runs `f` in it, and returns the result of `f`.
///
/// Threads spawned by [`Scope::spawn`] may borrow what lives longer than this call. The call returns
/// when `f` has returned and all of those threads are done, joined or not. As `std::thread::scope`,
/// and it promises more: every thread has run the destructors of its thread-locals then. Needs no
/// allocator. A handle that was forgotten (`mem::forget`) does not keep the scope from ending; its
/// result is never dropped.
///
/// # Panics
/// With the panic of `f`, after all threads are done. With "a scoped thread panicked" if one did
/// whose panic no join has returned.
///
/// # Examples
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
    if scope.data.has_unhandled_panics() {
        panic!("a scoped thread panicked");
    }
    result
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a thread of this scope with the defaults of [`Builder::new`], and returns its handle.
    ///
    /// If the handle is dropped, the end of the scope waits for the thread.
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
    /// Spawns a thread of a [`scope`], which may borrow what outlives the scope, and returns its
    /// handle.
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
        // scope has waited for the thread to be done (SCOPE-2); a handle does not outlive 'scope.
        match unsafe { prepare::spawn(options, f) } {
            Ok(spawned) => {
                // The thread decrements the count.
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

/// Owns the permission to join a thread of a [`scope`].
///
/// If the handle is dropped, the end of the scope waits for the thread, and panics if the thread did.
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

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    /// Marks a panic as handled where the result was taken; else makes the handle again.
    fn map_joined(
        joined: core::result::Result<Result<T>, JoinHandle<T>>,
        data: &'scope ScopeData,
    ) -> core::result::Result<Result<T>, Self> {
        match joined {
            Ok(result) => Ok(data.mark_handled(result)),
            Err(handle) => Err(Self { handle, data }),
        }
    }

    /// Waits for the thread to finish and returns its result, as [`JoinHandle::join`].
    ///
    /// # Errors
    /// The closure panicked: the payload of the panic. The scope does not panic for it any more.
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

    /// Joins the thread if it is done; else returns the handle. As [`JoinHandle::try_join`].
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
        Self::map_joined(handle.try_join(), data)
    }

    /// Joins the thread if it is done within `timeout`; else returns the handle. As
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
        Self::map_joined(handle.join_timeout(timeout), data)
    }

    /// Joins the thread if it is done before `deadline`; else returns the handle. As
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
        Self::map_joined(handle.join_deadline(deadline), data)
    }

    /// Returns the [`Thread`] of this handle.
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

    /// Returns whether a join will not wait, as [`JoinHandle::is_finished`].
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

    /// Returns the thread's id in the kernel, as [`JoinHandle::tid`].
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
