//! A queue of threads that are done: each thread pushes itself, and one owner collects them and
//! sleeps while there are none. The protocol of [`JoinSet`](crate::thread::JoinSet), without its
//! memory.
//!
//! One word, which is also the futex:
//!
//! | value | meaning |
//! |---|---|
//! | `EMPTY` | no push since the owner last collected; the owner is awake |
//! | `WAITING` | the same, and the owner sleeps or is about to |
//! | `n` | id `n` was pushed last and heads a list linked by `next`, last to first; the owner is awake, or the thread that replaced `WAITING` is about to wake it |
//!
//! * QUEUE-1: Only the thread that replaces `WAITING` wakes the owner, so the owner is woken once for
//!   each sleep, however many threads push.
//! * QUEUE-2: The owner takes the whole list at once, so no id in it can be removed and pushed again
//!   meanwhile (no ABA problem).
//!
//! Orderings: a push is Release and a collection Acquire. All changes of a list's head are
//! read-modify-writes, so the owner sees what every thread in the list did before its push.
//! `WAITING` carries no data: Relaxed.

use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;

const EMPTY: u32 = 0;
const WAITING: u32 = 1 << 31;

pub(crate) struct CompletionQueue {
    word: AtomicU32,
}

impl CompletionQueue {
    /// For a model; in a set a queue begins as zero bytes.
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
        }
    }

    /// Owner, before a thread can push: empties the queue of what an earlier owner left.
    pub(crate) fn reset(&self) {
        self.word.store(EMPTY, Relaxed);
    }

    /// Thread: pushes `number`, an id from 1 to `WAITING - 1`, and wakes the owner if it sleeps.
    ///
    /// `next` is the id's own link. The owner may collect the id as soon as it is pushed, so neither
    /// the link nor the queue is touched after that: the wake uses the address only.
    pub(crate) fn push(&self, number: u32, next: &AtomicU32) {
        debug_assert!((1..WAITING).contains(&number));
        let mut head = self.word.load(Relaxed);
        loop {
            next.store(head & !WAITING, Relaxed);
            match self
                .word
                .compare_exchange_weak(head, number, Release, Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // QUEUE-1.
        if head == WAITING {
            futex::wake_one(&raw const self.word);
        }
    }

    /// Owner: takes the list; returns the id that was pushed last, or 0.
    pub(crate) fn take_all(&self) -> u32 {
        // QUEUE-2.
        self.word.swap(EMPTY, Acquire)
    }

    /// Owner: whether a collection would find nothing, at this instant.
    pub(crate) fn is_empty(&self) -> bool {
        self.word.load(Relaxed) == EMPTY
    }

    /// Owner: sleeps until a thread has pushed itself.
    pub(crate) fn wait(&self) {
        if self
            .word
            .compare_exchange(EMPTY, WAITING, Relaxed, Relaxed)
            .is_ok()
        {
            while self.word.load(Relaxed) == WAITING {
                futex::wait(&self.word, WAITING);
            }
        }
    }
}
