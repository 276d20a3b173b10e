//! The barrier.

use core::fmt;

use super::raw::RawBarrier;
use crate::primitive::maybe_const_fn;

/// A barrier: threads wait in it until a given number of them has arrived.
///
/// As [`std::sync::Barrier`](https://doc.rust-lang.org/std/sync/struct.Barrier.html): it can be
/// used again and again, and by more threads than its size.
///
/// # Examples
///
/// ```
/// use rawthread::sync::Barrier;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let barrier = Barrier::new(3);
/// let before = AtomicU32::new(0);
/// std::thread::scope(|s| {
///     for _ in 0..3 {
///         s.spawn(|| {
///             before.fetch_add(1, Relaxed);
///             barrier.wait();
///             assert_eq!(before.load(Relaxed), 3);
///         });
///     }
/// });
/// ```
pub struct Barrier {
    raw: RawBarrier,
}

impl Barrier {
    maybe_const_fn! {
        /// Creates a barrier for `n` threads. 0 counts as 1.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::Barrier;
        ///
        /// static START: Barrier = Barrier::new(2);
        ///
        /// let other = std::thread::spawn(|| START.wait().is_leader());
        /// assert_ne!(START.wait().is_leader(), other.join().unwrap());
        /// ```
        pub fn new(n: usize) -> Self {
            Self { raw: RawBarrier::new(n) }
        }
    }

    /// Blocks until `n` threads have called this. What each did before is visible to all of them
    /// after.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Barrier;
    ///
    /// let barrier = Barrier::new(1);
    /// assert!(barrier.wait().is_leader());
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        BarrierWaitResult(self.raw.wait())
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// The result of [`Barrier::wait`]: whether the thread leads its round.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Barrier, BarrierWaitResult};
///
/// let result: BarrierWaitResult = Barrier::new(1).wait();
/// assert!(result.is_leader());
/// ```
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Returns `true` for exactly one thread of the round.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Barrier;
    ///
    /// let barrier = Barrier::new(3);
    /// let leaders = std::thread::scope(|s| {
    ///     let threads = [(); 3].map(|()| s.spawn(|| barrier.wait().is_leader()));
    ///     threads.map(|thread| thread.join().unwrap())
    /// });
    /// assert_eq!(leaders.iter().filter(|leader| **leader).count(), 1);
    /// ```
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}
