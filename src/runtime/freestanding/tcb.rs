//! The thread control block of programs without libc: the program's TLS block, what the ABI has at
//! the thread pointer, and the words that this crate keeps for each thread.
//!
//! `sys::arch` places the three around the thread pointer, as the architecture's TLS ABI says.
#![allow(unsafe_code, reason = "writes control blocks")]

use core::ptr;
#[cfg(feature = "panic-thread")]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{AtomicI32, AtomicPtr};

use super::tls_image::{self, TlsImage};
use crate::arena::{ArenaEntry, Zeroable};
use crate::runtime::record::ThreadInner;
use crate::stack::cache::Cache;
use crate::stack::slot::SlotRef;
use crate::sys::arch::{self, TlsSegment};

/// A slot of the freestanding runtime.
pub(super) type Slot = SlotRef<Tcb>;

/// What `create_tcb` leaves on a slot.
///
/// Invariants of such a TCB:
/// * OWNTCB-1: `thread_pointer` and the TLS block around it lie at the top of the slot's stack.
/// * OWNTCB-2: Nothing above `stack_top` is used by frames.
#[derive(Debug)]
pub(crate) struct Tcb {
    pub(super) thread_pointer: *mut u8,
    pub(super) stack_top: usize,
    /// Bytes of stack that keep what threads leave in them (`idle_memory`): all or none.
    pub(super) kept: usize,
}

// SAFETY: zero is null and 0; access follows SLOT-1 of `stack::slot`.
unsafe impl Zeroable for Tcb {}
// SAFETY: the addresses are used by the slot's holder (SLOT-1).
unsafe impl Sync for Tcb {}

pub(super) static CACHE: Cache<Tcb> = Cache::new();

/// What this crate keeps for each thread.
#[repr(C, align(16))]
#[derive(Default)]
pub(super) struct ThreadData {
    /// The kernel stores it before the thread runs.
    pub(super) tid: AtomicI32,
    /// RECORD-3 of `runtime::record`.
    pub(super) record: AtomicPtr<ArenaEntry<ThreadInner>>,
    /// The packet whose closure runs; null before and after. Read by the thread's panic handler.
    #[cfg(feature = "panic-thread")]
    pub(super) running: AtomicPtr<()>,
    /// Whether the thread reports a panic.
    #[cfg(feature = "panic-thread")]
    pub(super) panicking: AtomicBool,
}

/// What the TLS ABI places the program's block by.
fn segment(image: &TlsImage) -> TlsSegment {
    TlsSegment {
        len: image.block_len,
        align: image.align,
        align_remainder: image.align_remainder,
    }
}

/// Bytes below the end of a stack that a TCB takes at most.
pub(super) fn size(image: &TlsImage) -> usize {
    image.block_len + 2 * image.align.max(16) + arch::TCB_HEADER_LEN + size_of::<ThreadData>()
}

/// Thread pointer and highest address for frames, for a TCB that ends at or below `end`.
pub(super) fn layout_tcb(end: usize, image: &TlsImage) -> (usize, usize) {
    arch::place_tcb(end, &segment(image), size_of::<ThreadData>())
}

fn block(pointer: *mut u8, image: &TlsImage) -> *mut u8 {
    pointer.wrapping_offset(arch::tls_block_offset(&segment(image)))
}

fn thread_data(pointer: *mut u8) -> *mut ThreadData {
    pointer
        .wrapping_offset(arch::thread_data_offset(size_of::<ThreadData>()))
        .cast()
}

/// The control words of the thread with this thread pointer.
///
/// # Safety
/// `pointer` came from [`layout_tcb`] and [`write`](fn@write) was called for it; the reference is
/// not used once the slot is unmapped.
pub(super) unsafe fn data_of(pointer: *mut u8) -> &'static ThreadData {
    // SAFETY: as the caller vouches; the words are atomics.
    unsafe { &*thread_data(pointer) }
}

/// The calling thread's control words; `None` before the main thread was initialized.
pub(super) fn current_data() -> Option<&'static ThreadData> {
    // SAFETY: since then every thread has a thread pointer of this runtime's.
    tls_image::is_initialized().then(|| unsafe { data_of(arch::thread_pointer()) })
}

/// Writes a fresh TLS block and control words.
///
/// # Safety
/// `pointer` came from [`layout_tcb`] with this image; the memory is writable and not in use.
pub(super) unsafe fn write(pointer: *mut u8, image: &TlsImage) {
    // SAFETY: passed on.
    unsafe {
        reset_tls(pointer, image);
        thread_data(pointer).write(ThreadData::default());
        arch::write_tcb_header(pointer, image.canary);
    }
}

/// Writes a fresh TLS block.
///
/// # Safety
/// As [`write`](fn@write), but for the control words, which may be in use.
pub(super) unsafe fn reset_tls(pointer: *mut u8, image: &TlsImage) {
    let block = block(pointer, image);
    // SAFETY: the caller vouches for the memory; the image is part of the program.
    unsafe {
        ptr::copy_nonoverlapping(image.start, block, image.image_len);
        ptr::write_bytes(
            block.add(image.image_len),
            0,
            image.block_len - image.image_len,
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::primitive::cases::Random;

    /// Block, header and data lie apart, below `end`, in the bytes that `size` counts; the block as its
    /// segment asks.
    #[test]
    fn the_parts_of_any_control_block_lie_apart_and_in_their_bytes() {
        for seed in 0..50_000 {
            let mut random = Random(seed);
            let align = 1_usize << random.below(21);
            let shift = 40 + random.below(24);
            let len = random.next() as usize >> shift;
            let image = TlsImage {
                start: ptr::null(),
                image_len: 0,
                block_len: len,
                align,
                align_remainder: random.below(align),
                canary: 0,
            };
            let end = 0x7fff_0000_0000 + random.below(1 << 30) * 16;
            let (pointer, top) = layout_tcb(end, &image);
            let place = pointer as *mut u8;
            let begin = block(place, &image).addr();
            let data = thread_data(place).addr();
            let mut parts = [
                (begin, image.block_len),
                (pointer, arch::TCB_HEADER_LEN),
                (data, size_of::<ThreadData>()),
            ];
            assert_eq!(begin % align, image.align_remainder, "seed {seed}");
            assert!(data.is_multiple_of(align_of::<ThreadData>()), "seed {seed}");
            assert!(
                top.is_multiple_of(16) && end - top <= size(&image),
                "seed {seed}"
            );
            parts.sort_unstable();
            let mut below = top;
            for (begin, len) in parts {
                assert!(begin >= below, "seed {seed}: {parts:x?} above {top:x}");
                below = begin + len;
            }
            assert!(below <= end, "seed {seed}: {parts:x?} below {end:x}");
        }
    }
}
