//! Memory for one value of any type, without an allocator: an entry of an arena, or a
//! mapping of its own for a large one.
#![allow(unsafe_code, reason = "hands out raw memory")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::arena::{Arena, ArenaEntry, Zeroable};
use super::free_list::FreeList;
use crate::sys::{Errno, leak_roots, memory};

/// Where a value lives.
#[derive(Clone, Copy)]
pub(crate) enum Storage {
    Pooled(&'static ArenaEntry<Block>),
    /// The whole of a mapping, whose first bytes may lie below the value.
    Mapping {
        base: NonNull<u8>,
        len: usize,
    },
}

/// Space for a value of up to 256 bytes.
#[repr(C, align(16))]
pub(crate) struct Block(UnsafeCell<[MaybeUninit<u8>; 256]>);

// SAFETY: plain bytes; the caller that took the block from the free list uses it alone.
unsafe impl Sync for Block {}
// SAFETY: bytes may be zero.
unsafe impl Zeroable for Block {}

static BLOCKS: Arena<Block> = Arena::new();
static FREE: FreeList = FreeList::new();

/// Memory for a `T`, the caller's alone; and what [`dealloc`] takes.
///
/// # Errors
/// ENOMEM.
pub(crate) fn alloc<T>() -> Result<(NonNull<T>, Storage), Errno> {
    if size_of::<T>() <= size_of::<Block>() && align_of::<T>() <= align_of::<Block>() {
        let entry = FREE.pop(&BLOCKS).map_or_else(|| BLOCKS.alloc(), Ok)?;
        let place = NonNull::new(entry.0.get()).ok_or(Errno::ENOMEM)?;
        return Ok((place.cast(), Storage::Pooled(entry)));
    }
    let (place, storage) = map(size_of::<T>(), align_of::<T>())?;
    Ok((place.cast(), storage))
}

/// A mapping for one value. The kernel aligns it to a page; for more it is larger by what its
/// beginning may be off. Those pages are never touched, and giving them back at once could fail
/// where the mapping has merged with its neighbours (`vm.max_map_count`).
fn map(size: usize, align: usize) -> Result<(NonNull<u8>, Storage), Errno> {
    let page = memory::page_size();
    let len = size
        .checked_add(align.saturating_sub(page))
        .and_then(|len| len.checked_next_multiple_of(page))
        .ok_or(Errno::ENOMEM)?;
    let base = memory::map(len)?;
    leak_roots::add(base.as_ptr(), len);
    let skip = base.addr().get().wrapping_neg() & (align - 1);
    // SAFETY: `base` is a multiple of `page`, so `skip` is at most `align - page`, or 0 for a
    // smaller `align`: `size` bytes from there are inside the mapping.
    let place = unsafe { base.add(skip) };
    Ok((place, Storage::Mapping { base, len }))
}

/// Takes the memory of this storage back.
///
/// # Safety
/// It came from [`alloc`](fn@alloc), and the value is not in use any more.
pub(crate) unsafe fn dealloc(storage: Storage) {
    match storage {
        Storage::Pooled(entry) => FREE.push(entry),
        Storage::Mapping { base, len } => {
            // SAFETY: a mapping of its own, which `map` added, and which is not in use any more. Where the
            // kernel refuses, the memory stays.
            unsafe {
                leak_roots::remove(base.as_ptr(), len);
                let _ = memory::unmap(base.as_ptr(), len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_aligned_as_asked_and_whole() {
        // Several at a time, so that not every base is aligned by chance.
        for _ in 0..4 {
            for shift in 0..22 {
                let align = 1usize << shift;
                for size in [align, 3 * align] {
                    let (place, storage) = map(size, align).unwrap();
                    assert!(place.addr().get().is_multiple_of(align));
                    // SAFETY: the memory is this test's, and `size` bytes long.
                    unsafe {
                        place.write(1);
                        place.add(size - 1).write(2);
                        if shift % 2 == 0 {
                            dealloc(storage);
                        }
                    }
                }
            }
        }
        assert!(matches!(
            map(isize::MAX as usize, 1 << 40),
            Err(Errno::ENOMEM)
        ));
    }
}
