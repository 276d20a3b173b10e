//! Parking: sleep until another thread unparks this one.

use core::time::Duration;

use crate::runtime::{current, std_park};

/// Blocks until the calling thread's token is made available, and takes it.
///
/// Each thread has one token, which is not there at first; [`unpark`](crate::Thread::unpark) makes
/// it available, and if it is there already `park` returns at once. May return without a token, so
/// callers check their condition in a loop, as with `std::thread::park`. The wait is a `futex(2)`.
///
/// What was written before [`unpark`](crate::Thread::unpark) is visible after the `park` it ends.
///
/// With the feature `std` the token is std's as well: `unpark` of the thread's
/// [`std::thread::Thread`](https://doc.rust-lang.org/std/thread/struct.Thread.html) ends a `park` of
/// this crate's. [`Thread::unpark`](crate::Thread::unpark) ends a `std::thread::park` if the thread has
/// called this crate's `current` or `park` before.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::sync::Arc;
///
/// let ready = Arc::new(AtomicBool::new(false));
/// let seen = ready.clone();
/// let waiter = rawthread::spawn(move || {
///     while !seen.load(Ordering::Acquire) {
///         rawthread::park();
///     }
/// });
/// ready.store(true, Ordering::Release);
/// waiter.thread().unpark();
/// waiter.join().unwrap();
/// ```
pub fn park() {
    std_park::park(&current::current(), None);
}

/// Blocks as [`park`] does, for at most `timeout` (CLOCK_MONOTONIC).
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// rawthread::park_timeout(Duration::from_millis(2));
/// println!("back after {:?}", start.elapsed());
/// ```
pub fn park_timeout(timeout: Duration) {
    std_park::park(&current::current(), Some(timeout));
}

/// Blocks as [`park_timeout`] does, for at most `ms` milliseconds.
///
/// ```
/// # #![allow(deprecated)]
/// rawthread::park_timeout_ms(1);
/// ```
#[deprecated(
    since = "0.1.0",
    note = "replaced by `rawthread::park_timeout`, as in std"
)]
pub fn park_timeout_ms(ms: u32) {
    park_timeout(Duration::from_millis(ms.into()));
}
