//! One answer of a thread or a child process to the one that made it, which sleeps until it comes.
//!
//! | word | meaning | written by |
//! |---|---|---|
//! | the `pending` of both sides | no answer yet; what it is about is the answering side's | |
//! | anything else | the answer, or the kernel's 0 at the answering side's end; the rest is the waiting side's | the answering side, once |
//!
//! The answer is given with Release and read with Acquire, so all that came before it is seen. The wait
//! reads the word again after each sleep: a wake says nothing.
#![allow(unsafe_code, reason = "the word may be gone once the answer is given")]

use crate::primitive::atomic::Ordering;
use crate::primitive::word::FutexWord;
use crate::sys::futex::{Deadline, Sharing};

/// Gives the answer and wakes the waiting side; returns how many waiters there were. The store is the last access to the word, whose memory
/// the waiting side may free from then on: the wake has the address alone.
///
/// # Safety
/// `word` is valid until the answer is stored.
pub(crate) unsafe fn give<W: FutexWord>(word: *const W, answer: u32, sharing: Sharing) -> usize {
    // SAFETY: by the contract.
    unsafe { (*word).store(answer, Ordering::Release) };
    W::wake(word, 1, sharing)
}

/// Sleeps until the answer and returns it.
pub(crate) fn wait(word: &impl FutexWord, pending: u32, sharing: Sharing) -> u32 {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != pending {
            return now;
        }
        let _ = word.wait(pending, None, sharing);
    }
}

/// As [`wait`], of a side that may be killed before it answers: then `None`. `look_at` is when
/// `has_ended` is asked next.
pub(crate) fn wait_or_end(
    word: &impl FutexWord,
    pending: u32,
    sharing: Sharing,
    look_at: impl Fn() -> Option<Deadline>,
    mut has_ended: impl FnMut() -> bool,
) -> Option<u32> {
    let mut ended = false;
    loop {
        let now = word.load(Ordering::Acquire);
        if now != pending {
            return Some(now);
        }
        // The word was read once more after the end: the answer may have come in between.
        if ended {
            return None;
        }
        if word.wait(pending, look_at(), sharing).is_err() {
            ended = has_ended();
        }
    }
}
