//! Memory for one value of any type, without an allocator: an entry of an arena, or a
//! mapping of its own for a large one.
#![allow(unsafe_code, reason = "hands out raw memory")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::arena::{Arena, ArenaEntry, FreeList, Zeroable};
use crate::sys::{Errno, memory};

/// Where a value lives.
#[derive(Clone, Copy)]
pub(crate) enum Storage {
    Pooled(&'static ArenaEntry<Block>),
    /// A mapping of this many bytes.
    Mapped(usize),
}

/// Space for a value of up to 256 bytes.
#[repr(C, align(16))]
pub(crate) struct Block(UnsafeCell<[MaybeUninit<u8>; 256]>);

// SAFETY: plain bytes; whoever took the block from the free list uses it alone.
unsafe impl Sync for Block {}
// SAFETY: bytes may be zero.
unsafe impl Zeroable for Block {}

static BLOCKS: Arena<Block> = Arena::new();
static FREE: FreeList = FreeList::new();

/// Memory for a `T`, the caller's alone; and what [`dealloc`] must be told.
///
/// # Errors
/// ENOMEM, which a type that asks for more than a page's alignment always gets.
pub(crate) fn alloc<T>() -> Result<(NonNull<T>, Storage), Errno> {
    let page = memory::page_size();
    if size_of::<T>() <= size_of::<Block>() && align_of::<T>() <= align_of::<Block>() {
        let entry = FREE.pop(&BLOCKS).map_or_else(|| BLOCKS.alloc(), Ok)?;
        let place = NonNull::new(entry.0.get()).ok_or(Errno::ENOMEM)?;
        return Ok((place.cast(), Storage::Pooled(entry)));
    }
    // A mapping is aligned to a page.
    if align_of::<T>() > page {
        return Err(Errno::ENOMEM);
    }
    let len = size_of::<T>().next_multiple_of(page);
    Ok((memory::map(len)?.cast(), Storage::Mapped(len)))
}

/// Takes the memory back.
///
/// # Safety
/// It came from [`alloc`] with this storage; nobody uses it any more.
pub(crate) unsafe fn dealloc(place: *mut u8, storage: Storage) {
    match storage {
        Storage::Pooled(entry) => FREE.push(entry),
        Storage::Mapped(len) => {
            // SAFETY: a mapping of its own, which nobody uses any more.
            // Where the kernel refuses, the memory stays.
            let _ = unsafe { memory::unmap(place, len) };
        }
    }
}
