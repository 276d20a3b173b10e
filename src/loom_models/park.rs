//! Models of `runtime::parker`: a token is given while the thread hands its tokens over to another
//! parker, and while it takes them back.

use super::explore::{RaceCell, explore};
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::futex;
use crate::runtime::parker::{ParkHandle, Parker};
use alloc::sync::Arc;
use loom::thread;

/// A parker as std's: 0: no token; 1: a token; 2: the thread sleeps.
struct Other {
    word: AtomicU32,
    /// Written before the handle is shown.
    shown: RaceCell,
}

#[derive(Clone)]
struct Handle(Arc<Other>);

impl ParkHandle for Handle {
    fn unpark(&self) {
        assert_eq!(self.0.shown.get(), 1);
        if self.0.word.swap(1, Release) == 2 {
            futex::wake_one(&raw const self.0.word);
        }
    }
}

impl Other {
    fn park(&self) {
        loop {
            if self.word.compare_exchange(1, 0, Acquire, Acquire).is_ok() {
                return;
            }
            if self.word.compare_exchange(0, 2, Relaxed, Relaxed).is_ok() {
                while self.word.load(Relaxed) == 2 {
                    futex::wait(&self.word, 2);
                }
            }
        }
    }
}

struct Thread {
    parker: Parker<Handle>,
    condition: AtomicU32,
    /// Written before the condition, which orders nothing: the token does.
    data: RaceCell,
}

#[allow(unsafe_code, reason = "loom's threads share it as records are shared")]
// SAFETY: as `ThreadInner`: the handle follows PARKER-1.
unsafe impl Sync for Thread {}
#[allow(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Send for Thread {}

impl Thread {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            parker: Parker::new(),
            condition: AtomicU32::new(0),
            data: RaceCell::new(0),
        })
    }

    fn wake(&self, condition: u32) {
        if condition == 1 {
            self.data.set(7);
        }
        self.condition.store(condition, Relaxed);
        self.parker.unpark();
    }

    fn hand_over(&self) -> Arc<Other> {
        let other = Arc::new(Other {
            word: AtomicU32::new(0),
            shown: RaceCell::new(0),
        });
        other.shown.set(1);
        let handle = Handle(other.clone());
        assert!(self.parker.hand_over(|| Some(handle)));
        other
    }
}

/// Two threads give tokens while the tokens are handed over: the thread sees both conditions, and what
/// was written before.
#[test]
fn no_token_is_lost_at_the_hand_over() {
    explore(3, || {
        let model = Thread::new();
        let waker = {
            let model = model.clone();
            thread::spawn(move || model.wake(1))
        };
        let other = model.hand_over();
        while model.condition.load(Relaxed) != 1 {
            other.park();
        }
        waker.join().unwrap();
        assert_eq!(model.data.get(), 7);
    });
}

/// The thread sleeps in the other parker no more while a token is on its way there.
#[test]
fn no_token_is_lost_when_it_is_taken_back() {
    explore(3, || {
        let model = Thread::new();
        let other = model.hand_over();
        let waker = {
            let model = model.clone();
            thread::spawn(move || model.wake(1))
        };
        model.parker.take_back();
        while model.condition.load(Relaxed) != 1 {
            model.parker.park(None);
        }
        waker.join().unwrap();
        drop(other);
    });
}

/// After the token was taken back the thread may sleep in the other parker all the same.
#[test]
fn a_token_that_was_taken_back_is_the_other_parkers_too() {
    explore(3, || {
        let model = Thread::new();
        let other = model.hand_over();
        let waker = {
            let model = model.clone();
            thread::spawn(move || model.wake(1))
        };
        model.parker.take_back();
        while model.condition.load(Relaxed) != 1 {
            other.park();
        }
        waker.join().unwrap();
    });
}

/// Sleep on the word itself, with a token that comes before, at or after its beginning.
#[test]
fn a_token_ends_a_park_on_the_word() {
    explore(3, || {
        let model = Thread::new();
        let waker = {
            let model = model.clone();
            thread::spawn(move || {
                model.data.set(7);
                model.parker.unpark();
            })
        };
        model.parker.park(None);
        assert_eq!(model.data.get(), 7, "the token orders it");
        waker.join().unwrap();
    });
}
