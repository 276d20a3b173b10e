//! The mutex: a [`RawMutex`] and the data that only its holder accesses.
#![allow(unsafe_code, reason = "a guard is the proof of exclusive access")]

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::WouldBlock;
use super::raw::RawMutex;
use crate::primitive::maybe_const_fn;

/// A mutual exclusion lock: one thread at a time can access the data.
///
/// As [`std::sync::Mutex`](https://doc.rust-lang.org/std/sync/struct.Mutex.html), without
/// poisoning (see the [module](crate::sync#no-poisoning-and-what-takes-its-place)). One 32-bit
/// word beside the data; a system call, `futex(2)`, only under contention.
///
/// # Examples
///
/// ```
/// use rawthread::sync::Mutex;
///
/// static SUM: Mutex<u32> = Mutex::new(0);
///
/// std::thread::scope(|s| {
///     for i in 1..=4 {
///         s.spawn(move || *SUM.lock() += i);
///     }
/// });
/// assert_eq!(*SUM.lock(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    data: UnsafeCell<T>,
}

// SAFETY: sending the mutex sends the data and nothing else.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: a shared mutex hands the data from thread to thread as `&mut T`, one at a time
// (RAWMUTEX-1 in raw/mutex.rs), which is sending it: T: Send. It never gives two threads a `&T` at
// once (a guard that is shared does, and has its own bound), so T: Sync is not needed.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    maybe_const_fn! {
        /// Creates an unlocked mutex.
        ///
        /// # Examples
        ///
        /// ```
        /// use rawthread::sync::Mutex;
        ///
        /// static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
        /// ```
        pub fn new(value: T) -> Self {
            Self { raw: RawMutex::new(), data: UnsafeCell::new(value) }
        }
    }

    /// Consumes the mutex and returns the data.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Mutex;
    ///
    /// assert_eq!(Mutex::new(3).into_inner(), 3);
    /// ```
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks the mutex, and blocks until it is free. The mutex is unlocked when the guard is dropped.
    ///
    /// A thread that locks the mutex while it holds it deadlocks.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Mutex;
    ///
    /// let lock = Mutex::new(1);
    /// *lock.lock() += 1;
    /// assert_eq!(*lock.lock(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock();
        MutexGuard::new(self)
    }

    /// Locks the mutex if it is free, without blocking.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`] if a thread holds it, the calling one included.
    ///
    /// # Examples
    ///
    /// ```
    /// use rawthread::sync::Mutex;
    ///
    /// let lock = Mutex::new(0);
    /// match lock.try_lock() {
    ///     Ok(mut data) => *data = 1,
    ///     Err(_) => println!("later, then"),
    /// }
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        if self.raw.try_lock() {
            Ok(MutexGuard::new(self))
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
    /// use rawthread::sync::Mutex;
    ///
    /// let mut lock = Mutex::new(1);
    /// *lock.get_mut() = 5;
    /// assert_eq!(lock.into_inner(), 5);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(data) => out.field("data", &&*data),
            Err(WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// The right to a [`Mutex`]'s data, until it is dropped.
///
/// It stays in its thread, as std's does: a guard is not `Send`.
///
/// ```compile_fail,E0277
/// use rawthread::sync::Mutex;
///
/// let lock = Mutex::new(0);
/// let guard = lock.lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard)); // MutexGuard is not Send
/// });
/// ```
///
/// # Examples
///
/// ```
/// use rawthread::sync::{Mutex, MutexGuard};
///
/// let lock = Mutex::new(vec![1]);
/// let mut guard: MutexGuard<'_, Vec<i32>> = lock.lock();
/// guard.push(2);
/// drop(guard); // unlocks
/// assert_eq!(*lock.lock(), [1, 2]);
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: all that a `&MutexGuard` gives is `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The caller has just taken the lock.
    fn new(lock: &'a Mutex<T>) -> Self {
        Self {
            lock,
            not_send: PhantomData,
        }
    }

    /// For the condition variable, which unlocks and locks again under the guard.
    pub(super) fn raw(&self) -> &'a RawMutex {
        &self.lock.raw
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, and by RAWMUTEX-1 no other does; the borrow of the guard
        // keeps `&mut T` from it away.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, and by RAWMUTEX-1 no other does; the guard is borrowed
        // exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
