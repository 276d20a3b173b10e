//! How many locks the calling thread holds that the kernel knows by their holder, where a layer above counts.

use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The count of the calling thread; `None` where no count is kept.
pub(crate) type Source = fn() -> Option<&'static AtomicU32>;

/// A [`Source`], or null. Relaxed: a function is code, which every thread has.
static SOURCE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Has locks counted from here on.
pub(crate) fn register(source: Source) {
    SOURCE.store(source as *mut (), Ordering::Relaxed);
}

/// The calling thread has taken such a lock.
#[inline]
pub(crate) fn add() {
    change(1);
}

/// The calling thread gives such a lock up.
#[inline]
pub(crate) fn remove() {
    change(u32::MAX);
}

#[inline]
fn change(by: u32) {
    let source = SOURCE.load(Ordering::Relaxed);
    if source.is_null() {
        return;
    }
    #[allow(unsafe_code, reason = "gives a function its type back")]
    // SAFETY: `register` alone stores here, and only a `Source`.
    let source = unsafe { mem::transmute::<*mut (), Source>(source) };
    if let Some(count) = source() {
        // Relaxed: the thread's own, and a signal handler leaves it as it was. It wraps around where a
        // lock was taken before there was a count.
        count.fetch_add(by, Ordering::Relaxed);
    }
}
