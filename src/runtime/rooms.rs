//! Memory for one value of any type, without an allocator: a cell of a permanent table, or a
//! mapping of its own for a large one.
#![allow(unsafe_code, reason = "hands out raw memory")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::stack::table::{Cell, List, Node, Table};
use crate::sys::{Errno, memory};

/// Where a value lives.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    Cell(&'static Node<Room>),
    /// A mapping of this many bytes.
    Mapping(usize),
}

/// Room for a value of up to 256 bytes.
#[repr(C, align(16))]
pub(crate) struct Room(UnsafeCell<[MaybeUninit<u8>; 256]>);

// SAFETY: plain bytes; whoever took the cell from the free list uses it alone.
unsafe impl Sync for Room {}
// SAFETY: bytes may be zero.
unsafe impl Cell for Room {}

static ROOMS: Table<Room> = Table::new();
static FREE: List = List::new();

/// Memory for a `T`, the caller's alone; and what [`give_back`] must be told.
///
/// # Errors
/// ENOMEM, which a type that asks for more than a page's alignment always gets.
pub(crate) fn take<T>() -> Result<(NonNull<T>, Home), Errno> {
    let page = memory::page_size();
    if size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>() {
        let node = FREE.pop(&ROOMS).map_or_else(|| ROOMS.fresh(), Ok)?;
        let place = NonNull::new(node.0.get()).ok_or(Errno::ENOMEM)?;
        return Ok((place.cast(), Home::Cell(node)));
    }
    // A mapping is aligned to a page.
    if align_of::<T>() > page {
        return Err(Errno::ENOMEM);
    }
    let len = size_of::<T>().next_multiple_of(page);
    Ok((memory::map(len)?.cast(), Home::Mapping(len)))
}

/// Takes the memory back.
///
/// # Safety
/// It came from [`take`] with this home; nobody uses it any more.
pub(crate) unsafe fn give_back(place: *mut u8, home: Home) {
    match home {
        Home::Cell(node) => FREE.push(node),
        Home::Mapping(len) => {
            // SAFETY: a mapping of its own, which nobody uses any more.
            let unmapped = unsafe { memory::unmap(place, len) };
            debug_assert!(unmapped.is_ok());
        }
    }
}
