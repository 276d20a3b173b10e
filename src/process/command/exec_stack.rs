//! The stack of a command's child until execve. The last one is kept for the next
//! child: mapping one and taking it down costs three calls and two page faults.
#![allow(unsafe_code, reason = "keeps a raw mapping between two uses")]

use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::error::Error;
use crate::process::guarded_stack::GuardedStack;

/// Enough for `exec_child` in a build without optimisation, several times over.
const SIZE: usize = 32 * 1024;

/// The idle mapping: 36 KiB at most, of which one or two pages were ever touched.
///
/// | word | meaning | becomes |
/// |---|---|---|
/// | null | none is kept | a base, by a thread that is done with one |
/// | base | the lowest address of one of `GuardedStack::mapping_len(SIZE)` bytes | null, by the thread that takes it |
///
/// Taking is an Acquire and putting a Release: the thread that had the stack is done with it.
static SPARE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// A stack for one child, kept for the next or unmapped when dropped.
pub(super) struct CachedStack(ManuallyDrop<GuardedStack>);

impl CachedStack {
    pub(super) fn take() -> Result<Self, Error> {
        let stack = match NonNull::new(SPARE.swap(null_mut(), Ordering::Acquire)) {
            // SAFETY: put there by `drop`, from `into_parts`; the swap made it ours alone.
            Some(base) => unsafe {
                GuardedStack::from_parts(base, GuardedStack::mapping_len(SIZE)?)
            },
            None => GuardedStack::new(SIZE)?,
        };
        Ok(Self(ManuallyDrop::new(stack)))
    }

    pub(super) fn stack(&self) -> &GuardedStack {
        &self.0
    }
}

impl Drop for CachedStack {
    fn drop(&mut self) {
        // SAFETY: taken once; this value is not used again.
        let (base, len) = unsafe { ManuallyDrop::take(&mut self.0) }.into_parts();
        let kept = SPARE.compare_exchange(null_mut(), base, Ordering::Release, Ordering::Relaxed);
        if kept.is_err()
            && let Some(base) = NonNull::new(base)
        {
            // SAFETY: the parts of the stack, whose only copy this is.
            drop(unsafe { GuardedStack::from_parts(base, len) });
        }
    }
}
