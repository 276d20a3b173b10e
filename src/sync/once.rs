//! Initialisation that runs once.

use core::fmt;

use super::raw::{Begin, InitGuard, RawOnce};
use crate::primitive::maybe_const_fn;

/// A one-time initialisation: the first thread runs its closure, the others wait for it.
///
/// As [`std::sync::Once`](https://doc.rust-lang.org/std/sync/struct.Once.html), poisoning
/// included: a closure that unwinds leaves the `Once` poisoned.
///
/// # Examples
///
/// ```
/// use rawthread::sync::Once;
///
/// static START: Once = Once::new();
///
/// START.call_once(|| println!("the first time"));
/// START.call_once(|| unreachable!());
/// assert!(START.is_completed());
/// ```
pub struct Once {
    raw: RawOnce,
}

impl Once {
    maybe_const_fn! {
        /// Creates a `Once` that has not run.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::Once;
        ///
        /// static START: Once = Once::new();
        ///
        /// assert!(!START.is_completed());
        /// ```
        pub fn new() -> Self {
            Self { raw: RawOnce::new() }
        }
    }

    /// Runs `f`, unless a closure has run already or runs now; in that case waits for its end.
    ///
    /// On return a closure has run, and its effects are visible here. A closure that calls this
    /// on the same `Once` deadlocks.
    ///
    /// # Panics
    ///
    /// If a closure has panicked, here or in another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    ///
    /// let once = Once::new();
    /// let mut runs = 0;
    /// for _ in 0..3 {
    ///     once.call_once(|| runs += 1);
    /// }
    /// assert_eq!(runs, 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.call(false, |_| f());
        }
    }

    /// As [`call_once`](Once::call_once), but runs `f` also after a panic, of which its
    /// argument informs it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    /// use std::panic;
    ///
    /// let once = Once::new();
    /// let first = panic::catch_unwind(panic::AssertUnwindSafe(|| {
    ///     once.call_once(|| panic!("no luck"));
    /// }));
    /// assert!(first.is_err());
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// As [`call_once`](Once::call_once), but false instead of a panic.
    #[inline]
    #[must_use]
    pub(super) fn call_once_unless_poisoned<F: FnOnce()>(&self, f: F) -> bool {
        self.is_completed() || self.try_call(false, |_| f())
    }

    #[cold]
    #[track_caller]
    fn call<F: FnOnce(&OnceState)>(&self, ignore_poison: bool, f: F) {
        if !self.try_call(ignore_poison, f) {
            poisoned();
        }
    }

    /// Whether a closure has run to its end, this one or another; false if one has panicked.
    #[cold]
    fn try_call<F: FnOnce(&OnceState)>(&self, ignore_poison: bool, f: F) -> bool {
        match self.raw.begin_or_wait(ignore_poison) {
            Begin::Complete => {}
            Begin::Poisoned => return false,
            Begin::Run(guard) => run(guard, f),
        }
        true
    }

    /// Returns whether a closure has completed. If so, its effects are visible to the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    ///
    /// let once = Once::new();
    /// once.call_once(|| assert!(!once.is_completed()));
    /// assert!(once.is_completed());
    /// ```
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.is_done()
    }

    /// Blocks until another thread's closure has completed.
    ///
    /// # Panics
    ///
    /// If a closure has panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    ///
    /// static READY: Once = Once::new();
    ///
    /// let waiter = std::thread::spawn(|| READY.wait());
    /// READY.call_once(|| ());
    /// waiter.join().unwrap();
    /// ```
    #[track_caller]
    pub fn wait(&self) {
        if !self.is_completed() && !self.raw.wait(false) {
            poisoned();
        }
    }

    /// As [`wait`](Once::wait), but ignores panics and waits for a closure that completes.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    ///
    /// let once = Once::new();
    /// once.call_once(|| ());
    /// once.wait_force();
    /// ```
    pub fn wait_force(&self) {
        if !self.is_completed() {
            let _true = self.raw.wait(true);
        }
    }
}

fn run<F: FnOnce(&OnceState)>(guard: InitGuard<'_>, f: F) {
    // If `f` unwinds, the turn is dropped before it is done: poisoned.
    f(&OnceState {
        poisoned: guard.after_panic(),
    });
    guard.done();
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!(
        "Once: poisoned, because the closure that should have run once has panicked; \
         call_once_force runs another"
    );
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}

/// The state that [`Once::call_once_force`] passes to its closure.
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Once, OnceState};
///
/// fn set_up(state: &OnceState) {
///     if state.is_poisoned() {
///         println!("the last try panicked");
///     }
/// }
/// Once::new().call_once_force(set_up);
/// ```
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Returns whether the previous closure panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Once;
    ///
    /// Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
    /// ```
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.poisoned)
            .finish()
    }
}
