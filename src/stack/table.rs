//! Permanent cells: handed out, returned, never unmapped.
//!
//! A cell's address stays valid for the life of the process, so whoever looks late (a waker, the
//! kernel clearing a tid word, a list walker that lost a race) finds a cell, if perhaps another's.
//! Both the table and its lists are lock-free: a `fork` at any instant leaves the child a
//! consistent copy.
#![allow(unsafe_code, reason = "hands out cells of memory it maps itself")]

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::sys::{Errno, memory};

/// Cells of the first chunk; each further chunk doubles the table.
const FIRST_CHUNK: usize = 64;
/// 64 << 24 cells: far more than the kernel has thread ids (4,194,304).
const CHUNKS: usize = 25;

/// What the table can hold: something that can start its life as zero bytes.
///
/// # Safety
/// All-zero bytes must be a valid value, and shared references to it must be enough to use it.
pub(crate) unsafe trait Cell: Sync + 'static {}

/// One cell: the table's part and the value.
#[repr(C)]
pub(crate) struct Node<T> {
    link: Link,
    value: T,
}

/// What tables and lists know of a node. Their code is about links alone, so that there is one of
/// it, whatever the nodes hold.
struct Link {
    /// Number + 1 of the next node on the list; 0 ends it.
    next: AtomicU32,
    /// This node's number + 1; written once before the node is first handed out.
    number: AtomicU32,
}

impl<T> core::ops::Deref for Node<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Node<T> {
    const SIZE: usize = size_of::<Self>();

    /// What [`Table::node`] finds it by: never 0, and below 2^31.
    pub(crate) fn number(&self) -> u32 {
        self.link.number.load(Ordering::Relaxed)
    }
}

/// A table of cells that grows and never shrinks.
pub(crate) struct Table<T> {
    chunks: Chunks,
    nodes: PhantomData<Node<T>>,
}

impl<T: Cell> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Chunks {
                places: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
                used: AtomicU32::new(0),
            },
            nodes: PhantomData,
        }
    }

    /// A cell that was never handed out, all zero.
    ///
    /// # Errors
    /// ENOMEM: no memory, map entry, or number is left.
    pub(crate) fn fresh(&self) -> Result<&'static Node<T>, Errno> {
        let link = self.chunks.fresh(Node::<T>::SIZE)?;
        // SAFETY: memory for a node; zero bytes are a valid value.
        Ok(unsafe { link.cast().as_ref() })
    }

    /// The node with this number + 1, which must have been handed out.
    pub(crate) fn node(&self, number: u32) -> &'static Node<T> {
        let link = self.chunks.link(number, Node::<T>::SIZE);
        // SAFETY: the chunks hold nodes of this type, and stay for ever.
        unsafe { &*link.cast() }
    }

    /// How many cells were ever handed out.
    pub(crate) fn len(&self) -> usize {
        self.chunks.used.load(Ordering::Relaxed) as usize
    }

    /// Bytes that a [`Table::fresh`] takes that finds no room.
    pub(crate) fn growth(&self) -> usize {
        let bytes = self.len().max(FIRST_CHUNK) * Node::<T>::SIZE;
        bytes.next_multiple_of(memory::page_size())
    }

    /// Every cell handed out so far.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Node<T>> + '_ {
        // A cell whose number is still 0 is being handed out right now.
        (1..=self.chunks.used.load(Ordering::Acquire))
            .filter(|number| {
                let chunk = locate(*number as usize - 1).0;
                let place = &self.chunks.places[chunk];
                !place.load(Ordering::Acquire).is_null()
            })
            .map(|number| self.node(number))
            .filter(|node| node.number() != 0)
    }
}

/// The memory of a table, whose nodes all have the size that is given with each call.
struct Chunks {
    /// Each of [`chunk_len`] nodes, or null: not mapped yet.
    places: [AtomicPtr<u8>; CHUNKS],
    /// How many nodes were ever handed out.
    used: AtomicU32,
}

impl Chunks {
    /// See [`Table::fresh`].
    fn fresh(&self, size: usize) -> Result<NonNull<Link>, Errno> {
        let used = self.used.load(Ordering::Relaxed);
        if used as usize >= FIRST_CHUNK << (CHUNKS - 1) {
            return Err(Errno::ENOMEM);
        }
        // Map first and take the number after, so that a failure loses no number.
        self.chunk(locate(used as usize).0, size)?;
        let number = self.used.fetch_add(1, Ordering::Relaxed) as usize;
        let (chunk, offset) = locate(number);
        let base = self.chunk(chunk, size)?;
        // SAFETY: `offset` is inside the chunk by `locate`; zero bytes are a valid link, with
        // which every node begins.
        unsafe {
            let link = base.add(offset * size).cast::<Link>();
            let place = &link.as_ref().number;
            place.store(number as u32 + 1, Ordering::Relaxed);
            Ok(link)
        }
    }

    fn chunk(&self, index: usize, size: usize) -> Result<NonNull<u8>, Errno> {
        let place = self.places.get(index).ok_or(Errno::ENOMEM)?;
        found_or_mapped(place, chunk_len(index) * size)
    }

    /// See [`Table::node`].
    fn link(&self, number: u32, size: usize) -> *const Link {
        let (chunk, offset) = locate(number as usize - 1);
        let base = self.places[chunk].load(Ordering::Acquire);
        debug_assert!(!base.is_null());
        base.wrapping_add(offset * size).cast()
    }
}

/// The memory that `place` holds, or at least `len` bytes that are put there now.
fn found_or_mapped(place: &AtomicPtr<u8>, len: usize) -> Result<NonNull<u8>, Errno> {
    // Acquire pairs with the Release below: the kernel's zeroes are there.
    if let Some(found) = NonNull::new(place.load(Ordering::Acquire)) {
        return Ok(found);
    }
    let len = len.next_multiple_of(memory::page_size());
    let mapped = memory::map(len)?;
    match place.compare_exchange(
        ptr::null_mut(),
        mapped.as_ptr(),
        Ordering::Release,
        Ordering::Acquire,
    ) {
        Ok(_) => Ok(mapped),
        Err(other) => {
            // SAFETY: nobody saw our chunk.
            let unmapped = unsafe { memory::unmap(mapped.as_ptr(), len) };
            debug_assert!(unmapped.is_ok());
            NonNull::new(other).ok_or(Errno::ENOMEM)
        }
    }
}

const fn chunk_len(index: usize) -> usize {
    if index == 0 {
        FIRST_CHUNK
    } else {
        FIRST_CHUNK << (index - 1)
    }
}

/// Chunk and offset of a cell.
const fn locate(number: usize) -> (usize, usize) {
    if number < FIRST_CHUNK {
        return (0, number);
    }
    let chunk = (number / FIRST_CHUNK).ilog2() as usize + 1;
    (chunk, number - chunk_len(chunk))
}

/// A last-in first-out list of a table's nodes (Treiber's stack).
///
/// The head holds the number + 1 of the top node in its low half (0: empty) and a count of pops in
/// its high half. The count makes a head that went away and came back differ, so that a slow
/// popper cannot install a stale `next` (the ABA problem); 2^32 pops within one popper's pause
/// would be needed to fool it.
pub(crate) struct List(AtomicU64);

impl List {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Puts a node on top. The caller must hold the node alone: it is on no list.
    pub(crate) fn push<T>(&self, node: &'static Node<T>) {
        self.push_link(&node.link);
    }

    fn push_link(&self, link: &Link) {
        let number = u64::from(link.number.load(Ordering::Relaxed));
        debug_assert_ne!(number, 0);
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            link.next.store(head as u32, Ordering::Relaxed);
            // Release: the popper sees the node's link and whatever its value says.
            match self.0.compare_exchange_weak(
                head,
                (head & !0xffff_ffff) | number,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the top node.
    pub(crate) fn pop<T: Cell>(&self, table: &Table<T>) -> Option<&'static Node<T>> {
        let link = self.pop_link(&table.chunks, Node::<T>::SIZE)?;
        // SAFETY: the table's chunks hold nodes of this type, and stay for ever.
        Some(unsafe { &*link.cast() })
    }

    fn pop_link(&self, chunks: &Chunks, size: usize) -> Option<*const Link> {
        // Acquire pairs with push's Release.
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let number = head as u32;
            if number == 0 {
                return None;
            }
            let link = chunks.link(number, size);
            // May be stale when another popper won; then the count differs and we go round again.
            // SAFETY: a number on a list is a node's, and nodes stay for ever.
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

    /// Forgets every node: for a forked child, where they stand for nothing.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Number(AtomicU32);
    // SAFETY: zero is a valid AtomicU32, which works through shared references.
    unsafe impl Cell for Number {}

    #[test]
    fn chunks_tile_the_numbers() {
        let mut expected = (0, 0);
        for number in 0..100_000 {
            let (chunk, offset) = locate(number);
            assert_eq!((chunk, offset), expected);
            expected = if offset + 1 == chunk_len(chunk) {
                (chunk + 1, 0)
            } else {
                (chunk, offset + 1)
            };
        }
    }

    #[test]
    fn growth_is_what_the_next_chunk_takes() {
        static TABLE: Table<Number> = Table::new();
        let page = memory::page_size();
        for chunk in 0..4 {
            let bytes = (chunk_len(chunk) * Node::<Number>::SIZE).next_multiple_of(page);
            assert_eq!(TABLE.growth(), bytes);
            for _ in 0..chunk_len(chunk) {
                TABLE.fresh().unwrap();
            }
        }
    }

    #[test]
    fn a_list_gives_back_what_went_in_last_first() {
        static TABLE: Table<Number> = Table::new();
        let list = List::new();
        let nodes: Vec<_> = (0..200).map(|_| TABLE.fresh().unwrap()).collect();
        for node in &nodes {
            list.push(*node);
        }
        for node in nodes.iter().rev() {
            assert!(ptr::eq(list.pop(&TABLE).unwrap(), *node));
        }
        assert!(list.pop(&TABLE).is_none() && list.is_empty());
        assert_eq!(TABLE.iter().count(), 200);
    }

    #[test]
    fn no_node_is_ever_in_two_hands() {
        static TABLE: Table<Number> = Table::new();
        static LIST: List = List::new();
        for _ in 0..4 {
            LIST.push(TABLE.fresh().unwrap());
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        if let Some(node) = LIST.pop(&TABLE) {
                            assert_eq!(node.0.fetch_add(1, Ordering::Relaxed), 0, "held twice");
                            node.0.fetch_sub(1, Ordering::Relaxed);
                            LIST.push(node);
                        }
                    }
                });
            }
        });
        let left = core::iter::from_fn(|| LIST.pop(&TABLE)).count();
        assert_eq!(left, 4);
    }
}
