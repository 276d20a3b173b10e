//! A cell that is written once.
#![allow(unsafe_code, reason = "the value is there when the Once says so")]

use core::cell::UnsafeCell;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::Once;
use crate::primitive::maybe_const_fn;

/// A cell that is written once and then only read.
///
/// As [`std::sync::OnceLock`](https://doc.rust-lang.org/std/sync/struct.OnceLock.html).
///
/// # Examples
///
/// ```
/// use rawthread::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// assert!(NAME.get().is_none());
/// assert_eq!(NAME.get_or_init(|| "first".to_string()), "first");
/// assert_eq!(NAME.set("second".to_string()), Err("second".to_string()));
/// assert_eq!(NAME.get().unwrap(), "first");
/// ```
///
/// A cell may be dropped after what its value refers to, if the value's own destructor does not
/// look at that. This one's might:
///
/// ```compile_fail,E0597
/// use rawthread::sync::OnceLock;
///
/// struct Look<'a>(&'a String);
/// impl Drop for Look<'_> {
///     fn drop(&mut self) {
///         println!("{}", self.0);
///     }
/// }
///
/// let cell = OnceLock::new();
/// let text = String::from("dropped first");
/// let _ = cell.set(Look(&text));
/// ```
pub struct OnceLock<T> {
    once: Once,
    // ONCELOCK-1. Written only by the closure of `once` that will complete it, or through `&mut self`.
    // ONCELOCK-2. `Some` if `once` is completed, and `None` before its closure writes.
    // An `Option` and no `Drop` of this type's: the compiler then knows that dropping the cell
    // looks at no more than dropping a `T` does. std says so with `may_dangle`, which is unstable.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: sending the cell sends the value and nothing else.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: a shared cell gives `&T` to many threads (T: Sync), and takes a value from one thread
// that another may later take out or drop (T: Send).
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}

// A closure that unwinds leaves the cell as empty as before.
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    maybe_const_fn! {
        /// Creates an empty cell.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::OnceLock;
        ///
        /// static NAME: OnceLock<String> = OnceLock::new();
        ///
        /// assert_eq!(NAME.get(), None);
        /// ```
        pub fn new() -> Self {
            Self {
                once: Once::new(),
                value: UnsafeCell::new(None),
            }
        }
    }

    /// Returns a reference to the value, or `None` if the cell is empty or being initialised.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.get(), None);
    /// cell.set(1).unwrap();
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if self.once.is_completed() {
            // SAFETY: as just seen.
            Some(unsafe { self.value() })
        } else {
            None
        }
    }

    /// # Safety
    /// The Once is completed, and the calling thread has seen it.
    #[inline]
    unsafe fn value(&self) -> &T {
        // SAFETY: by ONCELOCK-2 there is a value, and by ONCELOCK-1 no writer as long as `self` is
        // borrowed; the Once made the write visible.
        unsafe { (*self.value.get()).as_ref().unwrap_unchecked() }
    }

    /// Returns a mutable reference to the value, or `None` if the cell is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// let mut cell = OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.into_inner(), Some(2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Sets the value if the cell is empty. Blocks while another thread initialises it.
    ///
    /// # Errors
    ///
    /// Returns `value` if the cell was set already.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut unused = Some(value);
        self.get_or_init(|| match unused.take() {
            Some(value) => value,
            None => unreachable!("a FnOnce runs once"),
        });
        unused.map_or(Ok(()), Err)
    }

    /// Returns the value, and initialises the cell with `f` if it is empty. Of several callers one
    /// runs its closure.
    ///
    /// A closure that initialises the same cell deadlocks.
    ///
    /// # Panics
    ///
    /// If `f` does. The cell is then as empty as before, and the next caller's closure runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.get_or_init(|| 1), &1);
    /// assert_eq!(cell.get_or_init(|| unreachable!()), &1);
    /// ```
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        if self.get().is_none() {
            self.once.call_once_force(|_| self.write(f()));
        }
        // SAFETY: a closure of `once` has run to its end, which is final (ONCE-2).
        unsafe { self.value() }
    }

    /// As [`get_or_init`](Self::get_or_init), but `None` if a closure of this cell has panicked.
    #[inline]
    pub(super) fn get_or_init_unless_poisoned<F: FnOnce() -> T>(&self, f: F) -> Option<&T> {
        if self.get().is_none() && !self.once.call_once_unless_poisoned(|| self.write(f())) {
            return None;
        }
        // SAFETY: a closure of `once` has run to its end, which is final (ONCE-2).
        Some(unsafe { self.value() })
    }

    /// Only for the closure of `once`.
    fn write(&self, value: T) {
        // SAFETY: by ONCELOCK-1 no other thread writes now, and by ONCELOCK-2 none reads before that
        // closure has returned.
        unsafe { *self.value.get() = Some(value) };
    }

    /// Blocks until another thread has set the value, and returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// static ANSWER: OnceLock<u32> = OnceLock::new();
    ///
    /// let reader = std::thread::spawn(|| *ANSWER.wait());
    /// ANSWER.set(42).unwrap();
    /// assert_eq!(reader.join().unwrap(), 42);
    /// ```
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        // SAFETY: a closure of `once` has run to its end, which is final (ONCE-2).
        unsafe { self.value() }
    }

    /// Consumes the cell and returns the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// assert_eq!(OnceLock::from(1).into_inner(), Some(1));
    /// assert_eq!(OnceLock::<u32>::new().into_inner(), None);
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value and leaves the cell empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::OnceLock;
    ///
    /// let mut cell = OnceLock::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert_eq!(cell.take(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        if self.once.is_completed() {
            self.once = Once::new();
        }
        self.value.get_mut().take()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
