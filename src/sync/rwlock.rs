//! The readers-writer lock: a [`RawRwLock`] and the data.
#![allow(unsafe_code, reason = "a guard is the proof of access")]

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::WouldBlock;
use super::raw::RawRwLock;
use crate::primitive::maybe_const_fn;

/// A readers-writer lock: many readers or one writer can access the data.
///
/// As [`std::sync::RwLock`](https://doc.rust-lang.org/std/sync/struct.RwLock.html), without
/// poisoning (see the [module](crate::sync#no-poisoning-and-what-takes-its-place)). Two 32-bit
/// words beside the data. Readers queue behind a waiting writer; so a thread that holds a read
/// guard and acquires another may deadlock with a writer.
///
/// # Examples
///
/// ```
/// use rawthread::sync::RwLock;
///
/// static CONFIG: RwLock<u32> = RwLock::new(1);
///
/// {
///     let one = CONFIG.read();
///     std::thread::scope(|s| {
///         s.spawn(|| assert_eq!(*CONFIG.read(), 1)); // readers do not exclude each other
///     });
///     assert_eq!(*one, 1);
/// }
/// *CONFIG.write() = 2;
/// assert_eq!(*CONFIG.read(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    data: UnsafeCell<T>,
}

// SAFETY: sending the lock sends the data and nothing else.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: writers hand the data from thread to thread as `&mut T` (T: Send), and readers have
// `&T` in several threads at once (T: Sync). RAWRWLOCK-1 in raw/rwlock.rs keeps the two apart.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    maybe_const_fn! {
        /// Creates an unlocked lock.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::RwLock;
        ///
        /// static NAMES: RwLock<Vec<&str>> = RwLock::new(Vec::new());
        /// ```
        pub fn new(value: T) -> Self {
            Self { raw: RawRwLock::new(), data: UnsafeCell::new(value) }
        }
    }

    /// Consumes the lock and returns the data.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// assert_eq!(RwLock::new(3).into_inner(), 3);
    /// ```
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, and blocks while a writer holds the lock or queues for it.
    ///
    /// # Panics
    ///
    /// If 2^30 - 2 readers hold the lock, which is the greatest number: std's panics too. So many
    /// guards were forgotten, or there are more threads than a system has.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// let (one, another) = (lock.read(), lock.read());
    /// assert_eq!(*one + *another, 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.raw.read();
        RwLockReadGuard::new(self)
    }

    /// Locks for reading if that is possible without blocking.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if a writer holds the lock or queues for it, or if 2^30 - 2 readers hold it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// let reader = lock.read();
    /// assert!(lock.try_read().is_ok());
    /// drop(reader);
    /// let writer = lock.write();
    /// assert!(lock.try_read().is_err());
    /// # drop(writer);
    /// ```
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        if self.raw.try_read() {
            Ok(RwLockReadGuard::new(self))
        } else {
            Err(WouldBlock)
        }
    }

    /// Locks for writing, and blocks while any thread holds the lock.
    ///
    /// A thread that calls this while it holds a guard of the lock deadlocks.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// *lock.write() += 1;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.raw.write();
        RwLockWriteGuard::new(self)
    }

    /// Locks for writing if no thread holds the lock, without blocking.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if a thread holds it, the calling one included.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// let lock = RwLock::new(1);
    /// let reader = lock.read();
    /// assert!(lock.try_write().is_err());
    /// drop(reader);
    /// *lock.try_write().unwrap() = 2;
    /// ```
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        if self.raw.try_write() {
            Ok(RwLockWriteGuard::new(self))
        } else {
            Err(WouldBlock)
        }
    }

    /// Returns a mutable reference to the data. Nothing is locked: the exclusive borrow proves that
    /// there is no guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::RwLock;
    ///
    /// let mut lock = RwLock::new(1);
    /// *lock.get_mut() = 5;
    /// assert_eq!(lock.into_inner(), 5);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(data) => out.field("data", &&*data),
            Err(WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// Shared access to a [`RwLock`]'s data, until it is dropped.
///
/// It stays in its thread, as std's does: a guard is not `Send`.
///
/// ```compile_fail,E0277
/// use rawthread::sync::RwLock;
///
/// let lock = RwLock::new(0);
/// let guard = lock.read();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard)); // RwLockReadGuard is not Send
/// });
/// ```
///
/// # Examples
///
/// ```
/// use rawthread::sync::{RwLock, RwLockReadGuard};
///
/// let lock = RwLock::new(1);
/// let guard: RwLockReadGuard<'_, i32> = lock.read();
/// assert_eq!(*guard, 1);
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized + 'a> {
    // Not `&'a RwLock<T>`, in whose `T` nothing may vary: a guard of a `&'static str` is one of a
    // shorter-lived `&str`, as with std. A `NonNull` is not Send either.
    data: NonNull<T>,
    raw: &'a RawRwLock,
}

// SAFETY: all that a `&RwLockReadGuard` gives is `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// The caller has just become a reader.
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            // SAFETY: a field's address.
            data: unsafe { NonNull::new_unchecked(lock.data.get()) },
            raw: &lock.raw,
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is counted as a reader, so by RAWRWLOCK-1 there is no writer; the lock
        // is borrowed as long as the guard lives.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.raw.unlock_read();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Exclusive access to a [`RwLock`]'s data, until it is dropped.
///
/// It stays in its thread, as std's does: a guard is not `Send`.
///
/// ```compile_fail,E0277
/// use rawthread::sync::RwLock;
///
/// let lock = RwLock::new(0);
/// let guard = lock.write();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard)); // RwLockWriteGuard is not Send
/// });
/// ```
///
/// # Examples
///
/// ```
/// use rawthread::sync::{RwLock, RwLockWriteGuard};
///
/// let lock = RwLock::new(1);
/// let mut guard: RwLockWriteGuard<'_, i32> = lock.write();
/// *guard = 2;
/// ```
///
/// A read guard of longer-lived data may stand for one of shorter-lived data. A write guard may
/// not: something short-lived could be written.
///
/// ```compile_fail
/// use rawthread::sync::RwLockWriteGuard;
///
/// fn shorten<'a, 'b>(
///     guard: RwLockWriteGuard<'a, &'static str>,
///     _: &'b str,
/// ) -> RwLockWriteGuard<'a, &'b str> {
///     guard
/// }
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: all that a `&RwLockWriteGuard` gives is `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// The caller has just become the writer.
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            lock,
            not_send: PhantomData,
        }
    }

    /// Turns the write guard into a read guard; no other writer can lock in between.
    ///
    /// An associated function, so that a method of the data is not hidden.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(1);
    /// let mut writer = lock.write();
    /// *writer = 2;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*lock.try_read().unwrap(), 2);
    /// assert_eq!(*reader, 2);
    /// ```
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        // What the write guard stood for is handed on, not given up.
        let this = ManuallyDrop::new(this);
        this.lock.raw.downgrade();
        RwLockReadGuard::new(this.lock)
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is the writer, so by RAWRWLOCK-1 the only guard.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the writer, so by RAWRWLOCK-1 the only guard, and exclusively
        // borrowed.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock_write();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
