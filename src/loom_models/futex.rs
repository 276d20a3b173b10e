//! The futex as loom sees it: one queue for all words.
//!
//! As in the kernel, a waiter compares the word and enters the queue in one step under the
//! queue's lock, and a waker takes the same lock: a wake that comes after a changed word either
//! finds the waiter in the queue or makes it see the change. A wait with a deadline times out at
//! once if its word still matches: the shortest timeout, and the one that races most.
//!
//! What this model cannot show: loom's mutex orders memory between waker and woken, which the
//! kernel's contract does not promise. A lock that leaned on that order would pass on the path
//! through the queue. It is caught on the paths that never sleep, which every model also takes.

use super::weak::{AtomicU32, Ordering::Relaxed, futex_fault};
use crate::sys::futex::{Deadline, TimedOut};
use alloc::vec::Vec;
use loom::sync::{Arc, Condvar, Mutex};

struct Sleeper {
    word: usize,
    condvar: Arc<Condvar>,
}

loom::lazy_static! {
    static ref QUEUE: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
}

pub(crate) fn wait(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Deadline>,
) -> Result<(), TimedOut> {
    let mut queue = QUEUE.lock().unwrap();
    if word.load(Relaxed) != expected && !futex_fault("wait", "blind") {
        return Ok(());
    }
    if deadline.is_some() {
        return Err(TimedOut);
    }
    let condvar = Arc::new(Condvar::new());
    queue.push(Sleeper {
        word: core::ptr::from_ref(word).addr(),
        condvar: condvar.clone(),
    });
    while queue
        .iter()
        .any(|sleeper| Arc::ptr_eq(&sleeper.condvar, &condvar))
    {
        queue = condvar.wait(queue).unwrap();
    }
    Ok(())
}

/// As [`wait`] with a deadline, but for the longest time, which does not end.
pub(crate) fn wait_for(
    word: &AtomicU32,
    expected: u32,
    time: core::time::Duration,
) -> Result<(), TimedOut> {
    let deadline = (time < core::time::Duration::MAX).then(|| Deadline::after(time));
    wait(word, expected, deadline.flatten())
}

pub(crate) fn wake(word: *const AtomicU32, count: u32) -> usize {
    let mut queue = QUEUE.lock().unwrap();
    let mut woken = 0;
    let count = match count {
        _ if futex_fault("wake", "none") => 0,
        2.. if futex_fault("wake", "one") => 1,
        count => count,
    };
    while woken < count as usize {
        let Some(next) = queue.iter().position(|sleeper| sleeper.word == word.addr()) else {
            break;
        };
        queue.remove(next).condvar.notify_one();
        woken += 1;
    }
    woken
}
