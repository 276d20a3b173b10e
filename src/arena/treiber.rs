//! Treiber's stack, as functions of its words: a last-in first-out list of numbered entries.
//!
//! The head holds the id of the top entry in its low half (0: empty) and a count of pops in its high
//! half. The count makes a head that went away and came back differ, so that a slow popper cannot
//! install a stale `next` (the ABA problem); 2^32 pops within one popper's pause would be needed to
//! fool it.

use crate::primitive::atomic::Ordering;
use crate::primitive::word::Word;

/// Puts the entry `id`, whose link is `next`, on top. The caller must hold the entry alone: it is on no
/// list.
#[inline]
pub(crate) fn push(head: &impl Word<u64>, id: u32, next: &impl Word<u32>) {
    debug_assert_ne!(id, 0);
    let mut seen = head.load(Ordering::Relaxed);
    loop {
        next.store(seen as u32, Ordering::Relaxed);
        // Release: the popper sees the entry's link and whatever its value says.
        match head.compare_exchange_weak(
            seen,
            (seen & !0xffff_ffff) | u64::from(id),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Takes the top entry, which `find` finds by its id. `next_of` reads an entry's link, Relaxed.
#[inline]
pub(crate) fn pop<E: Copy>(
    head: &impl Word<u64>,
    find: impl Fn(u32) -> E,
    next_of: impl Fn(E) -> u32,
) -> Option<E> {
    // Acquire pairs with push's Release.
    let mut seen = head.load(Ordering::Acquire);
    loop {
        let id = seen as u32;
        if id == 0 {
            return None;
        }
        let entry = find(id);
        // May be stale when another popper won; then the count differs and we go round again.
        let next = u64::from(next_of(entry));
        let popped = (seen >> 32).wrapping_add(1) << 32;
        match head.compare_exchange_weak(seen, popped | next, Ordering::Acquire, Ordering::Acquire)
        {
            Ok(_) => return Some(entry),
            Err(now) => seen = now,
        }
    }
}
