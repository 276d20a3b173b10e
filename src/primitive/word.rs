//! An atomic word, the machine's or loom's, for protocols whose words lie in statics.
//!
//! Statics are made by `const` functions, which loom's atomics have none of. So the words of an arena
//! are core's in every build, and the protocols on them are functions of any [`Word`]: the arena calls
//! them with core's, the models with loom's.

use super::atomic::Ordering;
use crate::sys::futex::{self, Deadline, Sharing, TimedOut};

/// An atomic word that holds a `T`; as core's atomics.
///
/// `track_caller`: the models' atomics ask which line it is whose ordering they weaken.
pub(crate) trait Word<T> {
    #[cfg_attr(all(test, loom), track_caller)]
    fn load(&self, order: Ordering) -> T;
    #[cfg_attr(all(test, loom), track_caller)]
    fn store(&self, value: T, order: Ordering);
    #[cfg_attr(all(test, loom), track_caller)]
    fn compare_exchange(
        &self,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T>;
    #[cfg_attr(all(test, loom), track_caller)]
    fn compare_exchange_weak(
        &self,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T>;
}

/// A word that is a futex, too.
pub(crate) trait FutexWord: Word<u32> {
    /// As [`futex::wait`].
    fn wait(
        &self,
        expected: u32,
        deadline: Option<Deadline>,
        sharing: Sharing,
    ) -> Result<(), TimedOut>;
    /// As [`futex::wake`]: by the address alone.
    fn wake(word: *const Self, count: u32, sharing: Sharing) -> usize;
}

impl FutexWord for core::sync::atomic::AtomicU32 {
    #[inline]
    fn wait(
        &self,
        expected: u32,
        deadline: Option<Deadline>,
        sharing: Sharing,
    ) -> Result<(), TimedOut> {
        futex::wait(self, expected, deadline, sharing)
    }
    #[inline]
    fn wake(word: *const Self, count: u32, sharing: Sharing) -> usize {
        futex::wake(word.cast(), count, sharing)
    }
}

#[cfg(all(test, loom))]
impl FutexWord for super::atomic::AtomicU32 {
    fn wait(
        &self,
        expected: u32,
        deadline: Option<Deadline>,
        _sharing: Sharing,
    ) -> Result<(), TimedOut> {
        super::futex::wait_until(self, expected, deadline)
    }
    fn wake(word: *const Self, count: u32, _sharing: Sharing) -> usize {
        crate::loom_models::futex::wake(word, count)
    }
}

/// An atomic number.
pub(crate) trait Counter {
    #[cfg_attr(all(test, loom), track_caller)]
    fn fetch_add(&self, more: u32, order: Ordering) -> u32;
}

impl Counter for core::sync::atomic::AtomicU32 {
    #[inline]
    fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        self.fetch_add(more, order)
    }
}

#[cfg(all(test, loom))]
impl Counter for super::atomic::AtomicU32 {
    #[track_caller]
    fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        self.fetch_add(more, order)
    }
}

macro_rules! words {
    ($($atomic:ty: $value:ty),*) => {$(
        impl Word<$value> for $atomic {
            #[inline]
            #[cfg_attr(all(test, loom), track_caller)]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }
            #[inline]
            #[cfg_attr(all(test, loom), track_caller)]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }
            #[inline]
            #[cfg_attr(all(test, loom), track_caller)]
            fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
            #[inline]
            #[cfg_attr(all(test, loom), track_caller)]
            fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange_weak(current, new, success, failure)
            }
        }
    )*};
}

words!(
    core::sync::atomic::AtomicU32: u32,
    core::sync::atomic::AtomicU64: u64,
    core::sync::atomic::AtomicPtr<u8>: *mut u8
);

#[cfg(all(test, loom))]
words!(
    super::atomic::AtomicU32: u32,
    super::atomic::AtomicU64: u64,
    super::atomic::AtomicPtr<u8>: *mut u8
);
