//! Memory for suites that meet limits on memory, on musl: its malloc maps pages for most of what it gives, so
//! that at such a limit the test itself would have none, and end the process. glibc's malloc has a heap.
#![cfg(target_env = "musl")]
#![allow(unsafe_code, reason = "is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[global_allocator]
static HEAP: Heap = Heap {
    bytes: UnsafeCell::new(Bytes([0; SIZE])),
    used: AtomicUsize::new(0),
    free: [const { AtomicU64::new(0) }; CLASSES],
};

const SIZE: usize = 64 << 20;
/// Sizes are powers of two from 16 bytes to 8 MiB: what `/proc/self/maps` has at its limit.
const CLASSES: usize = 20;
const PAGE: usize = 4096;

#[repr(align(4096))]
struct Bytes(#[expect(dead_code, reason = "used by its address")] [u8; SIZE]);

/// Blocks that are given out once, and then kept in lists by their size. There is no lock, which the child
/// of a fork could find locked.
struct Heap {
    bytes: UnsafeCell<Bytes>,
    used: AtomicUsize,
    /// The first free block of each size: its place by 16 bytes plus one in the lower half, and how often the
    /// list was changed in the upper. A free block begins with the place of the next, or 0.
    free: [AtomicU64; CLASSES],
}

// SAFETY: blocks do not overlap, and each is one caller's at a time.
unsafe impl Sync for Heap {}

impl Heap {
    fn class_of(layout: Layout) -> Option<(usize, usize)> {
        let size = layout
            .size()
            .max(layout.align())
            .max(16)
            .checked_next_power_of_two()?;
        let class = size.trailing_zeros() as usize - 4;
        (class < CLASSES && layout.align() <= PAGE).then_some((class, size))
    }

    fn at(&self, place: u32) -> *mut u8 {
        // SAFETY: places are inside of the array.
        unsafe { self.bytes.get().cast::<u8>().add((place as usize - 1) * 16) }
    }

    fn next_of(&self, place: u32) -> &AtomicU32 {
        // SAFETY: a block of 16 bytes or more, whose first are read as a number here alone; a reader of one
        // that was taken meanwhile finds the list changed.
        unsafe { AtomicU32::from_ptr(self.at(place).cast()) }
    }

    fn take(&self, class: usize) -> Option<*mut u8> {
        let list = &self.free[class];
        let mut first = list.load(Ordering::Acquire);
        while first as u32 != 0 {
            let next = self.next_of(first as u32).load(Ordering::Relaxed);
            let changed = ((first >> 32) + 1) << 32 | u64::from(next);
            match list.compare_exchange_weak(first, changed, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(self.at(first as u32)),
                Err(now) => first = now,
            }
        }
        None
    }

    fn carve(&self, size: usize) -> Option<*mut u8> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let start = used.next_multiple_of(size.min(PAGE));
            let end = start.checked_add(size).filter(|end| *end <= SIZE)?;
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(self.at((start / 16 + 1) as u32)),
                Err(now) => used = now,
            }
        }
    }
}

// SAFETY: a block has its layout's size and alignment, and is given out again only when it was freed.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Self::class_of(layout) {
            Some((class, size)) => self.take(class).or_else(|| self.carve(size)),
            None => None,
        }
        // SAFETY: passed on.
        .unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let offset = block.addr().wrapping_sub(self.bytes.get().addr());
        let (Some((class, _)), true) = (Self::class_of(layout), offset < SIZE) else {
            // SAFETY: passed on: it is not of this heap.
            return unsafe { System.dealloc(block, layout) };
        };
        let place = (offset / 16 + 1) as u32;
        let list = &self.free[class];
        let mut first = list.load(Ordering::Relaxed);
        loop {
            self.next_of(place).store(first as u32, Ordering::Relaxed);
            let changed = ((first >> 32) + 1) << 32 | u64::from(place);
            match list.compare_exchange_weak(first, changed, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on; the block has that many bytes.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                ptr::write_bytes(block, 0, layout.size());
            }
            block
        }
    }
}
