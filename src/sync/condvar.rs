//! The condition variable.

use core::fmt;
use core::time::Duration;

use super::MutexGuard;
use super::raw::RawCondvar;
use crate::primitive::maybe_const_fn;
use crate::sys::futex::{Deadline, TimedOut};

/// A condition variable: blocks a thread until another notifies it of a change.
///
/// As [`std::sync::Condvar`](https://doc.rust-lang.org/std/sync/struct.Condvar.html). A wait may
/// end without a notification, so wait in a loop, or with [`wait_while`](Condvar::wait_while).
/// A notification without waiters costs one load and no system call.
///
/// Use it with one mutex at a time: a notification is certain to reach a waiter only if the
/// notifier has held the waiter's mutex since the wait began. Nothing is unsound otherwise, but
/// wakes may be missed.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Condvar, Mutex};
///
/// let ready = Mutex::new(false);
/// let changed = Condvar::new();
/// std::thread::scope(|s| {
///     s.spawn(|| {
///         *ready.lock() = true;
///         changed.notify_one();
///     });
///     let mut guard = ready.lock();
///     while !*guard {
///         guard = changed.wait(guard);
///     }
/// });
/// ```
pub struct Condvar {
    raw: RawCondvar,
}

impl Condvar {
    maybe_const_fn! {
        /// Creates a condition variable.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::Condvar;
        ///
        /// static CHANGED: Condvar = Condvar::new();
        /// ```
        pub fn new() -> Self {
            Self { raw: RawCondvar::new() }
        }
    }

    /// Unlocks the mutex, sleeps until notified, and locks it again.
    ///
    /// May return without a notification.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    ///
    /// let ready = Mutex::new(false);
    /// let changed = Condvar::new();
    /// std::thread::scope(|s| {
    ///     s.spawn(|| {
    ///         *ready.lock() = true;
    ///         changed.notify_one();
    ///     });
    ///     let mut guard = ready.lock();
    ///     while !*guard {
    ///         guard = changed.wait(guard);
    ///     }
    /// });
    /// ```
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        // Untimed, so there is no error. The raw lock is held again on return, which is what the
        // guard stands for; meanwhile no thread can access the data through it.
        let _never = self.raw.wait(guard.raw(), None);
        guard
    }

    /// Waits while `condition` returns true for the data.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    ///
    /// let pending = Mutex::new(true);
    /// let changed = Condvar::new();
    /// std::thread::scope(|s| {
    ///     s.spawn(|| {
    ///         *pending.lock() = false;
    ///         changed.notify_one();
    ///     });
    ///     let guard = changed.wait_while(pending.lock(), |pending| *pending);
    ///     assert!(!*guard);
    /// });
    /// ```
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> MutexGuard<'a, T>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Waits for a notification for at most `timeout`, by CLOCK_MONOTONIC.
    ///
    /// May return without either. Taking the mutex again is not limited in time. A timeout that
    /// the clock cannot express (some 292 billion years) is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let lock = Mutex::new(());
    /// let never = Condvar::new();
    /// let (_guard, result) = never.wait_timeout(lock.lock(), Duration::from_millis(1));
    /// # let _ = result;
    /// // Most likely `result.timed_out()`; a wake without a reason is possible.
    /// ```
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let result = self.wait_until(&guard, Deadline::after(timeout));
        (guard, result)
    }

    /// Waits while `condition` returns true for the data, for at most `timeout`.
    ///
    /// The result says [`timed_out`](WaitTimeoutResult::timed_out) only if the condition was still
    /// true at the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let pending = Mutex::new(true);
    /// let never = Condvar::new();
    /// let timeout = Duration::from_millis(1);
    /// let (guard, result) = never.wait_timeout_while(pending.lock(), timeout, |pending| *pending);
    /// assert!(*guard && result.timed_out());
    /// ```
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult)
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = Deadline::after(timeout);
        let mut result = WaitTimeoutResult(false);
        loop {
            if !condition(&mut *guard) {
                return (guard, WaitTimeoutResult(false));
            }
            if result.timed_out() {
                return (guard, result);
            }
            result = self.wait_until(&guard, deadline);
        }
    }

    fn wait_until<T>(
        &self,
        guard: &MutexGuard<'_, T>,
        deadline: Option<Deadline>,
    ) -> WaitTimeoutResult {
        match self.raw.wait(guard.raw(), deadline) {
            Ok(()) => WaitTimeoutResult(false),
            Err(TimedOut) => WaitTimeoutResult(true),
        }
    }

    /// Wakes one waiting thread, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    ///
    /// let tasks = Mutex::new(Vec::new());
    /// let more = Condvar::new();
    /// std::thread::scope(|s| {
    ///     let worker = s.spawn(|| more.wait_while(tasks.lock(), |tasks| tasks.is_empty()).pop());
    ///     tasks.lock().push("sweep");
    ///     more.notify_one();
    ///     assert_eq!(worker.join().unwrap(), Some("sweep"));
    /// });
    /// ```
    pub fn notify_one(&self) {
        self.raw.notify_one();
    }

    /// Wakes every waiting thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    ///
    /// let open = Mutex::new(false);
    /// let changed = Condvar::new();
    /// std::thread::scope(|s| {
    ///     for _ in 0..3 {
    ///         s.spawn(|| drop(changed.wait_while(open.lock(), |open| !*open)));
    ///     }
    ///     *open.lock() = true;
    ///     changed.notify_all();
    /// });
    /// ```
    pub fn notify_all(&self) {
        self.raw.notify_all();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// The result of a timed wait: whether it timed out.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Condvar, Mutex, WaitTimeoutResult};
/// use std::time::Duration;
///
/// let lock = Mutex::new(());
/// // No thread notifies: the wait times out, unless it ends spuriously before.
/// let (_guard, result): (_, WaitTimeoutResult) =
///     Condvar::new().wait_timeout(lock.lock(), Duration::from_millis(1));
/// println!("the time was up: {}", result.timed_out());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns whether the wait timed out.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let open = Mutex::new(false);
    /// let (guard, result) = Condvar::new()
    ///     .wait_timeout_while(open.lock(), Duration::from_millis(1), |open| !*open);
    /// assert!(result.timed_out() && !*guard);
    /// ```
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
