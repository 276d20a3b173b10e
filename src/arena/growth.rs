//! How an arena grows: each index is given once; a chunk's address is published once, and stays.

use core::ptr::{self, NonNull};

use crate::primitive::atomic::Ordering;
use crate::primitive::word::{Counter, Word};
use crate::sys::Errno;

/// The chunk that `base` holds. Where there is none yet, what `make` makes is put there; another thread
/// may be faster, and then `unmake` gets it back.
///
/// # Errors
/// Those of `make`.
#[inline]
pub(crate) fn get_or_make(
    base: &impl Word<*mut u8>,
    make: impl FnOnce() -> Result<NonNull<u8>, Errno>,
    unmake: impl FnOnce(NonNull<u8>),
) -> Result<NonNull<u8>, Errno> {
    // Acquire pairs with the Release below: the kernel's zeroes are there.
    if let Some(found) = NonNull::new(base.load(Ordering::Acquire)) {
        return Ok(found);
    }
    let made = make()?;
    match base.compare_exchange(
        ptr::null_mut(),
        made.as_ptr(),
        Ordering::Release,
        Ordering::Acquire,
    ) {
        Ok(_) => Ok(made),
        Err(other) => {
            unmake(made);
            NonNull::new(other).ok_or(Errno::ENOMEM)
        }
    }
}

/// The next index, the caller's alone. Relaxed: the entry is reached by what publishes it.
#[inline]
pub(crate) fn take_index(used: &impl Counter) -> u32 {
    used.fetch_add(1, Ordering::Relaxed)
}
