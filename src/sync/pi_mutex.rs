//! The mutex whose holder inherits the priority of those that wait for it.
#![allow(unsafe_code, reason = "a guard is the proof of exclusive access")]

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::WouldBlock;
use super::raw::RawPiMutex;
use crate::error::{Error, Operation};
use crate::sys::Errno;

static LOCK: Operation = Operation {
    name: "futex(FUTEX_LOCK_PI)",
    purpose: "lock a priority-inheritance mutex",
    hint: |errno| match errno.number() {
        libc::EDEADLK => {
            "The thread holds it already, or the threads that hold and want it wait in a circle."
        }
        libc::EOWNERDEAD => {
            "The thread that held it has ended and its guard was not dropped: the mutex stays locked for good."
        }
        libc::ENOSYS | libc::EPERM => {
            "The kernel lacks CONFIG_FUTEX_PI, or a seccomp filter refuses the operation: use Mutex."
        }
        _ => "See futex(2).",
    },
};

/// A mutual exclusion lock whose holder runs with the highest priority of the threads that wait for
/// it: priority inheritance, by the kernel (`futex(2)`, FUTEX_LOCK_PI).
///
/// With [`Mutex`](super::Mutex), a thread of high priority that waits for one of low priority waits for
/// all threads of the priorities between, too, for they keep the holder from running: a priority
/// inversion, which has no bound. It concerns threads with
/// [`Policy::Fifo`](crate::Policy::Fifo), `RoundRobin` and `Deadline`; among ordinary threads a
/// `Mutex` does as well, with fewer system calls where threads wait.
///
/// As `pthread_mutex_t` with PTHREAD_PRIO_INHERIT. Without poisoning, as all locks here. Two words
/// beside the data. A free lock is taken without a system call (one, `gettid(2)`, in programs without
/// a libc, and before the first thread of this crate); a wait costs three. Waiters get the lock in the order of
/// their priorities. [`Condvar`](super::Condvar) does not work with it.
///
/// # A holder that ends
///
/// Where a thread ends and has leaked its guard, the lock is never given to another thread: what
/// the guard protected may be in use still, by a reference that outlived the guard's thread. But no
/// thread waits for it in vain, as one would for a [`Mutex`](super::Mutex): those that wait, and those
/// that come later, get EOWNERDEAD. The kernel tells the waiters; later ones learn that the process has
/// no such thread. A robust list (`set_robust_list(2)`) is not used: the thread's one list belongs to
/// its libc. So a later thread is not told if the kernel has given the number of the ended thread to
/// another of this process by then: it waits until that thread ends.
///
/// # Fork
///
/// In the child of a fork, the thread that forked may drop a guard that it had at the fork. Until it
/// does, other threads of the child get EOWNERDEAD: the kernel knows the parent's thread as the holder.
///
/// # Examples
///
/// ```
/// use rawthread::sync::PiMutex;
///
/// static SAMPLES: PiMutex<Vec<u32>> = PiMutex::new(Vec::new());
///
/// rawthread::scope(|s| {
///     for n in 0..4 {
///         s.spawn(move || SAMPLES.lock().push(n));
///     }
/// });
/// assert_eq!(SAMPLES.lock().len(), 4);
/// ```
pub struct PiMutex<T: ?Sized> {
    raw: RawPiMutex,
    data: UnsafeCell<T>,
}

// SAFETY: sending the mutex sends the data and nothing else.
unsafe impl<T: ?Sized + Send> Send for PiMutex<T> {}
// SAFETY: as of `Mutex`: the data passes from thread to thread as `&mut T`, one at a time (PIMUTEX-1 in
// raw/pi_mutex.rs).
unsafe impl<T: ?Sized + Send> Sync for PiMutex<T> {}

impl<T> PiMutex<T> {
    /// Creates an unlocked mutex.
    ///
    /// ```
    /// use rawthread::sync::PiMutex;
    ///
    /// static LEVEL: PiMutex<i32> = PiMutex::new(0);
    /// ```
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawPiMutex::new(),
            data: UnsafeCell::new(value),
        }
    }

    /// Consumes the mutex and returns the data.
    ///
    /// ```
    /// assert_eq!(rawthread::sync::PiMutex::new(3).into_inner(), 3);
    /// ```
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> PiMutex<T> {
    /// Locks the mutex, and blocks until it is free. The mutex is unlocked when the guard is dropped.
    ///
    /// # Panics
    /// Where [`lock_checked`](Self::lock_checked) returns an error: a deadlock is one.
    ///
    /// ```
    /// let lock = rawthread::sync::PiMutex::new(1);
    /// *lock.lock() += 1;
    /// assert_eq!(*lock.lock(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> PiMutexGuard<'_, T> {
        match self.raw.lock() {
            Ok(()) => PiMutexGuard::new(self),
            Err(errno) => lock_failed(errno),
        }
    }

    /// Locks the mutex as [`lock`](Self::lock) does, but returns an error where that panics.
    ///
    /// # Errors
    /// EDEADLK if the calling thread holds it, or the wait would close a circle of threads that wait for
    /// each other's `PiMutex`. EOWNERDEAD if the thread that held it has ended without unlocking. ENOSYS
    /// or what a seccomp filter says if the kernel has no such locks and the caller would have to wait;
    /// ENOMEM.
    ///
    /// ```
    /// let lock = rawthread::sync::PiMutex::new(1);
    /// let held = lock.lock_checked()?;
    /// let error = lock.lock_checked().unwrap_err();
    /// assert_eq!(error.raw_os_error(), Some(libc::EDEADLK));
    /// # drop(held);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[inline]
    pub fn lock_checked(&self) -> Result<PiMutexGuard<'_, T>, Error> {
        match self.raw.lock() {
            Ok(()) => Ok(PiMutexGuard::new(self)),
            Err(errno) => Err(Error::from_operation(&LOCK, errno)),
        }
    }

    /// Locks the mutex if it is free, without blocking.
    ///
    /// # Errors
    /// [`WouldBlock`] if a thread holds it, the calling one included, or ended with it.
    ///
    /// ```
    /// let lock = rawthread::sync::PiMutex::new(0);
    /// let held = lock.try_lock().unwrap();
    /// assert!(lock.try_lock().is_err());
    /// # drop(held);
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<PiMutexGuard<'_, T>, WouldBlock> {
        if self.raw.try_lock() {
            Ok(PiMutexGuard::new(self))
        } else {
            Err(WouldBlock)
        }
    }

    /// Returns a mutable reference to the data. Nothing is locked: the exclusive borrow proves that
    /// there is no guard.
    ///
    /// ```
    /// let mut lock = rawthread::sync::PiMutex::new(1);
    /// *lock.get_mut() = 5;
    /// assert_eq!(lock.into_inner(), 5);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

/// # Panics
/// Always: what [`PiMutex::lock`] and `lock_api`'s, which have no error, do of one.
#[cold]
#[track_caller]
pub(super) fn lock_failed(errno: Errno) -> ! {
    panic!("{}", Error::from_operation(&LOCK, errno))
}

impl<T: Default> Default for PiMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for PiMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for PiMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PiMutex");
        match self.try_lock() {
            Ok(data) => out.field("data", &&*data),
            Err(WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// The right to a [`PiMutex`]'s data, until it is dropped.
///
/// It stays in its thread, which the kernel knows as the holder: a guard is not `Send`.
///
/// ```compile_fail,E0277
/// let lock = rawthread::sync::PiMutex::new(0);
/// let guard = lock.lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard)); // PiMutexGuard is not Send
/// });
/// ```
///
/// ```
/// use rawthread::sync::{PiMutex, PiMutexGuard};
///
/// let lock = PiMutex::new(vec![1]);
/// let mut guard: PiMutexGuard<'_, Vec<i32>> = lock.lock();
/// guard.push(2);
/// drop(guard); // unlocks
/// assert_eq!(*lock.lock(), [1, 2]);
/// ```
#[must_use = "if unused the PiMutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct PiMutexGuard<'a, T: ?Sized> {
    lock: &'a PiMutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: all that a `&PiMutexGuard` gives is `&T`.
unsafe impl<T: ?Sized + Sync> Sync for PiMutexGuard<'_, T> {}

impl<'a, T: ?Sized> PiMutexGuard<'a, T> {
    /// The caller has just taken the lock.
    fn new(lock: &'a PiMutex<T>) -> Self {
        Self {
            lock,
            not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for PiMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, and by PIMUTEX-1 no other does; the borrow of the guard
        // keeps `&mut T` from it away.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for PiMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, and by PIMUTEX-1 no other does; the guard is borrowed
        // exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for PiMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for PiMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for PiMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
