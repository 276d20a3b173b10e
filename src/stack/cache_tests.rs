//! The cache with slots that no thread runs on.

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

use super::*;
use crate::stack::slot::ALIVE;

/// In the place of a TCB: 1 if it cannot be destroyed.
struct Dummy(AtomicU32);

// SAFETY: zero is a valid AtomicU32, which works through shared references.
unsafe impl Zeroable for Dummy {
    const BOUNDS_IDLE_MEMORY: bool = true;
}

const STACK: usize = 64 * 1024;

fn take(cache: &'static Cache<Dummy>) -> (bool, SlotRef<Dummy>) {
    match cache.acquire(STACK, 1).unwrap() {
        Acquired::WithTcb(slot) => (true, slot),
        Acquired::Uninit(slot) => (false, slot),
    }
}

fn take_new(cache: &'static Cache<Dummy>) -> SlotRef<Dummy> {
    let (has_tcb, slot) = take(cache);
    assert!(!has_tcb, "a slot without TCB");
    slot
}

fn take_idle(cache: &'static Cache<Dummy>) -> SlotRef<Dummy> {
    let (has_tcb, slot) = take(cache);
    assert!(has_tcb, "an idle slot");
    slot
}

fn set(slot: SlotRef<Dummy>, word: u32) {
    slot.clear_tid().store(word, Ordering::Relaxed);
}

#[test]
fn a_wait_for_an_exit_ends_with_the_truth() {
    let word = AtomicU32::new(ALIVE);
    assert!(!spin_until_exited(&word));
    word.store(0, Ordering::Relaxed);
    assert!(spin_until_exited(&word));
}

/// SLOT-3: neither alone, nor with another below it; and it is not lost.
#[test]
fn a_slot_that_a_thread_is_leaving_is_not_given_out() {
    static CACHE: Cache<Dummy> = Cache::new();
    let (first, second) = (take_new(&CACHE), take_new(&CACHE));
    set(first, ALIVE);
    CACHE.put_idle(first);
    let other = take_new(&CACHE);
    assert!(!ptr::eq(other, first));
    let first = {
        set(first, 0);
        take_idle(&CACHE)
    };
    CACHE.put_idle(second);
    set(first, ALIVE);
    CACHE.put_idle(first);
    assert!(ptr::eq(take_idle(&CACHE), second));
    set(first, 0);
    assert!(ptr::eq(take_idle(&CACHE), first));
}

/// A slot that its thread leaves while the taker waits for it is given out once.
#[test]
fn a_slot_that_is_left_meanwhile_is_given_out_once() {
    static CACHE: Cache<Dummy> = Cache::new();
    let slot = take_new(&CACHE);
    for round in 0..300 {
        set(slot, ALIVE);
        CACHE.put_idle(slot);
        let leaver = std::thread::spawn(move || {
            for _ in 0..round % 30 {
                std::thread::yield_now();
            }
            slot.clear_tid().store(0, Ordering::Relaxed);
        });
        let (has_tcb, first) = take(&CACHE);
        leaver.join().unwrap();
        let (is_again, second) = take(&CACHE);
        assert_ne!(has_tcb, is_again, "the idle slot is there once");
        CACHE.put_uninit(if has_tcb { second } else { first });
    }
}

/// SLOT-4.
#[test]
fn a_forked_child_takes_no_slot_of_its_parents() {
    static CACHE: Cache<Dummy> = Cache::new();
    let slots: Vec<_> = (0..4).map(|_| take_new(&CACHE)).collect();
    let [idle, uninit, used, own] = slots[..] else {
        unreachable!()
    };
    CACHE.put_idle(idle);
    CACHE.put_uninit(uninit);
    CACHE.clear_after_fork();
    assert!(slots.iter().all(|slot| !CACHE.owns(slot)));
    let mut taken: Vec<_> = (0..4).map(|_| take_new(&CACHE)).collect();
    assert!(taken.iter().all(|slot| CACHE.owns(slot)));
    // What its threads had in use is given back without effect.
    CACHE.put_idle(used);
    CACHE.put_uninit(own);
    taken.extend((0..4).map(|_| take_new(&CACHE)));
    for slot in &slots {
        assert!(!taken.iter().any(|taken| ptr::eq(*taken, *slot)));
    }
    // The slot on which the child's only thread runs is the child's.
    CACHE.adopt(own);
    CACHE.put_idle(own);
    assert!(ptr::eq(take_idle(&CACHE), own));
}

/// As a runtime's.
unsafe fn destroy(slot: SlotRef<Dummy>) -> bool {
    assert!(slot.has_exited(), "a thread runs on it");
    // SAFETY: a slot of these tests, which no other thread uses.
    unsafe { &*slot.tcb() }.0.load(Ordering::Relaxed) == 0
}

#[test]
fn a_trim_leaves_what_is_in_use_and_what_cannot_be_destroyed() {
    static CACHE: Cache<Dummy> = Cache::new();
    let slots: Vec<_> = (0..3).map(|_| take_new(&CACHE)).collect();
    let [_, leaving, stays] = slots[..] else {
        unreachable!()
    };
    set(leaving, ALIVE);
    // SAFETY: as above.
    unsafe { &*stays.tcb() }.0.store(1, Ordering::Relaxed);
    for slot in &slots {
        CACHE.put_idle(slot);
    }
    assert_eq!(CACHE.undiscarded.load(Ordering::Relaxed), 3 * STACK);
    assert!(CACHE.trim(destroy));
    assert_eq!(CACHE.undiscarded.load(Ordering::Relaxed), 2 * STACK);
    assert!(!CACHE.unmapped.is_empty());
    set(leaving, 0);
    let left = [take_idle(&CACHE), take_idle(&CACHE)];
    for slot in [leaving, stays] {
        assert!(left.iter().any(|left| ptr::eq(*left, slot)));
    }
    assert_eq!(CACHE.undiscarded.load(Ordering::Relaxed), 0);
    take_new(&CACHE);
}

/// The lowest bytes of idle stacks go back to the system, not those of a stack that a thread is on.
#[cfg(feature = "hosted")]
#[test]
fn idle_stacks_are_discarded_beyond_a_bound() {
    static CACHE: Cache<Dummy> = Cache::new();
    unsafe fn top(slot: SlotRef<Dummy>) -> usize {
        let (base, len) = slot.region().stack();
        base as usize + len
    }
    let (idle, leaving) = (take_new(&CACHE), take_new(&CACHE));
    let at = |slot: SlotRef<Dummy>, from_top: usize| {
        let (base, len) = slot.region().stack();
        base.wrapping_add(if from_top == 0 { 0 } else { len - from_top })
    };
    for slot in [idle, leaving] {
        // SAFETY: a stack of these tests.
        unsafe {
            at(slot, 0).write(7);
            at(slot, SHALLOW / 2).write(7);
        }
    }
    set(leaving, ALIVE);
    CACHE.put_idle(idle);
    CACHE.put_idle(leaving);
    CACHE.discard_beyond(2 * STACK, top);
    // SAFETY: as above.
    let read = |slot, from_top| unsafe { at(slot, from_top).read() };
    assert_eq!(read(idle, 0), 7, "not beyond the bound");
    CACHE.discard_beyond(STACK, top);
    assert_eq!((read(idle, 0), read(idle, SHALLOW / 2)), (0, 7));
    assert_eq!(read(leaving, 0), 7);
    assert_eq!(CACHE.undiscarded.load(Ordering::Relaxed), STACK);
    set(leaving, 0);
    assert!(ptr::eq(take_idle(&CACHE), leaving));
    assert!(ptr::eq(take_idle(&CACHE), idle));
}

/// What idle stacks hold returns with time, too, as long as threads end.
#[cfg(feature = "hosted")]
#[test]
fn idle_stacks_are_discarded_for_their_age() {
    static CACHE: Cache<Dummy> = Cache::new();
    static NOW: AtomicU32 = AtomicU32::new(100);
    unsafe fn top(slot: SlotRef<Dummy>) -> usize {
        let (base, len) = slot.region().stack();
        base as usize + len
    }
    let seconds = || NOW.load(Ordering::Relaxed);
    // As many threads as it takes until one reads the clock; they run on `busy`.
    let end_threads = |busy: SlotRef<Dummy>, most: usize| {
        for _ in 0..IdleAge::PUTS_PER_LOOK {
            CACHE.put_used(busy, most, seconds, top);
            assert!(ptr::eq(take_idle(&CACHE), busy));
        }
    };
    let (idle, busy) = (take_new(&CACHE), take_new(&CACHE));
    let base = idle.region().stack().0;
    // SAFETY: a stack of these tests.
    unsafe { base.write(7) };
    CACHE.put_used(idle, usize::MAX - 1, seconds, top);
    // SAFETY: as above.
    let read = || unsafe { base.read() };
    end_threads(busy, usize::MAX - 1);
    NOW.store(99 + IdleAge::MOST, Ordering::Relaxed);
    end_threads(busy, usize::MAX - 1);
    assert_eq!(read(), 7, "too early");
    NOW.store(100 + IdleAge::MOST, Ordering::Relaxed);
    end_threads(busy, usize::MAX);
    assert_eq!(read(), 7, "all is to be kept");
    for _ in 0..IdleAge::PUTS_PER_LOOK {
        CACHE.put_used(busy, usize::MAX - 1, seconds, top);
        if read() == 0 {
            // Both are on the lists of discarded ones now.
            assert_eq!(CACHE.undiscarded.load(Ordering::Relaxed), 0);
            take_idle(&CACHE);
            take_idle(&CACHE);
            take_new(&CACHE);
            return;
        }
        assert!(ptr::eq(take_idle(&CACHE), busy));
    }
    panic!("not with time");
}
