//! Scopes: threads that may borrow, because the scope waits for all of them.
#![allow(unsafe_code, reason = "shortens 'static to the life of a scope")]

use core::marker::PhantomData;

use super::builder::Builder;
use super::join::exit_observer::ExitObserver;
use super::join::handle::JoinHandle;
use super::join::membership::InScope;
use super::join::scope_data::ScopeData;
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
    pub(super) fn data(&self) -> &ScopeData {
        &self.data
    }

    /// Spawns a thread of this scope with the defaults of [`Builder::new`], and returns its handle.
    ///
    /// If the handle is dropped, the end of the scope waits for the thread.
    ///
    /// # Panics
    /// Where [`Builder::try_spawn_scoped`] returns an error.
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
        match Builder::new().try_spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }
}

impl Builder {
    /// Spawns a thread of a [`scope`], which may borrow what outlives the scope, and returns its
    /// handle. In every build; with the feature `std`, `spawn_scoped` does the
    /// same and has the type of std's.
    ///
    /// # Errors
    /// As [`Builder::try_spawn`].
    ///
    /// # Panics
    /// As [`Builder::try_spawn`].
    ///
    /// ```
    /// let mut count = 0;
    /// rawthread::scope(|s| {
    ///     rawthread::Builder::new().name_str("counter").try_spawn_scoped(s, || count += 1)?;
    ///     Ok::<(), rawthread::Error>(())
    /// })?;
    /// assert_eq!(count, 1);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn try_spawn_scoped<'scope, F, T>(
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
        // SAFETY: what `f` and its result borrow lives as long as 'scope, which ends after the
        // scope has waited for the thread to be done (SCOPE-2); a handle does not outlive 'scope.
        let spawned = unsafe { prepare::spawn(options, f) }?;
        Ok(JoinHandle::with_scope(spawned, InScope(data)))
    }
}

/// Owns the permission to join a thread of a [`scope`]: a [`JoinHandle`] with all that that has.
///
/// If the handle is dropped, the end of the scope waits for the thread, and panics if the thread did.
/// A join that returns a panic has handled it: the scope does not panic for it any more.
///
/// ```
/// use std::time::Duration;
///
/// let numbers = [1, 2, 3];
/// rawthread::scope(|s| {
///     let handle = s.spawn(|| {
///         rawthread::park();
///         numbers.iter().sum::<i32>()
///     });
///     let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
///     println!("{} has used {:?} of {:?}", handle.tid(), handle.cpu_time()?, handle.stack());
///     handle.thread().unpark();
///     assert_eq!(handle.join().unwrap(), 6);
///
///     let panicked = s.spawn(|| panic!("no"));
///     assert!(panicked.join().is_err());
///     Ok::<(), rawthread::Error>(())
/// })?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub type ScopedJoinHandle<'scope, T> = JoinHandle<T, InScope<'scope>>;
