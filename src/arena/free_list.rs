//! Lock-free lists of an arena's entries.
#![allow(unsafe_code, reason = "gives an arena's links their type back")]

use core::sync::atomic::{AtomicU64, Ordering};

use super::arena::{Arena, ArenaEntry, Chunks, Link, Zeroable};

/// A last-in first-out list of an arena's entries (Treiber's stack).
///
/// The head holds the id of the top entry in its low half (0: empty) and a count of pops in
/// its high half. The count makes a head that went away and came back differ, so that a slow
/// popper cannot install a stale `next` (the ABA problem); 2^32 pops within one popper's pause
/// would be needed to fool it.
pub(crate) struct FreeList(AtomicU64);

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Puts an entry on top. The caller must hold the entry alone: it is on no list.
    pub(crate) fn push<T>(&self, entry: &'static ArenaEntry<T>) {
        self.push_link(&entry.link);
    }

    fn push_link(&self, link: &Link) {
        let id = u64::from(link.id.load(Ordering::Relaxed));
        debug_assert_ne!(id, 0);
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            link.next.store(head as u32, Ordering::Relaxed);
            // Release: the popper sees the entry's link and whatever its value says.
            match self.0.compare_exchange_weak(
                head,
                (head & !0xffff_ffff) | id,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the top entry.
    pub(crate) fn pop<T: Zeroable, const INSIDE: usize>(
        &self,
        arena: &Arena<T, INSIDE>,
    ) -> Option<&'static ArenaEntry<T>> {
        let link = self.pop_link(&arena.chunks, ArenaEntry::<T>::SIZE)?;
        // SAFETY: the arena's chunks hold entries of this type, and are permanent.
        Some(unsafe { &*link.cast() })
    }

    fn pop_link(&self, chunks: &Chunks, size: usize) -> Option<*const Link> {
        // Acquire pairs with push's Release.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let id = head as u32;
            if id == 0 {
                return None;
            }
            let link = chunks.link(id, size);
            // May be stale when another popper won; then the count differs and we go round again.
            // SAFETY: an id on a list is an entry's, and entries are permanent.
            let next = u64::from(unsafe { &*link }.next.load(Ordering::Relaxed));
            let popped = (head >> 32).wrapping_add(1) << 32;
            match self.0.compare_exchange_weak(
                head,
                popped | next,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(link),
                Err(now) => head = now,
            }
        }
    }

    /// Whether a pop would find nothing, at this instant.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) as u32 == 0
    }

    /// Writes to the list's page and changes nothing.
    #[cfg(feature = "hosted")]
    pub(crate) fn touch(&self) {
        // As `fetch_or(0)`, which compilers make a load of.
        let _ = self
            .0
            .compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Removes every entry: for a forked child, where they stand for nothing.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;
    use core::sync::atomic::AtomicU32;
    use std::vec::Vec;

    struct Number(AtomicU32);
    // SAFETY: zero is a valid AtomicU32, which works through shared references.
    unsafe impl Zeroable for Number {}

    #[test]
    fn a_list_gives_back_what_went_in_last_first() {
        static ARENA: Arena<Number> = Arena::new();
        let list = FreeList::new();
        let entries: Vec<_> = (0..200).map(|_| ARENA.alloc().unwrap()).collect();
        for entry in &entries {
            list.push(*entry);
        }
        for entry in entries.iter().rev() {
            assert!(ptr::eq(list.pop(&ARENA).unwrap(), *entry));
        }
        assert!(list.pop(&ARENA).is_none() && list.is_empty());
        assert_eq!(ARENA.iter().count(), 200);
    }

    #[test]
    fn no_node_is_ever_in_two_hands() {
        static ARENA: Arena<Number> = Arena::new();
        static LIST: FreeList = FreeList::new();
        for _ in 0..4 {
            LIST.push(ARENA.alloc().unwrap());
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        if let Some(entry) = LIST.pop(&ARENA) {
                            assert_eq!(entry.0.fetch_add(1, Ordering::Relaxed), 0, "held twice");
                            entry.0.fetch_sub(1, Ordering::Relaxed);
                            LIST.push(entry);
                        }
                    }
                });
            }
        });
        let left = core::iter::from_fn(|| LIST.pop(&ARENA)).count();
        assert_eq!(left, 4);
    }
}
