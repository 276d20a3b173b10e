//! Lock-free lists of an arena's entries.
#![allow(unsafe_code, reason = "gives an arena's links their type back")]

use core::sync::atomic::{AtomicU64, Ordering};

use super::arena::{Arena, ArenaEntry, Chunks, Link, Zeroable};
use super::treiber;

/// A last-in first-out list of an arena's entries ([`treiber`]).
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
        treiber::push(&self.0, link.id.load(Ordering::Relaxed), &link.next);
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
        treiber::pop(
            &self.0,
            |id| chunks.link(id, size),
            // SAFETY: an id on a list is an entry's, and entries are permanent.
            |link| unsafe { &*link }.next.load(Ordering::Relaxed),
        )
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
