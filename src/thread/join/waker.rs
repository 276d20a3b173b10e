//! A waker as two words, as the hook of a thread and the cell of a set keep it.
#![allow(unsafe_code, reason = "takes a waker apart and puts it together")]

use core::mem::ManuallyDrop;
use core::task::{RawWakerVTable, Waker};

use crate::thread::spawn::unwind;

/// Takes a waker apart. The words stand for it until [`from_words`] makes one of them again.
pub(super) fn into_words(waker: Waker) -> [*const (); 2] {
    let waker = ManuallyDrop::new(waker);
    words(&waker)
}

/// The words of a waker, which stays.
pub(super) fn words(waker: &Waker) -> [*const (); 2] {
    [waker.data(), core::ptr::from_ref(waker.vtable()).cast()]
}

/// Puts a waker together.
///
/// # Safety
/// `words` came from [`into_words`], and no waker was made of them yet.
pub(super) unsafe fn from_words(words: [*const (); 2]) -> Waker {
    // SAFETY: the words of a waker that was taken apart; a table is static.
    unsafe { Waker::new(words[0], &*words[1].cast::<RawWakerVTable>()) }
}

/// Wakes what waits. A panic of the waker is reported by the panic hook and goes no further: the caller
/// is the end of a thread that has nothing to do with it.
///
/// # Safety
/// As [`from_words`].
pub(super) unsafe fn wake(words: [*const (); 2]) {
    // SAFETY: passed on.
    let waker = unsafe { from_words(words) };
    unwind::catch_and_ignore(|| waker.wake());
}
