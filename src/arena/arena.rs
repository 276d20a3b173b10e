//! Permanent entries: handed out, returned, never unmapped.
//!
//! An entry's address stays valid for the life of the process, so a late reader (a waker, the
//! kernel clearing a tid word, a list walker that lost a race) finds an entry, if perhaps another's.
//! Both the arena and its lists are lock-free: a `fork` at any instant leaves the child a
//! consistent copy.
//!
//! Where every program with a thread needs the entries, the first ones lie in the arena itself, a
//! static: a program of few threads maps nothing for them.
#![allow(unsafe_code, reason = "hands out entries of memory it maps itself")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::growth;
use crate::sys::{Errno, leak_roots, memory};

/// Entries of the first chunk; each further chunk doubles the arena.
pub(crate) const FIRST_CHUNK: usize = 64;
/// 64 << 24 entries: far more than the kernel has thread ids (4,194,304).
const CHUNKS: usize = 25;

/// What an arena can hold: a type of which zero bytes are a value.
///
/// # Safety
/// All-zero bytes must be a valid value, and shared references to it must be enough to use it.
pub(crate) unsafe trait Zeroable: Sync + 'static {
    /// Of a runtime's TCBs: whether the slots' cache bounds what idle stacks keep resident
    /// (`Cache::put_used` of `stack`), for which it counts them.
    const BOUNDS_IDLE_MEMORY: bool = false;
}

/// One entry: the arena's part and the value.
#[repr(C)]
pub(crate) struct ArenaEntry<T> {
    pub(super) link: Link,
    value: T,
}

/// What arenas and lists know of an entry. Their code is about links alone, so that there is one of
/// it, whatever the entries hold.
pub(super) struct Link {
    /// Id of the next entry on the list; 0 ends it.
    pub(super) next: AtomicU32,
    /// The entry's id: its index + 1; written once before the entry is first handed out.
    pub(super) id: AtomicU32,
}

impl<T> core::ops::Deref for ArenaEntry<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> ArenaEntry<T> {
    pub(super) const SIZE: usize = size_of::<Self>();

    /// What [`Arena::entry`] finds it by: never 0, and below 2^31.
    pub(crate) fn id(&self) -> u32 {
        self.link.id.load(Ordering::Relaxed)
    }
}

/// An arena of entries that grows and never shrinks. `INSIDE` entries lie in the arena itself: 0, or
/// [`FIRST_CHUNK`].
pub(crate) struct Arena<T, const INSIDE: usize = 0> {
    pub(super) chunks: Chunks,
    /// The first chunk, or nothing. As zeroes it takes no place in the program's file.
    inside: UnsafeCell<[MaybeUninit<ArenaEntry<T>>; INSIDE]>,
}

// SAFETY: `inside` is used as other chunks are: by references to entries, which can be shared.
unsafe impl<T: Zeroable, const INSIDE: usize> Sync for Arena<T, INSIDE> {}

impl<T: Zeroable, const INSIDE: usize> Arena<T, INSIDE> {
    pub(crate) const fn new() -> Self {
        const { assert!(INSIDE == 0 || INSIDE == FIRST_CHUNK) };
        Self {
            chunks: Chunks {
                bases: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
                used: AtomicU32::new(0),
            },
            inside: UnsafeCell::new([const { MaybeUninit::zeroed() }; INSIDE]),
        }
    }

    /// An entry that was never handed out, all zero.
    ///
    /// # Errors
    /// ENOMEM: no memory, map entry, or index is left.
    pub(crate) fn alloc(&'static self) -> Result<&'static ArenaEntry<T>, Errno> {
        if INSIDE > 0 {
            // SAFETY: `self` is never moved, and only entries are made of the chunk.
            unsafe { self.chunks.set_first(self.inside.get().cast()) };
        }
        let link = self.chunks.alloc(ArenaEntry::<T>::SIZE)?;
        // SAFETY: memory for an entry; zero bytes are a valid value.
        Ok(unsafe { link.cast().as_ref() })
    }

    /// The entry with this id, which must have been handed out.
    pub(crate) fn entry(&self, id: u32) -> &'static ArenaEntry<T> {
        let link = self.chunks.link(id, ArenaEntry::<T>::SIZE);
        // SAFETY: the chunks hold entries of this type, and are permanent.
        unsafe { &*link.cast() }
    }

    /// How many entries were ever handed out.
    pub(crate) fn len(&self) -> usize {
        self.chunks.used.load(Ordering::Relaxed) as usize
    }

    /// Bytes that a [`Arena::alloc`] maps when the chunks are full.
    pub(crate) fn next_chunk_bytes(&self) -> usize {
        let bytes = self.len().max(FIRST_CHUNK) * ArenaEntry::<T>::SIZE;
        bytes.next_multiple_of(memory::page_size())
    }

    /// Every entry handed out so far.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static ArenaEntry<T>> + '_ {
        (1..=self.last_id()).filter_map(|id| self.try_entry(id))
    }

    /// The highest id of an entry that was handed out or is being handed out; 0 for none.
    ///
    /// Relaxed: the entry is reached by its chunk's address (`try_entry`).
    pub(crate) fn last_id(&self) -> u32 {
        self.chunks.used.load(Ordering::Relaxed)
    }

    /// The entry with this id, which is at most [`Arena::last_id`]; `None` if it is being handed out
    /// right now.
    pub(crate) fn try_entry(&self, id: u32) -> Option<&'static ArenaEntry<T>> {
        let chunk = locate(id as usize - 1).0;
        if self.chunks.bases[chunk].load(Ordering::Acquire).is_null() {
            return None;
        }
        Some(self.entry(id)).filter(|entry| entry.id() != 0)
    }
}

/// The memory of an arena, whose entries all have the size that is given with each call.
pub(super) struct Chunks {
    /// Each of [`chunk_len`] entries, or null: not used yet.
    bases: [AtomicPtr<u8>; CHUNKS],
    /// How many entries were ever handed out.
    used: AtomicU32,
}

impl Chunks {
    /// Makes this the first chunk; each time with the same one.
    ///
    /// # Safety
    /// It has [`FIRST_CHUNK`] entries, zero unless they were handed out here, and is permanent and not
    /// used otherwise.
    unsafe fn set_first(&self, chunk: *mut u8) {
        if self.used.load(Ordering::Relaxed) == 0 {
            // Release, as in `get_or_map`; every thread stores the same.
            self.bases[0].store(chunk, Ordering::Release);
        }
    }

    /// See [`Arena::alloc`].
    fn alloc(&self, size: usize) -> Result<NonNull<Link>, Errno> {
        let used = self.used.load(Ordering::Relaxed);
        if used as usize >= FIRST_CHUNK << (CHUNKS - 1) {
            return Err(Errno::ENOMEM);
        }
        // Map first and take the index after, so that a failure loses no index.
        self.chunk(locate(used as usize).0, size)?;
        let index = growth::take_index(&self.used) as usize;
        let (chunk, offset) = locate(index);
        let base = self.chunk(chunk, size)?;
        // SAFETY: `offset` is inside the chunk by `locate`; zero bytes are a valid link, with
        // which every entry begins.
        unsafe {
            let link = base.add(offset * size).cast::<Link>();
            link.as_ref().id.store(index as u32 + 1, Ordering::Relaxed);
            Ok(link)
        }
    }

    fn chunk(&self, index: usize, size: usize) -> Result<NonNull<u8>, Errno> {
        let base = self.bases.get(index).ok_or(Errno::ENOMEM)?;
        get_or_map(base, chunk_len(index) * size)
    }

    /// See [`Arena::entry`].
    pub(super) fn link(&self, id: u32, size: usize) -> *const Link {
        let (chunk, offset) = locate(id as usize - 1);
        let base = self.bases[chunk].load(Ordering::Acquire);
        debug_assert!(!base.is_null());
        base.wrapping_add(offset * size).cast()
    }
}

/// The memory that `base` holds, or at least `len` bytes that are put there now.
fn get_or_map(base: &AtomicPtr<u8>, len: usize) -> Result<NonNull<u8>, Errno> {
    let len = len.next_multiple_of(memory::page_size());
    growth::get_or_make(
        base,
        || memory::map(len).inspect(|mapped| leak_roots::add(mapped.as_ptr(), len)),
        |mapped| {
            // SAFETY: added when it was mapped.
            unsafe { leak_roots::remove(mapped.as_ptr(), len) };
            // SAFETY: no other thread has the address of this chunk.
            // Where the kernel refuses, the memory stays.
            let _ = unsafe { memory::unmap(mapped.as_ptr(), len) };
        },
    )
}

const fn chunk_len(index: usize) -> usize {
    if index == 0 {
        FIRST_CHUNK
    } else {
        FIRST_CHUNK << (index - 1)
    }
}

/// Chunk and offset of an entry.
const fn locate(index: usize) -> (usize, usize) {
    if index < FIRST_CHUNK {
        return (0, index);
    }
    let chunk = (index / FIRST_CHUNK).ilog2() as usize + 1;
    (chunk, index - chunk_len(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(AtomicU32);
    // SAFETY: zero is a valid AtomicU32, which works through shared references.
    unsafe impl Zeroable for Number {}

    #[test]
    fn chunks_tile_the_indices() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            let (chunk, offset) = locate(index);
            assert_eq!((chunk, offset), expected);
            expected = if offset + 1 == chunk_len(chunk) {
                (chunk + 1, 0)
            } else {
                (chunk, offset + 1)
            };
        }
    }

    /// Each index that `alloc` gives out has a place in a chunk that the table has.
    #[test]
    fn the_last_indices_have_a_place_too() {
        let all = FIRST_CHUNK << (CHUNKS - 1);
        let edges = (1..all.ilog2()).map(|bit| 1_usize << bit);
        for index in edges.flat_map(|edge| edge - 1..=edge).chain([all - 1]) {
            let (chunk, offset) = locate(index);
            assert!(chunk < CHUNKS && offset < chunk_len(chunk), "{index}");
            let before = if chunk == 0 { 0 } else { chunk_len(chunk) };
            assert_eq!(before + offset, index);
        }
    }

    #[test]
    fn the_first_chunk_may_lie_in_the_arena() {
        static ARENA: Arena<Number, FIRST_CHUNK> = Arena::new();
        let inside = (&raw const ARENA).addr()..(&raw const ARENA).addr() + size_of_val(&ARENA);
        for index in 0..2 * FIRST_CHUNK {
            let entry = ARENA.alloc().unwrap();
            assert_eq!(entry.id() as usize, index + 1);
            assert_eq!(entry.0.swap(1, Ordering::Relaxed), 0, "handed out twice");
            assert!(ptr::eq(ARENA.entry(entry.id()), entry));
            let is_inside = inside.contains(&ptr::from_ref(entry).addr());
            assert_eq!(is_inside, index < FIRST_CHUNK);
        }
        assert_eq!(ARENA.iter().count(), 2 * FIRST_CHUNK);
    }

    /// Each entry has one owner, and is where its id says, while several threads make the arena grow.
    #[test]
    fn threads_that_grow_an_arena_share_no_entry() {
        const EACH: usize = 4_000;
        static ARENA: Arena<Number> = Arena::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let entry = ARENA.alloc().unwrap();
                        assert!(ptr::eq(ARENA.entry(entry.id()), entry));
                        assert_eq!(entry.0.fetch_add(1, Ordering::Relaxed), 0, "two owners");
                    }
                });
            }
        });
        assert_eq!(ARENA.len(), 3 * EACH);
        assert_eq!(ARENA.iter().count(), 3 * EACH);
    }

    #[test]
    fn next_chunk_bytes_is_what_the_next_chunk_takes() {
        static ARENA: Arena<Number> = Arena::new();
        let page = memory::page_size();
        for chunk in 0..8 {
            let bytes = (chunk_len(chunk) * ArenaEntry::<Number>::SIZE).next_multiple_of(page);
            assert_eq!(ARENA.next_chunk_bytes(), bytes);
            for _ in 0..chunk_len(chunk) {
                let number = ARENA.alloc().unwrap();
                assert_eq!(number.0.load(Ordering::Relaxed), 0);
            }
        }
    }
}
