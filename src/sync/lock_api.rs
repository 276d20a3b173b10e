//! The raw locks as the `lock_api` crate wants them.
#![allow(unsafe_code, reason = "lock_api's traits are promises")]

use core::fmt;

use lock_api::GuardNoSend;

use super::{pi_mutex, raw};

/// The word of a [`Mutex`](super::Mutex), for `lock_api` 0.4 (cargo feature `lock_api`).
///
/// # Examples
///
/// ```
/// type Mutex<T> = lock_api::Mutex<rawthread::sync::RawMutex, T>;
///
/// static COUNT: Mutex<u32> = Mutex::new(0);
/// *COUNT.lock() += 1;
/// assert!(!COUNT.is_locked());
/// ```
pub struct RawMutex(raw::RawMutex);

impl fmt::Debug for RawMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMutex").finish_non_exhaustive()
    }
}

// SAFETY: by RAWMUTEX-1 in raw/mutex.rs there is one holder at a time, and only the holder's unlock
// ends that; Acquire and Release order one holder's accesses before the next one's.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for it: a value to copy, not a place"
    )]
    const INIT: Self = Self(raw::RawMutex::new());

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        self.0.lock();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.unlock();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// The words of a [`PiMutex`](super::PiMutex), for `lock_api` 0.4 (cargo feature `lock_api`).
///
/// Its `lock` panics where [`PiMutex::lock`](super::PiMutex::lock) does.
///
/// # Examples
///
/// ```
/// type PiMutex<T> = lock_api::Mutex<rawthread::sync::RawPiMutex, T>;
///
/// static COUNT: PiMutex<u32> = PiMutex::new(0);
/// *COUNT.lock() += 1;
/// assert!(!COUNT.is_locked());
/// ```
pub struct RawPiMutex(raw::RawPiMutex);

impl fmt::Debug for RawPiMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPiMutex").finish_non_exhaustive()
    }
}

// SAFETY: by PIMUTEX-1 in raw/pi_mutex.rs there is one holder at a time, and only the holder's unlock
// gives the lock to another; Acquire and Release, or the kernel, order one holder's accesses before the
// next one's.
unsafe impl lock_api::RawMutex for RawPiMutex {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for it: a value to copy, not a place"
    )]
    const INIT: Self = Self(raw::RawPiMutex::new());

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if let Err(errno) = self.0.lock() {
            pi_mutex::lock_failed(errno);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.unlock();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// The words of an [`RwLock`](super::RwLock), for `lock_api` 0.4 (cargo feature `lock_api`).
///
/// # Examples
///
/// ```
/// type RwLock<T> = lock_api::RwLock<rawthread::sync::RawRwLock, T>;
///
/// static LEVEL: RwLock<u32> = RwLock::new(1);
/// assert_eq!(*LEVEL.read(), 1);
/// *LEVEL.write() = 2;
/// ```
pub struct RawRwLock(raw::RawRwLock);

impl fmt::Debug for RawRwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRwLock").finish_non_exhaustive()
    }
}

// SAFETY: by RAWRWLOCK-1 in raw/rwlock.rs there is one writer or readers, and only their unlocks
// end that; Acquire and Release order a writer's accesses before and after those of all others.
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "the trait asks for it: a value to copy, not a place"
    )]
    const INIT: Self = Self(raw::RawRwLock::new());

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        self.0.read();
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.0.try_read()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        self.0.unlock_read();
    }

    #[inline]
    fn lock_exclusive(&self) {
        self.0.write();
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.0.try_write()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        self.0.unlock_write();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.0.is_written()
    }
}

// SAFETY: the writer turns into one reader in one step, so no other writer comes between
// (RAWRWLOCK-1).
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    #[inline]
    unsafe fn downgrade(&self) {
        self.0.downgrade();
    }
}
