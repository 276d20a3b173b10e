//! The stack that a command's child stands on until execve. The last one is kept for the next
//! child: mapping one and taking it down costs three calls and two page faults.
#![allow(unsafe_code, reason = "keeps a raw mapping between two uses")]

use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::error::Error;
use crate::process::ground::Ground;

/// Enough for `inside` in a build without optimisation, several times over.
const SIZE: usize = 32 * 1024;

/// The mapping that nobody uses: 36 KiB at most, of which one or two pages were ever touched.
///
/// | word | meaning | becomes |
/// |---|---|---|
/// | null | none is kept | a base, by whoever is done with one |
/// | base | the lowest address of one of `Ground::length(SIZE)` bytes | null, by who takes it |
///
/// Taking is an Acquire and putting a Release: whoever had the stack is done with it.
static SPARE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// A stack for one child, kept for the next or unmapped when dropped.
pub(super) struct Foothold(ManuallyDrop<Ground>);

impl Foothold {
    pub(super) fn take() -> Result<Self, Error> {
        let ground = match NonNull::new(SPARE.swap(null_mut(), Ordering::Acquire)) {
            // SAFETY: put there by `drop`, from `into_parts`; the swap made it ours alone.
            Some(base) => unsafe { Ground::from_parts(base, Ground::length(SIZE)?) },
            None => Ground::new(SIZE)?,
        };
        Ok(Self(ManuallyDrop::new(ground)))
    }

    pub(super) fn ground(&self) -> &Ground {
        &self.0
    }
}

impl Drop for Foothold {
    fn drop(&mut self) {
        // SAFETY: taken once; this value is not used again.
        let (base, len) = unsafe { ManuallyDrop::take(&mut self.0) }.into_parts();
        let kept = SPARE.compare_exchange(null_mut(), base, Ordering::Release, Ordering::Relaxed);
        if kept.is_err()
            && let Some(base) = NonNull::new(base)
        {
            // SAFETY: the parts of the ground, whose only copy this is.
            drop(unsafe { Ground::from_parts(base, len) });
        }
    }
}
