//! Models of a thread's end: pins of its tid, and the counts of a set.

use super::explore::{RaceCell, explore};
use crate::primitive::atomic::AtomicU32;
use crate::primitive::atomic::Ordering::Relaxed;
use crate::runtime::state::{LastUser, ResultOwner, State};
use crate::thread::join::completion_queue::CompletionQueue;
use crate::thread::join::set_counts::{Halves, Users};
use loom::sync::Arc;
use loom::thread;

struct Pinned {
    state: State,
    /// What a call with the tid reads, and the thread's end overwrites: 0 while the tid is the thread's.
    tid: RaceCell,
}

/// What a thread does at its end; `wait` as [`State::wait_for_unpin`].
fn a_tid_in_use(wait: fn(&State)) {
    explore(3, move || {
        let pinned = Arc::new(Pinned {
            state: State::new(),
            tid: RaceCell::new(0),
        });
        let thread = thread::spawn({
            let pinned = pinned.clone();
            move || {
                assert_eq!(pinned.state.set_complete(), ResultOwner::Handle);
                assert_eq!(pinned.state.set_done(), LastUser::No);
                wait(&pinned.state);
                // The kernel gives the number away.
                pinned.tid.set(1);
            }
        });
        let caller = thread::spawn({
            let pinned = pinned.clone();
            move || {
                if let Some(pin) = pinned.state.pin_tid(|| 0) {
                    assert_eq!(pinned.tid.get(), 0, "the tid is the thread's");
                    drop(pin);
                }
            }
        });
        if let Some(pin) = pinned.state.pin_tid(|| 0) {
            assert_eq!(pinned.tid.get(), 0, "the tid is the thread's");
            drop(pin);
        }
        thread.join().unwrap();
        caller.join().unwrap();
        assert!(pinned.state.pin_tid(|| 0).is_none(), "none after the end");
    });
}

#[test]
fn a_thread_does_not_end_while_its_tid_is_in_use() {
    a_tid_in_use(State::wait_for_unpin);
}

/// The broken twin: a thread that does not wait.
#[test]
#[should_panic]
fn a_thread_that_waits_for_no_pin_ends_amid_a_call() {
    a_tid_in_use(|_| ());
}

/// A set with two threads, which is dropped while they end.
struct Set {
    queue: CompletionQueue,
    users: Users,
    /// 0: in use; 1: free.
    memory: RaceCell,
    entries: [Entry; 3],
}

struct Entry {
    next: AtomicU32,
    halves: Halves,
    memory: RaceCell,
}

impl Entry {
    fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            halves: Halves::new(),
            memory: RaceCell::new(0),
        }
    }

    /// `SetEntry::release_half`.
    fn release_half(&self) {
        assert_eq!(self.memory.get(), 0, "a half that is in use");
        if self.halves.release() {
            self.memory.add(1);
        }
    }
}

impl Set {
    fn new() -> Arc<Self> {
        let set = Arc::new(Self {
            queue: CompletionQueue::new(),
            users: Users::new(),
            memory: RaceCell::new(0),
            entries: [Entry::new(), Entry::new(), Entry::new()],
        });
        set.users.reset();
        set
    }

    /// `SetShared::unref`.
    fn unref(&self) {
        assert_eq!(self.memory.get(), 0, "a set that is in use");
        if self.users.remove() {
            self.memory.add(1);
        }
    }

    /// `SetEntry::done`.
    fn thread(&self, id: usize) {
        let entry = &self.entries[id];
        self.queue.push(id as u32, &entry.next);
        entry.release_half();
        self.unref();
    }
}

/// The set collects what is there, releases all entries and goes; memory is freed once, by the last.
#[test]
fn a_set_and_its_threads_free_its_memory_once() {
    explore(3, || {
        let set = Set::new();
        let threads = [1, 2].map(|id| {
            set.users.add();
            set.entries[id].halves.reset();
            let set = set.clone();
            thread::spawn(move || set.thread(id))
        });
        let mut last = set.queue.take_all() as usize;
        let mut seen = [false; 3];
        while last != 0 {
            seen[last] = true;
            let before = set.entries[last].next.load(Relaxed) as usize;
            set.entries[last].release_half();
            last = before;
        }
        for id in [1, 2] {
            if !seen[id] {
                set.entries[id].release_half();
            }
        }
        set.unref();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(set.memory.get(), 1);
        for entry in &set.entries[1..] {
            assert_eq!(entry.memory.get(), 1);
            assert!(entry.halves.is_left());
        }
    });
}

/// The broken twin: the count is read and written by two steps.
#[test]
#[should_panic]
fn a_count_of_users_in_two_steps_frees_twice_or_never() {
    explore(3, || {
        let words = Arc::new((AtomicU32::new(2), RaceCell::new(0)));
        let leave = |(count, memory): &(AtomicU32, RaceCell)| {
            let left = count.load(Relaxed) - 1;
            count.store(left, Relaxed);
            if left == 0 {
                memory.add(1);
            }
        };
        let other = thread::spawn({
            let words = words.clone();
            move || leave(&words)
        });
        leave(&words);
        other.join().unwrap();
        assert_eq!(words.1.get(), 1);
    });
}
