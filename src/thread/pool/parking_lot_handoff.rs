//! A [`Handoff`] in `parking_lot_core`'s queue: for programs with std.
#![allow(unsafe_code, reason = "parks by addresses of its own")]

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

use parking_lot_core::{DEFAULT_PARK_TOKEN, ParkResult, UnparkToken};

use super::handoff::{Handoff, Message};

/// What was given to a thread that was not asleep yet; an unpark token's values are the same.
///
/// | value | meaning |
/// |---|---|
/// | `EMPTY` | nothing yet |
/// | `EXIT` | the thread is to end |
/// | `TIMED_OUT` | the thread ends for want of tasks: the spawner must look elsewhere |
/// | any other | the address of a task's packet |
///
/// It changes only under the lock of its queue in `parking_lot_core`, which orders everything here:
/// Relaxed throughout.
#[derive(Debug)]
pub(crate) struct ParkingLotHandoff(AtomicUsize);

const EMPTY: usize = 0;
const EXIT: usize = 1;
const TIMED_OUT: usize = 2;

impl ParkingLotHandoff {
    fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Handoff for ParkingLotHandoff {
    fn reset(&self) {
        self.0.store(EMPTY, Ordering::Relaxed);
    }

    fn wait(&self, time: Duration) -> Option<Message> {
        let deadline = Instant::now().checked_add(time);
        // SAFETY: the key is an address of this module's own; no callback panics or parks.
        let parked = unsafe {
            parking_lot_core::park(
                self.key(),
                || self.0.load(Ordering::Relaxed) == EMPTY,
                || {},
                // Under the queue's lock: a spawner that knows of the handoff learns of it there.
                |_, _| self.0.store(TIMED_OUT, Ordering::Relaxed),
                DEFAULT_PARK_TOKEN,
                deadline,
            )
        };
        let given = match parked {
            ParkResult::Unparked(UnparkToken(given)) => given,
            // Given before this thread slept.
            ParkResult::Invalid => self.0.load(Ordering::Relaxed),
            ParkResult::TimedOut => return None,
        };
        Some(match given {
            EXIT => Message::Exit,
            packet => Message::Run(ptr::with_exposed_provenance_mut(packet)),
        })
    }

    fn send(&self, message: Message) -> bool {
        let message = match message {
            Message::Run(packet) => packet.expose_provenance(),
            Message::Exit => EXIT,
        };
        let mut taken = true;
        // SAFETY: the key is an address of this module's own; the callback neither panics nor parks.
        unsafe {
            parking_lot_core::unpark_one(self.key(), |result| {
                if result.unparked_threads == 0 {
                    // Not asleep yet, or gone: the queue's lock is held, so it is one or the other.
                    taken = self.0.load(Ordering::Relaxed) != TIMED_OUT;
                    if taken {
                        self.0.store(message, Ordering::Relaxed);
                    }
                }
                UnparkToken(message)
            });
        }
        taken
    }
}
