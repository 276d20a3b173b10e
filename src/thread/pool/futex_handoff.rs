//! A [`Handoff`] that is a futex. Nothing in it belongs to more than one thread and one spawner: a queue
//! of the whole process, as `parking_lot_core` has, may be locked in a forked child by a thread that
//! the child does not have.

use core::ptr;
use core::time::Duration;

use super::handoff::{Handoff, Message};
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::atomic::{AtomicPtr, AtomicU32};
use crate::primitive::futex;
use crate::sys::futex::Deadline;

/// One word, which is the futex, and what it may speak of.
///
/// | `word` | meaning | who changes it next |
/// |---|---|---|
/// | `EMPTY` | nothing is given; the thread sleeps or is about to | the spawner, to `RUN` or `EXIT`, or the thread at the end of its time, to `TIMED_OUT` |
/// | `RUN` | `packet` is given; the thread runs, or was or is about to be woken | the next thread in this handoff, to `EMPTY` |
/// | `EXIT` | the thread is to end; it runs, or was or is about to be woken | the same |
/// | `TIMED_OUT` | the thread ended for want of tasks, and waits for nothing | the same |
///
/// No wake is lost: a spawner changes the word first and wakes then, and the kernel puts the
/// thread to sleep only while the word is `EMPTY`. A wake may come late, when another thread lies
/// in this handoff: it looks at the word and sleeps again.
///
/// `EMPTY` is left by one compare-and-swap, the spawner's or the thread's: so either the thread
/// takes what is given, or the spawner learns that it has gone.
///
/// Orderings: `packet`, and whatever it points at, is written before the word becomes `RUN`
/// (Release) and read after that was seen (Acquire). `TIMED_OUT` and `EMPTY` carry no data: who comes
/// to the handoff next comes to it by a list, which orders all that was done here before.
#[derive(Debug)]
pub(crate) struct FutexHandoff {
    word: AtomicU32,
    packet: AtomicPtr<()>,
}

const EMPTY: u32 = 0;
const RUN: u32 = 1;
const EXIT: u32 = 2;
const TIMED_OUT: u32 = 3;

impl FutexHandoff {
    /// Among the cells of idle threads a handoff begins as zero bytes.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
            packet: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

impl Handoff for FutexHandoff {
    fn reset(&self) {
        self.packet.store(ptr::null_mut(), Relaxed);
        self.word.store(EMPTY, Relaxed);
    }

    fn wait(&self, time: Duration) -> Option<Message> {
        let deadline = Deadline::after(time);
        loop {
            match self.word.load(Acquire) {
                EMPTY => {
                    let over = futex::wait_until(&self.word, EMPTY, deadline).is_err();
                    if over
                        && self
                            .word
                            .compare_exchange(EMPTY, TIMED_OUT, Relaxed, Relaxed)
                            .is_ok()
                    {
                        return None;
                    }
                }
                RUN => return Some(Message::Run(self.packet.load(Relaxed))),
                _ => return Some(Message::Exit),
            }
        }
    }

    fn send(&self, message: Message) -> bool {
        let word = match message {
            Message::Run(packet) => {
                self.packet.store(packet, Relaxed);
                RUN
            }
            Message::Exit => EXIT,
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

    /// A thread offers its handoff again and again, a spawner gives it something each time, and the
    /// thread's time is over before, while or after it does: what is given is taken once, and what
    /// is refused is not taken.
    #[test]
    fn nothing_given_is_lost_and_nothing_refused_is_taken() {
        const ROUNDS: usize = 20_000;
        for idle in [0, 1, 20, 1_000_000].map(Duration::from_micros) {
            let handoff = FutexHandoff::new();
            // The list. 0: nobody is on it; 1: the handoff; 2: the spawner found it empty for good.
            let offered = AtomicUsize::new(0);
            let taken = thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    let mut taken = 0;
                    for _ in 0..ROUNDS {
                        handoff.reset();
                        offered.store(1, Release);
                        match handoff.wait(idle) {
                            Some(Message::Run(packet)) => taken += packet.addr(),
                            Some(Message::Exit) => taken += 1,
                            None => {
                                // The handoff is the spawner's until it has found that out.
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
                    let (message, worth) = match round % 8 {
                        0 => (Message::Exit, 1),
                        _ => (Message::Run(ptr::without_provenance_mut(round)), round),
                    };
                    if handoff.send(message) {
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
                assert_eq!(taken, all.sum::<usize>());
            }
        }
    }
}
