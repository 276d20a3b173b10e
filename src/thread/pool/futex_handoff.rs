//! A [`Handoff`] that is a futex. Nothing in it belongs to more than one worker and one spawner: a
//! queue of the whole process, as `parking_lot_core` has, may be locked in a forked child by a thread
//! that the child does not have.

use core::mem;
use core::ptr::{self, NonNull};
use core::time::Duration;

use super::handoff::{Handoff, Message};
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::primitive::atomic::{AtomicPtr, AtomicU32};
use crate::primitive::futex;
use crate::sys::futex::Deadline;

/// One word, which is the futex, and the packet that it may announce.
///
/// | `word` | meaning | which thread changes it next |
/// |---|---|---|
/// | `EMPTY` | no message; the worker is awake and looks again before it sleeps | the spawner, to `RUN` or `EXIT` without a wake, or the worker, to `ASLEEP` |
/// | `ASLEEP` | no message; the worker sleeps or is about to | the spawner, to `RUN` or `EXIT` with a wake, or the worker at the end of its time, to `TIMED_OUT` |
/// | `RUN` | `packet` is the message; the worker runs, or was or is about to be woken | the next worker with this handoff, to `EMPTY` |
/// | `EXIT` | the worker is to exit; it runs, or was or is about to be woken | the same |
/// | `TIMED_OUT` | the worker exited for want of tasks, and does not wait | the same |
///
/// No wake is lost: a spawner that found `ASLEEP` changes the word first and wakes then, and the
/// kernel puts the worker to sleep only while the word is `ASLEEP`, which the worker wrote itself. A
/// spawner that found `EMPTY` owes no wake: the worker's change to `ASLEEP` fails then, and it looks
/// at the word. A wake may come late, when another worker has this handoff: it looks at the word and
/// sleeps again.
///
/// `EMPTY` and `ASLEEP` are left by one compare-and-swap, the spawner's or the worker's: so either
/// the worker takes the message, or the spawner learns that the worker has exited.
///
/// Orderings: `packet`, and whatever it points at, is written before the word becomes `RUN`
/// (Release) and read after that was seen (Acquire). `TIMED_OUT`, `ASLEEP` and `EMPTY` carry no data:
/// the next user of the handoff gets it by a list, which orders all that was done here before.
#[derive(Debug)]
pub(crate) struct FutexHandoff<P> {
    word: AtomicU32,
    packet: AtomicPtr<P>,
}

const EMPTY: u32 = 0;
const RUN: u32 = 1;
const EXIT: u32 = 2;
const TIMED_OUT: u32 = 3;
const ASLEEP: u32 = 4;

impl<P> FutexHandoff<P> {
    /// Among the entries of idle workers a handoff begins as zero bytes.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(EMPTY),
            packet: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

impl<P> FutexHandoff<P> {
    /// Worker: changes the word where it has not changed, which carries no data.
    fn change(&self, from: u32, to: u32) -> bool {
        self.word
            .compare_exchange(from, to, Relaxed, Relaxed)
            .is_ok()
    }
}

impl<P> Handoff<P> for FutexHandoff<P> {
    fn reset(&self) {
        self.packet.store(ptr::null_mut(), Relaxed);
        self.word.store(EMPTY, Relaxed);
    }

    fn has_message(&self) -> bool {
        // Relaxed: `wait` looks again, with the ordering.
        self.word.load(Relaxed) != EMPTY
    }

    fn wait(&self, time: Duration) -> Option<Message<P>> {
        // The first sleep is told how long, and reads no clock. What cuts it short is rare (a late
        // wake, a setuid of the process): the sleeps after that have all the time once more.
        let (mut first, mut again) = (true, None);
        loop {
            match self.word.load(Acquire) {
                EMPTY => {
                    // Where it fails there is a message.
                    self.change(EMPTY, ASLEEP);
                }
                ASLEEP => {
                    let over = if mem::take(&mut first) {
                        futex::wait_for(&self.word, ASLEEP, time)
                    } else {
                        let deadline = again.get_or_insert_with(|| Deadline::after(time));
                        futex::wait_until(&self.word, ASLEEP, *deadline)
                    };
                    if over.is_err() && self.change(ASLEEP, TIMED_OUT) {
                        return None;
                    }
                }
                RUN => return NonNull::new(self.packet.load(Relaxed)).map(Message::Run),
                _ => return Some(Message::Exit),
            }
        }
    }

    fn send(&self, message: Message<P>) -> bool {
        let word = match message {
            Message::Run(packet) => {
                self.packet.store(packet.as_ptr(), Relaxed);
                RUN
            }
            Message::Exit => EXIT,
        };
        // Mostly the worker sleeps.
        let mut found = ASLEEP;
        loop {
            match self.word.compare_exchange(found, word, Release, Relaxed) {
                Ok(ASLEEP) => {
                    futex::wake_one(&raw const self.word);
                    return true;
                }
                Ok(_) => return true,
                Err(now @ (EMPTY | ASLEEP)) => found = now,
                Err(_) => return false,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use std::thread;

    /// A worker offers its handoff again and again, a spawner sends a message each time, and the
    /// worker's time is over before, while or after it does: an accepted message is taken once, and
    /// a refused one is not taken.
    #[test]
    fn no_accepted_message_is_lost_and_no_refused_one_is_taken() {
        const ROUNDS: usize = 20_000;
        for idle in [0, 1, 20, 1_000_000].map(Duration::from_micros) {
            let handoff = FutexHandoff::<u8>::new();
            // The list. 0: empty; 1: the handoff; 2: the spawner found it timed out.
            let offered = AtomicUsize::new(0);
            let taken = thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    let mut taken = 0;
                    for _ in 0..ROUNDS {
                        handoff.reset();
                        offered.store(1, Release);
                        match handoff.wait(idle) {
                            Some(Message::Run(packet)) => taken += packet.addr().get(),
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
                let mut sent = 0;
                for round in 0..ROUNDS {
                    while offered.compare_exchange(1, 0, Acquire, Relaxed).is_err() {
                        thread::yield_now();
                    }
                    let (message, worth) = match round % 8 {
                        0 => (Message::Exit, 1),
                        _ => {
                            let packet = NonNull::new(ptr::without_provenance_mut(round));
                            (Message::Run(packet.expect("not round 0")), round)
                        }
                    };
                    if handoff.send(message) {
                        sent += worth;
                    } else {
                        offered.store(2, Release);
                    }
                }
                assert_eq!(sleeper.join().unwrap(), sent);
                sent
            });
            if idle.as_secs() > 0 {
                let all = (0..ROUNDS).map(|round| if round % 8 == 0 { 1 } else { round });
                assert_eq!(taken, all.sum::<usize>());
            }
        }
    }
}
