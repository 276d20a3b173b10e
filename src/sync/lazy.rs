//! A value that is initialised on first access.
#![allow(
    unsafe_code,
    reason = "the closure changes hands under the cell's once"
)]

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::OnceLock;
use crate::primitive::maybe_const_fn;

/// A value that is initialised on first access.
///
/// As [`std::sync::LazyLock`](https://doc.rust-lang.org/std/sync/struct.LazyLock.html): a closure
/// that unwinds leaves the value poisoned, since it cannot be called again.
///
/// # Examples
///
/// ```
/// use rawthread::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// assert_eq!(SQUARES[3], 9);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    // LAZY-1. Touched only by the one closure that runs under `cell`'s once.
    make: Cell<Option<F>>,
}

// SAFETY: the cell is shared under its own bound. The closure is taken out and called in one
// thread, perhaps not the one that made it (F: Send), and never shared (LAZY-1): F: Sync is not
// needed.
unsafe impl<T, F: Send> Sync for LazyLock<T, F> where OnceLock<T>: Sync {}

// A closure that unwinds is never called again: poisoned.
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    maybe_const_fn! {
        /// Creates a value that `make` will initialise.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::LazyLock;
        ///
        /// static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| vec![2, 3, 5, 7]);
        ///
        /// assert_eq!(PRIMES.len(), 4);
        /// ```
        pub fn new(make: F) -> Self {
            Self { cell: OnceLock::new(), make: Cell::new(Some(make)) }
        }
    }

    /// Returns the value, and initialises it if this is the first access. The same as `&*this`.
    ///
    /// # Panics
    ///
    /// If the closure panics, now or earlier.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 92);
    /// assert_eq!(LazyLock::force(&lazy), &92);
    /// ```
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        let made = this
            .cell
            .get_or_init_unless_poisoned(|| match this.make.take() {
                Some(make) => make(),
                None => unreachable!("a Once that is not poisoned has run no closure"),
            });
        match made {
            Some(value) => value,
            None => poisoned(),
        }
    }
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("LazyLock: poisoned, because the closure that makes its value panicked");
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match self.cell.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
