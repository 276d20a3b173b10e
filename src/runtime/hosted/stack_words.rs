//! What libc reports as a thread's stack, where that is not the slot's.
//!
//! `pthread_getattr_np` reads two neighbouring words of libc's description of a thread: an address
//! (glibc: the lowest; musl: the end) and a length. Where they lie is found by what the function
//! reports for a thread on its slot's stack, and proved by changing them and asking again.

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::pthread::pthread_address;
use super::tcb::Slot;

/// Where the words are, counted from the handle.
///
/// | value | meaning | becomes |
/// |---|---|---|
/// | `UNKNOWN` | no thread has looked | one of the others, once |
/// | `NOT_FOUND` | a thread has looked, and found none that can be proved | |
/// | other | `2 * offset`, 1 more if the first word is the end | |
///
/// Offsets are multiples of 8 beyond 0. Relaxed: the word carries no data but itself, and every
/// thread that looks finds the same.
static WORDS: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = 0;
const NOT_FOUND: usize = 1;

/// Bytes of libc's description of a thread in which every libc known has the words.
const WINDOW: usize = 2304;

/// See [`Runtime::native_stack`](crate::runtime::Runtime::native_stack).
pub(super) fn native_stack() -> (usize, usize) {
    ask().unwrap_or((0, 0))
}

/// What libc reports; `None` if it cannot, for want of memory.
fn ask() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut low, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the functions fill what they are given, in this order.
    unsafe {
        let attributes = attributes.as_mut_ptr();
        if libc::pthread_getattr_np(libc::pthread_self(), attributes) != 0 {
            return None;
        }
        libc::pthread_attr_getstack(attributes, &mut low, &mut len);
        libc::pthread_attr_destroy(attributes);
    }
    Some((low as usize, low as usize + len))
}

/// Whether [`set`] works; `None` before [`find`] ran.
pub(super) fn are_found() -> Option<bool> {
    match WORDS.load(Ordering::Relaxed) {
        UNKNOWN => None,
        found => Some(found != NOT_FOUND),
    }
}

/// Looks for the words. Where libc cannot be asked, they stay unknown.
///
/// # Safety
/// `slot` is the calling thread's, with a TCB, and the thread runs on its stack.
pub(super) unsafe fn find(slot: Slot) {
    let (base, len) = slot.region().stack();
    let handle = pthread_address();
    let end = base.wrapping_add(len).addr();
    let inside = (base.addr()..end).contains(&handle.addr());
    let window = if inside { end - handle.addr() } else { 0 };
    let Some(reported) = ask() else {
        return;
    };
    let mut found = NOT_FOUND;
    'offsets: for offset in (8..window.min(WINDOW).saturating_sub(16)).step_by(8) {
        // SAFETY: the two words lie in the slot, between the handle and the end of its stack.
        let pair = unsafe { pair_at(handle, offset) };
        for by_end in [false, true] {
            match proves(pair, by_end, reported) {
                None => return,
                Some(false) => {}
                Some(true) => {
                    found = 2 * offset + usize::from(by_end);
                    break 'offsets;
                }
            }
        }
    }
    WORDS.store(found, Ordering::Relaxed);
}

/// Whether these words are where libc has its report from; `None` if it cannot be asked.
fn proves(pair: [&AtomicUsize; 2], by_end: bool, (low, end): (usize, usize)) -> Option<bool> {
    const SHIFT: usize = 4096;
    let old = pair.map(|word| word.load(Ordering::Relaxed));
    if end - low <= 2 * SHIFT || old != as_words(by_end, low, end) {
        return Some(false);
    }
    let other = (low + SHIFT, end - SHIFT);
    store(pair, as_words(by_end, other.0, other.1));
    let reported = ask();
    store(pair, old);
    Some(reported? == other)
}

fn as_words(by_end: bool, low: usize, end: usize) -> [usize; 2] {
    [if by_end { end } else { low }, end - low]
}

fn store(pair: [&AtomicUsize; 2], words: [usize; 2]) {
    for (word, value) in pair.into_iter().zip(words) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Atomic, for another thread may ask libc about this one at any time.
///
/// # Safety
/// Two words of permanent memory that is libc's lie there.
unsafe fn pair_at<'a>(handle: *const u8, offset: usize) -> [&'a AtomicUsize; 2] {
    let first = handle.wrapping_add(offset).cast::<AtomicUsize>();
    // SAFETY: passed on; every handle is aligned to 8 at least.
    unsafe { [&*first, &*first.add(1)] }
}

/// Has libc report the stack `low..end` of the slot's next thread, until [`restore`].
///
/// # Safety
/// The slot is the caller's alone, vacant, and has a TCB; the words are found.
pub(super) unsafe fn set(slot: Slot, low: usize, end: usize) {
    let word = WORDS.load(Ordering::Relaxed);
    let tcb = slot.tcb();
    // SAFETY: a handle is an address, or the words would not have been found at one.
    unsafe {
        let pair = pair_at((*tcb).pthread as *const u8, word / 2);
        let old = pair.map(|word| word.load(Ordering::Relaxed));
        (&raw mut (*tcb).libc_stack).write(old);
        store(pair, as_words(word % 2 == 1, low, end));
    }
}

/// Undoes [`set`]; nothing if it was not called.
///
/// # Safety
/// The slot is the caller's alone, but for a thread that is about to exit.
pub(super) unsafe fn restore(slot: Slot) {
    let tcb = slot.tcb();
    // SAFETY: by the contract.
    unsafe {
        let old = ptr::replace(&raw mut (*tcb).libc_stack, [0; 2]);
        if old != [0; 2] {
            let word = WORDS.load(Ordering::Relaxed);
            store(pair_at((*tcb).pthread as *const u8, word / 2), old);
        }
    }
}
