//! Thread-locals with destructors, with and without std: [`local!`](crate::local!) and [`Local`].
//!
//! As std's `thread_local!`, for programs without std; they work in programs with std too. A value is
//! made when its thread first uses it and dropped when the thread ends, the newest first. No
//! allocator is needed, and no support of the linker or a libc.
//!
//! Every thread of the process has them, also those that this crate did not make. The values of
//! the main thread are dropped at the end of a program that started by the feature `start`, and not
//! in a process with a libc. In a process with a libc, values of threads that the libc made are
//! dropped by way of a pthread key.
//!
//! A destructor that panics ends the process, as with std. A thread whose panic does not
//! unwind (feature `panic-thread`) drops none of its values.
//!
//! An access walks the list of the thread's values: a few nanoseconds, more with many of them. A
//! value must not be used in a signal handler, which may interrupt its making.
//!
//! ```
//! use core::cell::Cell;
//!
//! rawthread::local! {
//!     static DEPTH: Cell<u32> = const { Cell::new(0) };
//! }
//!
//! DEPTH.set(3);
//! let other = rawthread::spawn(|| DEPTH.get());
//! assert_eq!(other.join().unwrap(), 0);
//! assert_eq!(DEPTH.get(), 3);
//! ```
#![allow(unsafe_code, reason = "hands out references to per-thread values")]

use core::cell::{Cell, RefCell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::runtime::current;
use crate::runtime::tls_values::Lookup;

/// Declares thread-local `static`s of type [`Local`](crate::local::Local), in the notation of
/// `std::thread_local!`.
///
/// `const { ... }` as the initialiser has the value computed at compile time.
///
/// ```
/// use core::cell::{Cell, RefCell};
///
/// rawthread::local! {
///     /// How often this thread was here.
///     pub static VISITS: Cell<u32> = const { Cell::new(0) };
///     static NAMES: RefCell<Vec<String>> = RefCell::new(vec!["first".into()]);
/// }
///
/// VISITS.set(VISITS.get() + 1);
/// assert_eq!(NAMES.with_borrow(|names| names.len()), 1);
/// ```
#[macro_export]
macro_rules! local {
    () => {};
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = const $init:block $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::local::Local<$type> = {
            const INIT: $type = $init;
            $crate::local::Local::new(|| INIT)
        };
        $($crate::local! { $($rest)* })?
    };
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$meta])*
        $vis static $name: $crate::local::Local<$type> = $crate::local::Local::new(|| $init);
        $($crate::local! { $($rest)* })?
    };
}

/// A thread-local key that owns a value of type `T` for each thread; made by
/// [`local!`](crate::local!).
///
/// ```
/// use rawthread::local::Local;
/// use std::cell::Cell;
///
/// static COUNT: Local<Cell<u32>> = Local::new(|| Cell::new(1));
/// assert_eq!(COUNT.with(|count| count.get()), 1);
/// ```
pub struct Local<T: 'static> {
    init: fn() -> T,
    /// Never used; it keeps a `const` of this type from being promoted to a `static` that it
    /// shares with another, so that the address tells values apart.
    _own_address: UnsafeCell<u8>,
    _values: PhantomData<fn() -> T>,
}

// SAFETY: `init` is a function, the cell is never used, and each thread has its own value.
unsafe impl<T: 'static> Sync for Local<T> {}

/// The error of [`Local::try_with`]: the thread's value is being destroyed, or was.
///
/// ```
/// use rawthread::local::{AccessError, Local};
///
/// fn read(local: &'static Local<u8>) -> Result<u8, AccessError> {
///     local.try_with(|value| *value)
/// }
/// static FIVE: Local<u8> = Local::new(|| 5);
/// assert_eq!(read(&FIVE), Ok(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread-local is being destroyed, or already was")
    }
}

impl core::error::Error for AccessError {}

impl<T: 'static> Local<T> {
    /// Creates a thread-local whose value `init` makes in each thread that uses it.
    ///
    /// ```
    /// static NAME: rawthread::local::Local<String> = rawthread::local::Local::new(String::new);
    /// assert!(NAME.with(String::is_empty));
    /// ```
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        Self {
            init,
            _own_address: UnsafeCell::new(0),
            _values: PhantomData,
        }
    }

    /// Calls `f` with a reference to the thread's value, which is made first if there is none.
    ///
    /// # Panics
    /// If the value is being destroyed or was. Without memory for the value.
    ///
    /// ```
    /// rawthread::local!(static LIMIT: u32 = 10);
    /// assert_eq!(LIMIT.with(|limit| limit * 2), 20);
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => panic!("{error}"),
        }
    }

    /// Calls `f` as [`Local::with`] does, but returns an error when the value was destroyed.
    ///
    /// A value whose type has no destructor is never destroyed.
    ///
    /// # Errors
    /// The value is being destroyed or was, so the calling code runs in a destructor of this value
    /// or of an older one.
    ///
    /// # Panics
    /// Without memory for the value.
    ///
    /// ```
    /// rawthread::local!(static LIMIT: u32 = 10);
    /// assert_eq!(LIMIT.try_with(|limit| limit * 2), Ok(20));
    /// ```
    #[track_caller]
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let value = self.get_or_init(None)?;
        // SAFETY: the value stays until the thread's end (LOCALS-2 of `runtime::tls_values`), and
        // is not moved; the reference ends with this call.
        Ok(f(unsafe { value.as_ref() }))
    }

    /// The thread's value; made of `given`, if there is one, or by `init`.
    #[track_caller]
    fn get_or_init(
        &'static self,
        given: Option<&mut Option<T>>,
    ) -> Result<NonNull<T>, AccessError> {
        let values = current::current_ref().tls_values();
        let key = core::ptr::from_ref(self).addr();
        // SAFETY: the key is this `static`'s address, which no other value has (`_own_address`),
        // so all that is under it is a `T`. The same for the calls below.
        let look = || unsafe { values.find::<T>(key) };
        match look() {
            Lookup::Alive(value) => return Ok(value),
            Lookup::Destroyed => return Err(AccessError),
            Lookup::Uninit => {}
        }
        let fresh = match given.and_then(Option::take) {
            Some(value) => value,
            None => (self.init)(),
        };
        // `init` may have asked for the value itself and so made one: the later one wins, as in
        // std. There is no reference to the earlier one, for no `with` is under way in which it was
        // handed out.
        match look() {
            Lookup::Alive(value) => {
                // SAFETY: as just argued.
                drop(unsafe { core::mem::replace(&mut *value.as_ptr(), fresh) });
                Ok(value)
            }
            Lookup::Destroyed => Err(AccessError),
            // SAFETY: as above; the list is the calling thread's.
            Lookup::Uninit => match unsafe { values.insert(key, fresh) } {
                Ok(value) => Ok(value),
                Err(errno) => panic!("no memory for a thread-local: {errno:?}"),
            },
        }
    }

    /// Makes `value` the thread's value if it has none yet, else hands both to `store`.
    #[track_caller]
    fn init_or_store(&'static self, value: T, store: impl FnOnce(&T, T)) {
        let mut given = Some(value);
        match (self.get_or_init(Some(&mut given)), given) {
            (Err(error), _) => panic!("{error}"),
            // SAFETY: as in `try_with`.
            (Ok(existing), Some(given)) => store(unsafe { existing.as_ref() }, given),
            (Ok(_), None) => {}
        }
    }
}

impl<T: 'static> Local<Cell<T>> {
    /// Sets the thread's value, without calling its initialiser.
    ///
    /// # Panics
    /// As [`Local::with`].
    ///
    /// ```
    /// # use core::cell::Cell;
    /// rawthread::local!(static LEVEL: Cell<u8> = panic!("set it first"));
    /// LEVEL.set(2);
    /// assert_eq!(LEVEL.get(), 2);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.init_or_store(Cell::new(value), |cell, new| cell.set(new.into_inner()));
    }

    /// Returns a copy of the thread's value.
    ///
    /// # Panics
    /// As [`Local::with`].
    ///
    /// ```
    /// # use core::cell::Cell;
    /// rawthread::local!(static LEVEL: Cell<u8> = Cell::new(1));
    /// assert_eq!(LEVEL.get(), 1);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the thread's value and leaves the default in its place.
    ///
    /// # Panics
    /// As [`Local::with`].
    ///
    /// ```
    /// # use core::cell::Cell;
    /// rawthread::local!(static LEVEL: Cell<u8> = Cell::new(1));
    /// assert_eq!((LEVEL.take(), LEVEL.get()), (1, 0));
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the thread's value and returns the old one.
    ///
    /// # Panics
    /// As [`Local::with`].
    ///
    /// ```
    /// # use core::cell::Cell;
    /// rawthread::local!(static LEVEL: Cell<u8> = Cell::new(1));
    /// assert_eq!((LEVEL.replace(5), LEVEL.get()), (1, 5));
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> Local<RefCell<T>> {
    /// Calls `f` with a shared borrow of the thread's value.
    ///
    /// # Panics
    /// If it is mutably borrowed; as [`Local::with`].
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// rawthread::local!(static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["one"]));
    /// assert_eq!(WORDS.with_borrow(|words| words.len()), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable borrow of the thread's value.
    ///
    /// # Panics
    /// If it is borrowed; as [`Local::with`].
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// rawthread::local!(static WORDS: RefCell<Vec<&'static str>> = RefCell::new(Vec::new()));
    /// WORDS.with_borrow_mut(|words| words.push("one"));
    /// assert_eq!(WORDS.with_borrow(|words| words.len()), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the thread's value, without calling its initialiser.
    ///
    /// # Panics
    /// As [`Local::with_borrow_mut`].
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// rawthread::local!(static NAME: RefCell<String> = panic!("set it first"));
    /// NAME.set("io".into());
    /// assert_eq!(NAME.take(), "io");
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.init_or_store(RefCell::new(value), |cell, new| {
            cell.replace(new.into_inner());
        });
    }

    /// Takes the thread's value and leaves the default in its place.
    ///
    /// # Panics
    /// As [`Local::with_borrow_mut`].
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// rawthread::local!(static NAME: RefCell<String> = RefCell::new("io".into()));
    /// assert_eq!(NAME.take(), "io");
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the thread's value and returns the old one.
    ///
    /// # Panics
    /// As [`Local::with_borrow_mut`].
    ///
    /// ```
    /// # use core::cell::RefCell;
    /// rawthread::local!(static NAME: RefCell<String> = RefCell::new("io".into()));
    /// assert_eq!(NAME.replace("net".into()), "io");
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for Local<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}
