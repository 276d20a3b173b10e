//! A [`Bed`] in `parking_lot_core`'s queue: for programs with std.
#![allow(unsafe_code, reason = "parks by addresses of its own")]

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

use parking_lot_core::{DEFAULT_PARK_TOKEN, ParkResult, UnparkToken};

use super::bed::{Bed, Given};

/// What was given to a thread that was not asleep yet; an unpark token's values are the same.
///
/// | value | meaning |
/// |---|---|
/// | `NOTHING` | nothing yet |
/// | `LEAVE` | the thread is to end |
/// | `GONE` | the thread ends for want of tasks: the spawner must look elsewhere |
/// | any other | the address of a task's packet |
///
/// It changes only under the lock of its queue in `parking_lot_core`, which orders everything here:
/// Relaxed throughout.
#[derive(Debug)]
pub(crate) struct ParkingBed(AtomicUsize);

const NOTHING: usize = 0;
const LEAVE: usize = 1;
const GONE: usize = 2;

impl ParkingBed {
    fn key(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Bed for ParkingBed {
    fn make(&self) {
        self.0.store(NOTHING, Ordering::Relaxed);
    }

    fn sleep(&self, time: Duration) -> Option<Given> {
        let deadline = Instant::now().checked_add(time);
        // SAFETY: the key is an address of this module's own; no callback panics or parks.
        let parked = unsafe {
            parking_lot_core::park(
                self.key(),
                || self.0.load(Ordering::Relaxed) == NOTHING,
                || {},
                // Under the queue's lock: a spawner that knows of the bed learns of it there.
                |_, _| self.0.store(GONE, Ordering::Relaxed),
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
            LEAVE => Given::Leave,
            packet => Given::Task(ptr::with_exposed_provenance_mut(packet)),
        })
    }

    fn give(&self, what: Given) -> bool {
        let what = match what {
            Given::Task(packet) => packet.expose_provenance(),
            Given::Leave => LEAVE,
        };
        let mut taken = true;
        // SAFETY: the key is an address of this module's own; the callback neither panics nor parks.
        unsafe {
            parking_lot_core::unpark_one(self.key(), |result| {
                if result.unparked_threads == 0 {
                    // Not asleep yet, or gone: the queue's lock is held, so it is one or the other.
                    taken = self.0.load(Ordering::Relaxed) != GONE;
                    if taken {
                        self.0.store(what, Ordering::Relaxed);
                    }
                }
                UnparkToken(what)
            });
        }
        taken
    }
}
