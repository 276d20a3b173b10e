//! Models of `thread`: which thread frees a slot and a result, the wake of a task's joiner, the end
//! of a scope, the queue of a set.

use super::explore::{RaceCell, explore};
use crate::runtime::state::{LastUser, ResultOwner, State};
use crate::sys::futex::Deadline;
use crate::thread::join::completion_queue::CompletionQueue;
use crate::thread::join::scope_data::ScopeData;
use core::time::Duration;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

/// A thread's slot and the result of its closure.
struct Packet {
    state: State,
    /// 0: none yet; 1: stored; 2: taken or dropped.
    result: RaceCell,
    /// 0: in use; 1: in the cache.
    slot: RaceCell,
}

impl Packet {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: State::new(),
            result: RaceCell::new(0),
            slot: RaceCell::new(0),
        })
    }

    fn drop_result(&self) {
        assert_eq!(self.result.get(), 1, "there is one, and it goes once");
        self.result.set(2);
    }

    fn put_slot(&self) {
        assert_eq!(self.slot.get(), 0, "no other thread has cached it");
        self.slot.set(1);
    }

    /// What `spawn::entry` and `spawn::finish` do after the closure.
    fn thread(&self) {
        self.result.set(1);
        match self.state.set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => self.drop_result(),
        }
        assert_eq!(self.slot.get(), 0, "destructors run on it");
        match self.state.set_done() {
            LastUser::No => {}
            LastUser::Yes => self.put_slot(),
        }
    }

    /// What `spawn::finish::finish_task` does, and the pool before it.
    fn task(&self) {
        self.result.set(1);
        match self.state.set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => self.drop_result(),
        }
        assert_eq!(self.slot.get(), 0, "destructors run with it");
        let done = self.state.set_task_done();
        if done.wake {
            self.state.wake_joiner();
        }
        if done.last_user == LastUser::Yes {
            self.put_slot();
        }
    }

    /// What dropping a handle does.
    fn drop_handle(&self) {
        if self.state.try_detach_running() {
            return;
        }
        self.drop_result();
        if self.state.detach() == LastUser::Yes {
            self.put_slot();
        }
    }

    fn assert_freed_once(&self) {
        assert_eq!((self.result.get(), self.slot.get()), (2, 1));
    }
}

#[test]
fn a_dropped_handle_and_its_thread_free_slot_and_result_once() {
    explore(4, || {
        let packet = Packet::new();
        let thread = thread::spawn({
            let packet = packet.clone();
            move || packet.thread()
        });
        packet.drop_handle();
        thread.join().unwrap();
        packet.assert_freed_once();
    });
}

#[test]
fn a_joiner_takes_slot_and_result_from_a_thread_that_is_done() {
    explore(4, || {
        let packet = Packet::new();
        let thread = thread::spawn({
            let packet = packet.clone();
            move || packet.thread()
        });
        // A pin that comes before the end is seen by it; one that comes after is refused.
        if let Some(pin) = packet.state.pin_tid() {
            drop(pin);
        }
        while !packet.state.is_done() {
            thread::yield_now();
        }
        packet.drop_result();
        packet.put_slot();
        thread.join().unwrap();
        packet.assert_freed_once();
    });
}

/// The joiner of a task sleeps on the state word itself: the wake is not lost, whatever changes the
/// word meanwhile, and the result is there.
#[test]
fn a_joiner_of_a_task_is_woken_when_it_is_done() {
    explore(4, || {
        let packet = Packet::new();
        let worker = thread::spawn({
            let packet = packet.clone();
            move || packet.task()
        });
        let pins = thread::spawn({
            let packet = packet.clone();
            move || drop(packet.state.pin_tid())
        });
        assert!(packet.state.wait_task_done(None));
        packet.drop_result();
        packet.put_slot();
        worker.join().unwrap();
        pins.join().unwrap();
        packet.assert_freed_once();
    });
}

/// A joiner whose time is up leaves `WAITING` behind; it takes the task's packet, or drops its handle.
#[test]
fn a_joiner_of_a_task_gives_up_or_takes_the_packet() {
    explore(4, || {
        let packet = Packet::new();
        let worker = thread::spawn({
            let packet = packet.clone();
            move || packet.task()
        });
        if packet.state.wait_task_done(Deadline::after(Duration::ZERO)) {
            packet.drop_result();
            packet.put_slot();
        } else {
            packet.drop_handle();
        }
        worker.join().unwrap();
        packet.assert_freed_once();
    });
}

/// The scope sleeps before, while or after its threads leave, one of which enters another.
#[test]
fn a_scope_ends_after_its_last_thread() {
    struct Scope {
        data: ScopeData,
        done: [RaceCell; 2],
    }
    #[allow(unsafe_code, reason = "as a thread does")]
    fn leave(scope: &Scope, number: usize) {
        scope.done[number].set(1);
        // SAFETY: the spawning thread has counted this one.
        unsafe { ScopeData::decrement(&raw const scope.data) };
    }
    explore(3, || {
        let scope = Arc::new(Scope {
            data: ScopeData::new(),
            done: [RaceCell::new(0), RaceCell::new(0)],
        });
        scope.data.increment();
        let first = thread::spawn({
            let scope = scope.clone();
            move || {
                scope.data.increment();
                let second = thread::spawn({
                    let scope = scope.clone();
                    move || leave(&scope, 1)
                });
                leave(&scope, 0);
                second
            }
        });
        scope.data.wait();
        for done in &scope.done {
            assert_eq!(done.get(), 1);
            done.set(2);
        }
        first.join().unwrap().join().unwrap();
    });
}

/// Threads enter while the owner collects, falls asleep, or sleeps.
#[test]
fn a_set_collects_every_thread_once() {
    struct Set {
        queue: CompletionQueue,
        next: [AtomicU32; 3],
        done: [RaceCell; 3],
    }
    explore(3, || {
        let set = Arc::new(Set {
            queue: CompletionQueue::new(),
            next: [0; 3].map(AtomicU32::new),
            done: [0; 3].map(RaceCell::new),
        });
        let threads = [1, 2].map(|number| {
            let set = set.clone();
            thread::spawn(move || {
                set.done[number].set(1);
                set.queue.push(number as u32, &set.next[number]);
            })
        });
        let mut left = 2;
        while left > 0 {
            let mut last = set.queue.take_all() as usize;
            if last == 0 {
                set.queue.wait();
            }
            while last != 0 {
                let before = set.next[last].load(Relaxed) as usize;
                assert_eq!(set.done[last].get(), 1);
                // Its place may be given to another thread.
                set.done[last].set(2);
                set.next[last].store(7, Relaxed);
                left -= 1;
                last = before;
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
