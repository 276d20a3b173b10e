//! Models of `thread::pool`: messages to an idle thread.

use super::explore::explore;
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::thread::pool::futex_handoff::FutexHandoff;
use crate::thread::pool::handoff::{Handoff, Message};
use core::time::Duration;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A handoff, and the entry that it is a part of.
struct IdleWorker {
    handoff: FutexHandoff<IdleWorker>,
    /// 1: on the list of idle threads.
    listed: AtomicU32,
    /// What a task's packet holds; loom reports accesses that are not ordered.
    packet: UnsafeCell<u32>,
}

// SAFETY: not `Sync` by itself in loom; the handoff is what the models put to the test, and loom
// reports every access that it fails to order.
#[allow(unsafe_code, reason = "loom checks the accesses")]
unsafe impl Sync for IdleWorker {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "loom checks the accesses")]
unsafe impl Send for IdleWorker {}

impl IdleWorker {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            handoff: FutexHandoff::new(),
            listed: AtomicU32::new(0),
            packet: UnsafeCell::new(0),
        })
    }

    /// Spawner: takes the entry off the list; false if it is not there.
    fn pop(&self) -> bool {
        self.listed.compare_exchange(1, 0, Acquire, Relaxed).is_ok()
    }

    /// Spawner: writes a packet and gives it.
    #[allow(unsafe_code, reason = "loom checks the accesses")]
    fn send(&self, value: u32) -> bool {
        // SAFETY: the pointer is valid; loom panics if an access is not ordered with this.
        self.packet.with_mut(|packet| unsafe { *packet = value });
        self.handoff
            .send(Message::Run(core::ptr::NonNull::from(self)))
    }

    /// Thread: lies down, and reads the packet it gets.
    #[allow(unsafe_code, reason = "loom checks the accesses")]
    fn offer_and_wait(&self, time: Duration) -> Option<u32> {
        self.handoff.reset();
        self.listed.store(1, Release);
        match self.handoff.wait(time)? {
            Message::Run(packet) => {
                assert_eq!(packet, core::ptr::NonNull::from(self));
                // SAFETY: the pointer is valid; loom panics if a write is not ordered with this.
                Some(self.packet.with(|packet| unsafe { *packet }))
            }
            Message::Exit => Some(0),
        }
    }
}

/// The time of a wait without an end, which in the models is the only one that sleeps.
const FOR_EVER: Duration = Duration::MAX;

/// Two tasks, and the order to end: none is lost, also where the wake for the one comes when the
/// thread lies down for the next.
#[test]
fn an_idle_thread_gets_all_it_is_given() {
    explore(3, || {
        let idle = IdleWorker::new();
        let thread = thread::spawn({
            let idle = idle.clone();
            move || [(); 3].map(|()| idle.offer_and_wait(FOR_EVER))
        });
        for value in [7, 8] {
            while !idle.pop() {
                thread::yield_now();
            }
            assert!(idle.send(value));
        }
        while !idle.pop() {
            thread::yield_now();
        }
        assert!(idle.handoff.send(Message::Exit));
        assert_eq!(thread.join().unwrap(), [Some(7), Some(8), Some(0)]);
    });
}

/// A thread whose time is over when it is given a task: one of the two knows, and the other too.
#[test]
fn a_task_is_taken_or_refused() {
    explore(3, || {
        let idle = IdleWorker::new();
        let thread = thread::spawn({
            let idle = idle.clone();
            move || idle.offer_and_wait(Duration::ZERO)
        });
        let given = idle.pop().then(|| idle.send(7));
        let got = thread.join().unwrap();
        match given {
            Some(true) => assert_eq!(got, Some(7)),
            Some(false) | None => assert_eq!(got, None),
        }
    });
}
