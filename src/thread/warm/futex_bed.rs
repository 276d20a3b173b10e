//! A [`Bed`] that is a futex: for programs without std.

use core::ptr;
use core::time::Duration;

use super::bed::{Bed, Given};
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::atomic::{AtomicPtr, AtomicU32};
use crate::sync::futex;
use crate::sys::futex::Deadline;

/// One word, which is the futex, and what it may speak of.
///
/// | `word` | meaning | who changes it next |
/// |---|---|---|
/// | `EMPTY` | nothing is given; the thread sleeps or is about to | the spawner, to `TASK` or `LEAVE`, or the thread at the end of its time, to `GONE` |
/// | `TASK` | `packet` is given; the thread runs, or was or is about to be woken | the next thread in this bed, to `EMPTY` |
/// | `LEAVE` | the thread is to end; it runs, or was or is about to be woken | the same |
/// | `GONE` | the thread ended for want of tasks, and waits for nothing | the same |
///
/// No wake is lost: a spawner changes the word first and wakes then, and the kernel puts the
/// thread to sleep only while the word is `EMPTY`. A wake may come late, when another thread lies
/// in this bed: it looks at the word and sleeps again.
///
/// `EMPTY` is left by one compare-and-swap, the spawner's or the thread's: so either the thread
/// takes what is given, or the spawner learns that it has gone.
///
/// Orderings: `packet`, and whatever it points at, is written before the word becomes `TASK`
/// (Release) and read after that was seen (Acquire). `GONE` and `EMPTY` carry no data: who comes
/// to the bed next comes to it by a list, which orders all that was done here before.
#[derive(Debug)]
pub(crate) struct FutexBed {
    word: AtomicU32,
    packet: AtomicPtr<()>,
}

const EMPTY: u32 = 0;
const TASK: u32 = 1;
const LEAVE: u32 = 2;
const GONE: u32 = 3;

impl FutexBed {
    /// Among the cells of idle threads a bed begins as zero bytes.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
            packet: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

impl Bed for FutexBed {
    fn make(&self) {
        self.packet.store(ptr::null_mut(), Relaxed);
        self.word.store(EMPTY, Relaxed);
    }

    fn sleep(&self, time: Duration) -> Option<Given> {
        let deadline = Deadline::after(time);
        loop {
            match self.word.load(Acquire) {
                EMPTY => {
                    let over = futex::wait_until(&self.word, EMPTY, deadline).is_err();
                    if over
                        && self
                            .word
                            .compare_exchange(EMPTY, GONE, Relaxed, Relaxed)
                            .is_ok()
                    {
                        return None;
                    }
                }
                TASK => return Some(Given::Task(self.packet.load(Relaxed))),
                _ => return Some(Given::Leave),
            }
        }
    }

    fn give(&self, what: Given) -> bool {
        let word = match what {
            Given::Task(packet) => {
                self.packet.store(packet, Relaxed);
                TASK
            }
            Given::Leave => LEAVE,
        };
        let given = self
            .word
            .compare_exchange(EMPTY, word, Release, Relaxed)
            .is_ok();
        if given {
            futex::wake_one(&raw const self.word);
        }
        given
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use std::thread;

    /// A thread offers its bed again and again, a spawner gives it something each time, and the
    /// thread's time is over before, while or after it does: what is given is taken once, and what
    /// is refused is not taken.
    #[test]
    fn nothing_given_is_lost_and_nothing_refused_is_taken() {
        const ROUNDS: usize = 20_000;
        for idle in [0, 1, 20, 1_000_000].map(Duration::from_micros) {
            let bed = FutexBed::new();
            // The list. 0: nobody is on it; 1: the bed; 2: the spawner found it empty for good.
            let offered = AtomicUsize::new(0);
            let taken = thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    let mut taken = 0;
                    for _ in 0..ROUNDS {
                        bed.make();
                        offered.store(1, Release);
                        match bed.sleep(idle) {
                            Some(Given::Task(packet)) => taken += packet.addr(),
                            Some(Given::Leave) => taken += 1,
                            None => {
                                // The bed is the spawner's until it has found that out.
                                while offered.compare_exchange(2, 0, Acquire, Relaxed).is_err() {
                                    thread::yield_now();
                                }
                            }
                        }
                    }
                    taken
                });
                let mut given = 0;
                for round in 0..ROUNDS {
                    while offered.compare_exchange(1, 0, Acquire, Relaxed).is_err() {
                        thread::yield_now();
                    }
                    let (what, worth) = match round % 8 {
                        0 => (Given::Leave, 1),
                        _ => (Given::Task(ptr::without_provenance_mut(round)), round),
                    };
                    if bed.give(what) {
                        given += worth;
                    } else {
                        offered.store(2, Release);
                    }
                }
                assert_eq!(sleeper.join().unwrap(), given);
                given
            });
            if idle.as_secs() > 0 {
                let all = (0..ROUNDS).map(|round| if round % 8 == 0 { 1 } else { round });
                assert_eq!(taken, all.sum());
            }
        }
    }
}
