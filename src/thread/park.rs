//! Parking: sleep until somebody unparks this thread.

use core::time::Duration;

use crate::runtime::current;
use crate::sys::futex::Deadline;

/// Sleeps until the calling thread's token is there, and takes it. May return without one.
///
/// What was written before [`unpark`](crate::Thread::unpark) is visible after the `park` it ends.
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
    current::current().park(None);
}

/// [`park`] for at most `timeout` of CLOCK_MONOTONIC.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// rawthread::park_timeout(Duration::from_millis(2));
/// println!("back after {:?}", start.elapsed());
/// ```
pub fn park_timeout(timeout: Duration) {
    // A deadline that the clock cannot express is as good as none.
    current::current().park(Deadline::after(timeout));
}

/// [`park_timeout`] of this many milliseconds.
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
