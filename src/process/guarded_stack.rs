//! The stack of a child that shares memory: a mapping with a guard page below it.
#![allow(unsafe_code, reason = "owns raw mappings")]

use core::ptr::NonNull;

use crate::diagnosis;
use crate::error::Error;
use crate::sys::{Errno, memory};

/// A guarded stack, unmapped when dropped.
///
/// `base | guard page | stack, grows down | top`
#[derive(Debug)]
pub(super) struct GuardedStack {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; only its owner touches it.
unsafe impl Send for GuardedStack {}
// SAFETY: a shared reference only reads two numbers.
unsafe impl Sync for GuardedStack {}

impl GuardedStack {
    /// Maps a stack of at least `size` bytes.
    pub(super) fn new(size: usize) -> Result<Self, Error> {
        let page = memory::page_size();
        let len = Self::mapping_len(size)?;
        let base = memory::map(len).map_err(|errno| diagnosis::map_error(errno, len))?;
        let stack = Self { base, len };
        // SAFETY: the page was just mapped, and no frame or reference lies in it.
        let guarded = unsafe { memory::mprotect(base.as_ptr(), page, libc::PROT_NONE) };
        guarded
            .or_else(|errno| match errno {
                // SAFETY: as above.
                Errno::ENOSYS | Errno::EPERM => unsafe { memory::map_guard(base.as_ptr(), page) },
                other => Err(other),
            })
            .map_err(|errno| diagnosis::map_error(errno, page))?;
        Ok(stack)
    }

    /// Bytes of a mapping for a stack of at least `size` bytes, guard included.
    pub(super) fn mapping_len(size: usize) -> Result<usize, Error> {
        let page = memory::page_size();
        size.checked_next_multiple_of(page)
            .and_then(|size| size.checked_add(page))
            .ok_or(Error::invalid_input(
                "the child's stack size does not fit into the address space",
                "Ask for a smaller one.",
            ))
    }

    /// The lowest address of the stack, above the guard.
    pub(super) fn bottom(&self) -> usize {
        self.base.as_ptr() as usize + memory::page_size()
    }

    /// The end of the stack.
    pub(super) fn top(&self) -> *mut u8 {
        // SAFETY: one past the end of the mapping.
        unsafe { self.base.as_ptr().add(self.len) }
    }

    /// Gives up ownership: (lowest mapped address, length in bytes).
    #[cfg(feature = "alloc")]
    pub(super) fn into_parts(self) -> (*mut u8, usize) {
        let parts = (self.base.as_ptr(), self.len);
        core::mem::forget(self);
        parts
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// The parts must come from [`into_parts`](Self::into_parts), once.
    #[cfg(feature = "alloc")]
    pub(super) unsafe fn from_parts(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len }
    }
}

impl Drop for GuardedStack {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping, and its owner has waited until the child left the stack.
        let _ = unsafe { memory::unmap(self.base.as_ptr(), self.len) };
    }
}
