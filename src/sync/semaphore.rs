//! The counting semaphore.

use core::fmt;
use core::mem;
use core::time::Duration;

use super::raw::{MAX_PERMITS, RawSemaphore};
use crate::primitive::maybe_const_fn;
use crate::sys::futex::Deadline;

/// A counting semaphore: a number of permits, for which threads wait while there are none.
///
/// Permits have no owner: [`release`](Semaphore::release) may add permits that were never acquired,
/// and a [`SemaphorePermit`] may be sent to another thread or [forgotten](SemaphorePermit::forget).
/// What a thread did before it released a permit is visible to the thread that acquires it.
///
/// # Examples
///
/// At most two at a time:
///
/// ```
/// use rawthread::sync::Semaphore;
///
/// static SEATS: Semaphore = Semaphore::new(2);
///
/// std::thread::scope(|s| {
///     for _ in 0..5 {
///         s.spawn(|| {
///             let _seat = SEATS.acquire();
///             // no more than two threads are here
///         });
///     }
/// });
/// assert_eq!(SEATS.available_permits(), 2);
/// ```
pub struct Semaphore {
    raw: RawSemaphore,
}

impl Semaphore {
    /// The largest number of permits at a time: 2^31 - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// let full = Semaphore::new(Semaphore::MAX_PERMITS);
    /// assert!(full.try_acquire().is_some());
    /// ```
    pub const MAX_PERMITS: u32 = MAX_PERMITS;

    maybe_const_fn! {
        /// Creates a semaphore with `permits` permits.
        ///
        /// # Panics
        ///
        /// If `permits` is more than [`Semaphore::MAX_PERMITS`].
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::Semaphore;
        ///
        /// static SEATS: Semaphore = Semaphore::new(2);
        ///
        /// assert_eq!(SEATS.available_permits(), 2);
        /// ```
        #[track_caller]
        pub fn new(permits: u32) -> Self {
            assert!(
                permits <= MAX_PERMITS,
                "Semaphore: too many permits: the limit is 2^31 - 1"
            );
            Self { raw: RawSemaphore::new(permits) }
        }
    }

    /// Acquires a permit, and blocks until there is one. It is released when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// drop(permit);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    #[inline]
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        if !self.raw.try_acquire() {
            // Untimed, so there is no error.
            let _never = self.raw.acquire_slow(None);
        }
        SemaphorePermit { semaphore: self }
    }

    /// Acquires a permit if there is one, without blocking.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire();
    /// assert!(permit.is_some());
    /// assert!(semaphore.try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.raw
            .try_acquire()
            .then(|| SemaphorePermit { semaphore: self })
    }

    /// Acquires a permit, and blocks until there is one or for at most `timeout`, by
    /// CLOCK_MONOTONIC.
    ///
    /// A timeout that the clock cannot express (some 292 billion years) is no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    /// use std::time::Duration;
    ///
    /// let semaphore = Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        let acquired =
            self.raw.try_acquire() || self.raw.acquire_slow(Deadline::after(timeout)).is_ok();
        acquired.then(|| SemaphorePermit { semaphore: self })
    }

    /// Adds `permits`, and wakes as many threads as can use them.
    ///
    /// # Panics
    ///
    /// If there would be more than [`Semaphore::MAX_PERMITS`]; nothing is added then.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// static ARRIVED: Semaphore = Semaphore::new(0);
    ///
    /// std::thread::spawn(|| ARRIVED.release(1));
    /// ARRIVED.acquire().forget();
    /// ```
    #[track_caller]
    pub fn release(&self, permits: u32) {
        assert!(
            self.raw.release(permits),
            "Semaphore: too many permits: the limit is 2^31 - 1; was more released than taken?"
        );
    }

    /// Returns the number of permits that could be acquired at some moment of this call.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// semaphore.release(2);
    /// assert_eq!(semaphore.available_permits(), 3);
    /// ```
    pub fn available_permits(&self) -> u32 {
        self.raw.permits()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

/// A permit of a [`Semaphore`], released when it is dropped.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Semaphore, SemaphorePermit};
///
/// /// The thread that holds one may print.
/// struct Turn<'a>(SemaphorePermit<'a>);
///
/// let printer = Semaphore::new(1);
/// let turn = Turn(printer.acquire());
/// assert!(printer.try_acquire().is_none());
/// drop(turn);
/// assert!(printer.try_acquire().is_some());
/// ```
#[must_use = "if unused the permit is given back immediately"]
#[clippy::has_significant_drop]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
}

impl SemaphorePermit<'_> {
    /// Drops the permit without releasing it: the semaphore has one permit less, until a thread
    /// [releases](Semaphore::release) one for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release(1);
    }
}
