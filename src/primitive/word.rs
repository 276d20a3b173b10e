//! An atomic word, the machine's or loom's, for protocols whose words lie in statics.
//!
//! Statics are made by `const` functions, which loom's atomics have none of. So the words of an arena
//! are core's in every build, and the protocols on them are functions of any [`Word`]: the arena calls
//! them with core's, the models with loom's.

use super::atomic::Ordering;

/// An atomic word that holds a `T`; as core's atomics.
pub(crate) trait Word<T> {
    fn load(&self, order: Ordering) -> T;
    fn store(&self, value: T, order: Ordering);
    fn compare_exchange(
        &self,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T>;
    fn compare_exchange_weak(
        &self,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<T, T>;
}

/// An atomic number.
pub(crate) trait Counter {
    fn fetch_add(&self, more: u32, order: Ordering) -> u32;
}

impl Counter for core::sync::atomic::AtomicU32 {
    #[inline]
    fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        self.fetch_add(more, order)
    }
}

#[cfg(all(test, loom))]
impl Counter for loom::sync::atomic::AtomicU32 {
    fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        self.fetch_add(more, order)
    }
}

macro_rules! words {
    ($($atomic:ty: $value:ty),*) => {$(
        impl Word<$value> for $atomic {
            #[inline]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }
            #[inline]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }
            #[inline]
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
    loom::sync::atomic::AtomicU32: u32,
    loom::sync::atomic::AtomicU64: u64,
    loom::sync::atomic::AtomicPtr<u8>: *mut u8
);
