//! Models of `thread`: which thread frees a slot and a result, the wake of a task's joiner, the end
//! of a scope, the queue of a set.

use super::explore::{RaceCell, explore};
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::runtime::state::{LastUser, ResultOwner, State};
use crate::sys::futex::Deadline;
use crate::thread::join::completion_queue::CompletionQueue;
use crate::thread::join::scope_data::ScopeData;
use crate::thread::join::set_waker::WakerWord;
use core::time::Duration;
use loom::sync::Arc;
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
        assert_eq!(self.slot.get(), 0, "the handle uses it until here");
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
        if let Some(pin) = packet.state.pin_tid(|| 0) {
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
            move || drop(packet.state.pin_tid(|| 0))
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

/// A thread, its future, and the cell with the waker, by `runtime::ready_hook`.
struct Polled {
    packet: Arc<Packet>,
    /// 0: empty; n: waker n.
    cell: RaceCell,
    /// One flag for each waker: whether it was called.
    woken: [AtomicU32; 3],
}

impl Polled {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            packet: Packet::new(),
            cell: RaceCell::new(0),
            woken: [0; 3].map(AtomicU32::new),
        })
    }

    /// What `spawn::entry` does after the closure, with `spawn::finish::set_ready`.
    fn thread(&self) {
        let packet = &self.packet;
        packet.result.set(1);
        match packet.state.set_complete() {
            ResultOwner::Handle => {}
            ResultOwner::Thread => packet.drop_result(),
        }
        if packet.state.set_ready() {
            let waker = self.cell.get();
            self.cell.set(0);
            self.woken[waker as usize].store(1, Relaxed);
        }
        match packet.state.set_done() {
            LastUser::No => {}
            LastUser::Yes => packet.put_slot(),
        }
    }

    /// What `JoinFuture::poll` does with a new waker; whether it has the result.
    fn poll(&self, armed: &mut bool, waker: u32) -> bool {
        let state = &self.packet.state;
        if !state.is_ready() {
            if core::mem::take(armed) && state.clear_hooked() {
                self.cell.set(0);
            }
            if !state.is_ready() {
                self.cell.set(waker);
                if state.set_hooked() {
                    *armed = true;
                    return false;
                }
                self.cell.set(0);
            }
        }
        self.take_result();
        true
    }

    fn take_result(&self) {
        self.packet.drop_result();
        if self.packet.state.detach() == LastUser::Yes {
            self.packet.put_slot();
        }
    }
}

/// Polls twice, with two wakers: the future has the result, or the last waker will be called.
#[test]
fn a_future_has_the_result_or_its_last_waker_is_called() {
    explore(4, || {
        let polled = Polled::new();
        let thread = thread::spawn({
            let polled = polled.clone();
            move || polled.thread()
        });
        let mut armed = false;
        let ready = polled.poll(&mut armed, 1) || polled.poll(&mut armed, 2);
        thread.join().unwrap();
        if !ready {
            assert_eq!(polled.woken[2].load(Relaxed), 1, "the wake is not lost");
            assert!(polled.poll(&mut armed, 1));
        }
        polled.packet.assert_freed_once();
    });
}

/// A future that is dropped takes its waker back or leaves it to the thread, and detaches.
#[test]
fn a_dropped_future_and_its_thread_free_waker_slot_and_result_once() {
    explore(4, || {
        let polled = Polled::new();
        let thread = thread::spawn({
            let polled = polled.clone();
            move || polled.thread()
        });
        let mut armed = false;
        if !polled.poll(&mut armed, 1) {
            if polled.packet.state.clear_hooked() {
                assert_eq!(polled.cell.get(), 1);
                polled.cell.set(0);
            }
            polled.packet.drop_handle();
        }
        thread.join().unwrap();
        assert_eq!(polled.cell.get(), 0);
        polled.packet.assert_freed_once();
    });
}

/// The broken twin: the handle looks at `READY` and writes the waker without asking again.
#[test]
#[should_panic(expected = "the wake is not lost")]
fn a_waker_that_is_set_after_a_look_is_lost() {
    explore(4, || {
        let polled = Polled::new();
        let thread = thread::spawn({
            let polled = polled.clone();
            move || polled.thread()
        });
        let ready = polled.packet.state.is_ready();
        if !ready {
            polled.cell.set(1);
            let _ = polled.packet.state.set_hooked();
        }
        thread.join().unwrap();
        if !ready {
            assert_eq!(polled.woken[1].load(Relaxed), 1, "the wake is not lost");
        }
    });
}

/// The set's waker: two threads enter the queue while the owner registers a waker and another.
#[test]
fn a_set_that_is_polled_finds_its_threads_or_is_woken() {
    struct Set {
        word: WakerWord,
        /// 0: empty; n: waker n.
        cell: RaceCell,
        /// What stands for the queue.
        queued: AtomicU32,
        woken: [AtomicU32; 3],
    }
    impl Set {
        fn wake_cell(&self) {
            let waker = self.cell.get();
            self.cell.set(0);
            self.word.release();
            self.woken[waker as usize].store(1, Release);
        }

        /// What a thread does: enter the queue, then wake.
        fn thread(&self) {
            self.queued.fetch_add(1, Release);
            if self.word.claim() {
                self.wake_cell();
            }
        }

        /// What the owner does; how many threads it found.
        fn poll(&self, waker: u32) -> u32 {
            if !self.word.begin() {
                self.woken[waker as usize].store(1, Relaxed);
            } else {
                self.cell.set(waker);
                if self.word.end() {
                    self.wake_cell();
                }
            }
            self.queued.swap(0, Acquire)
        }
    }
    explore(3, || {
        let set = Arc::new(Set {
            word: WakerWord::new(),
            cell: RaceCell::new(0),
            queued: AtomicU32::new(0),
            woken: [0; 3].map(AtomicU32::new),
        });
        let threads = [0; 2].map(|_| {
            let set = set.clone();
            thread::spawn(move || set.thread())
        });
        let mut found = set.poll(1);
        if found == 0 {
            found += set.poll(2);
        }
        let last = if found == 0 { 2 } else { 0 };
        for thread in threads {
            thread.join().unwrap();
        }
        if last == 2 {
            assert_eq!(set.woken[2].load(Acquire), 1, "the wake is not lost");
        }
        assert_eq!(found + set.queued.load(Relaxed), 2);
    });
}
