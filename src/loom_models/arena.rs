//! Models of `arena`: the list of free entries, and the growth of an arena.

use super::explore::{RaceCell, explore};
use crate::arena::growth::{get_or_make, take_index};
use crate::arena::treiber;
use crate::primitive::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::primitive::atomic::{AtomicPtr, AtomicU32, AtomicU64};
use core::ptr::{self, NonNull};
use loom::sync::Arc;
use loom::thread;

/// A list of three entries.
struct List {
    head: AtomicU64,
    next: [AtomicU32; 4],
    /// What the holder of an entry writes.
    data: [RaceCell; 4],
}

impl List {
    /// With the entries 3, 2, 1 on it, 3 on top.
    fn new() -> Self {
        let list = Self {
            head: AtomicU64::new(0),
            next: [0; 4].map(AtomicU32::new),
            data: [0; 4].map(RaceCell::new),
        };
        for id in 1..=3 {
            list.push(id);
        }
        list
    }

    fn push(&self, id: usize) {
        treiber::push(&self.head, id as u32, &self.next[id]);
    }

    fn pop(&self) -> Option<usize> {
        treiber::pop(
            &self.head,
            |id| id as usize,
            |id| self.next[id].load(Relaxed),
        )
    }

    /// Holds the entry alone for a moment.
    fn hold(&self, id: usize) {
        self.data[id].add(1);
    }

    /// The broken twin of `pop`: without the count of pops.
    fn pop_without_count(&self) -> Option<usize> {
        let mut seen = self.head.load(Acquire);
        loop {
            let id = seen as u32 as usize;
            if id == 0 {
                return None;
            }
            let next = u64::from(self.next[id].load(Relaxed));
            match self.head.compare_exchange(seen, next, AcqRel, Acquire) {
                Ok(_) => return Some(id),
                Err(now) => seen = now,
            }
        }
    }

    /// What is on the list, top first.
    fn drain(&self) -> alloc::vec::Vec<usize> {
        core::iter::from_fn(|| self.pop()).collect()
    }
}

/// One thread pops while another pops two and pushes the first of them again: the head that the first
/// thread saw comes back, and what it read of the entry below is stale.
fn a_slow_popper(pop: fn(&List) -> Option<usize>) {
    explore(3, move || {
        let list = Arc::new(List::new());
        let slow = thread::spawn({
            let list = list.clone();
            move || {
                let id = pop(&list).unwrap();
                list.hold(id);
                id
            }
        });
        let first = pop(&list).unwrap();
        let second = pop(&list).unwrap();
        list.hold(first);
        list.push(first);
        list.hold(second);
        let taken = slow.join().unwrap();
        let mut all = list.drain();
        all.extend([second, taken]);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "each entry is in one place");
    });
}

#[test]
fn a_slow_popper_takes_no_entry_that_another_holds() {
    a_slow_popper(List::pop);
}

/// The broken twin: the ABA problem.
#[test]
#[should_panic]
fn a_list_without_a_count_of_pops_gives_an_entry_twice() {
    a_slow_popper(List::pop_without_count);
}

/// Two threads take and return entries: what one wrote is seen by the next holder.
#[test]
fn an_entry_has_one_holder_who_sees_what_the_last_one_wrote() {
    explore(3, || {
        let list = Arc::new(List::new());
        let turn = |list: &List| {
            for _ in 0..2 {
                if let Some(id) = list.pop() {
                    list.hold(id);
                    list.push(id);
                }
            }
        };
        let other = thread::spawn({
            let list = list.clone();
            move || turn(&list)
        });
        turn(&list);
        other.join().unwrap();
        let mut all = list.drain();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
}

/// No index is given twice, nor left out.
#[test]
fn two_threads_take_two_indices() {
    explore(4, || {
        let used = Arc::new(AtomicU32::new(0));
        let other = thread::spawn({
            let used = used.clone();
            move || take_index(&*used)
        });
        let own = take_index(&*used);
        assert_eq!(own + other.join().unwrap(), 1);
    });
}

/// An arena's chunk that two threads need at once.
struct Chunk {
    base: AtomicPtr<u8>,
    /// What `make` wrote to the memory of each thread; 2: unmade.
    memory: [RaceCell; 2],
}

impl Chunk {
    fn address(maker: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(64 << maker)).unwrap()
    }

    fn get(&self, maker: usize) -> usize {
        let chunk = get_or_make(
            &self.base,
            || {
                self.memory[maker].set(1);
                Ok(Self::address(maker))
            },
            |made| {
                assert_eq!(made, Self::address(maker));
                self.memory[maker].set(2);
            },
        );
        let chosen = usize::from(chunk.unwrap() == Self::address(1));
        assert_eq!(self.memory[chosen].get(), 1, "the chunk is there");
        chosen
    }
}

/// Both get one chunk, whose zeroes they see; the other's memory is given back.
#[test]
fn two_threads_grow_an_arena_once() {
    explore(4, || {
        let chunk = Arc::new(Chunk {
            base: AtomicPtr::new(ptr::null_mut()),
            memory: [RaceCell::new(0), RaceCell::new(0)],
        });
        let other = thread::spawn({
            let chunk = chunk.clone();
            move || chunk.get(1)
        });
        let chosen = chunk.get(0);
        assert_eq!(other.join().unwrap(), chosen);
        assert_ne!(chunk.memory[1 - chosen].get(), 1, "no memory is lost");
    });
}

/// The broken twin: the loser keeps its own.
#[test]
#[should_panic]
fn an_arena_that_grows_without_an_exchange_loses_memory() {
    explore(4, || {
        let base = Arc::new(AtomicU32::new(0));
        let grow = |base: &AtomicU32, own: u32| {
            if base.load(Acquire) == 0 {
                base.store(own, Relaxed);
                return own;
            }
            base.load(Acquire)
        };
        let other = thread::spawn({
            let base = base.clone();
            move || grow(&base, 1)
        });
        let chosen = grow(&base, 2);
        assert_eq!(other.join().unwrap(), chosen);
    });
}
