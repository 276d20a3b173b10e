//! The calling thread: its handle, sleeping, yielding, and the parallelism it may use.

use core::fmt;
use core::num::NonZeroU64;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::runtime::record::ThreadRef;
use crate::runtime::{self, std_park};
use crate::sys::sched;

/// A handle to a thread, with its id, its name and its parking token.
///
/// From [`current`], or from [`JoinHandle::thread`](crate::JoinHandle::thread). Cheap to clone, and
/// valid after the thread has ended. It does not join the thread.
///
/// ```
/// let me = rawthread::current();
/// assert_eq!(me.id(), rawthread::current().id());
/// ```
#[derive(Clone)]
pub struct Thread(ThreadRef);

impl Thread {
    pub(super) fn from_record(record: ThreadRef) -> Self {
        Self(record)
    }

    pub(super) fn record(&self) -> &ThreadRef {
        &self.0
    }

    /// Makes the thread's token available: its next [`park`](crate::park) returns at once, or the
    /// one it is in returns now.
    ///
    /// Tokens do not add up. Async-signal-safe (`signal-safety(7)`).
    ///
    /// With the feature `std` it wakes a `std::thread::park`, too, once the thread has called
    /// [`current`] or [`park`](crate::park) of this crate; a token that came before passes to std's
    /// then. std makes its handle of a thread in the thread itself, so for a thread of this crate that
    /// has called neither, and is known by its [`JoinHandle`](crate::JoinHandle) alone, there is no
    /// parker of std's yet that could be given the token. Such a thread calls [`current`] first:
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// let parked = rawthread::spawn(|| {
    ///     let _ = rawthread::current(); // from here on both crates wake it
    ///     std::thread::park();
    /// });
    /// parked.thread().unpark();
    /// parked.join().unwrap();
    /// # }
    /// ```
    ///
    /// ```
    /// let parked = rawthread::spawn(rawthread::park);
    /// parked.thread().unpark();
    /// parked.join().unwrap();
    /// ```
    pub fn unpark(&self) {
        self.0.parker().unpark();
    }

    /// Returns the id of the thread, which no other thread of the process ever has.
    ///
    /// ```
    /// let other = rawthread::spawn(|| rawthread::current().id());
    /// assert_ne!(other.join().unwrap(), rawthread::current().id());
    /// ```
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id())
    }

    /// Returns the name that the thread was given, if any; `"main"` for the main thread.
    ///
    /// ```
    /// let thread = rawthread::Builder::new().name("sweeper".into()).spawn(|| ())?;
    /// assert_eq!(thread.thread().name(), Some("sweeper"));
    /// # thread.join().unwrap();
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }
}

// std's is: unwinding leaves nothing half done in a thread's record.
impl UnwindSafe for Thread {}
impl RefUnwindSafe for Thread {}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A unique identifier of a thread in this process; never reused, unlike the kernel's tid.
///
/// The main thread's is 1, as in std. The other numbers are not those of `std::thread`'s ids.
///
/// ```
/// use std::collections::HashSet;
///
/// let ids: HashSet<_> = (0..4).map(|_| rawthread::spawn(|| rawthread::current().id()))
///     .map(|thread| thread.join().unwrap())
///     .collect();
/// assert_eq!(ids.len(), 4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ThreadId(NonZeroU64);

/// Returns a handle to the calling thread.
///
/// Works in threads of this crate, of std, of libc, and in the main thread. As with
/// `std::thread::current`, a thread's first call takes memory, so it is not async-signal-safe.
///
/// # Panics
/// Without memory for the record of a thread that this crate did not make.
///
/// ```
/// let name = rawthread::current().name().map(String::from);
/// println!("I am {name:?}");
/// ```
#[doc(alias = "pthread_self")]
#[must_use]
pub fn current() -> Thread {
    let record = runtime::current::current();
    std_park::hand_over(&record);
    Thread(record)
}

/// Returns whether the calling thread is unwinding because of a panic.
///
/// Without std: whether its panic is being reported, which only the feature `panic-thread` knows.
///
/// ```
/// assert!(!rawthread::panicking());
/// ```
#[must_use]
pub fn panicking() -> bool {
    is_panicking()
}

#[cfg(feature = "std")]
use std::thread::panicking as is_panicking;

#[cfg(feature = "panic-thread")]
use crate::runtime::freestanding::is_panicking;

/// A panic ends the process.
#[cfg(not(any(feature = "std", feature = "panic-thread")))]
fn is_panicking() -> bool {
    false
}

/// Gives the processor to another thread that is ready to run, if there is one (`sched_yield(2)`).
///
/// ```
/// rawthread::yield_now();
/// ```
pub fn yield_now() {
    sched::yield_now();
}

/// Sleeps for at least `duration` of CLOCK_MONOTONIC (`clock_nanosleep(2)`).
///
/// A signal whose handler returns does not end the sleep early.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// rawthread::sleep(Duration::from_millis(2));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
pub fn sleep(duration: Duration) {
    sched::sleep(duration);
}

/// Sleeps for at least `ms` milliseconds.
///
/// ```
/// # #![allow(deprecated)]
/// rawthread::sleep_ms(1);
/// ```
#[deprecated(since = "0.1.0", note = "replaced by `rawthread::sleep`, as in std")]
pub fn sleep_ms(ms: u32) {
    sleep(Duration::from_millis(ms.into()));
}

/// Sleeps until `deadline` has passed; returns at once if it has.
///
/// `std::thread::sleep_until` is not stable yet. Feature `std`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let next_frame = Instant::now() + Duration::from_millis(2);
/// rawthread::sleep_until(next_frame);
/// assert!(Instant::now() >= next_frame);
/// ```
#[cfg(feature = "std")]
pub fn sleep_until(deadline: std::time::Instant) {
    // std does not reveal what a clock reading is to the kernel. Between the reading here and the
    // sleep time passes, so the sleep may end late by that, which no sleep promises not to.
    sleep(deadline.saturating_duration_since(std::time::Instant::now()));
}
