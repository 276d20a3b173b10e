//! x86-64, programs without libc: what lies around a thread pointer (variant II of the TLS ABI).
//!
//! ```text
//! | TLS block | thread pointer -> header: self, ..., canary at 0x28 | thread data |
//! ```
#![allow(
    unsafe_code,
    reason = "writes the ABI's part of a thread control block"
)]

use super::types::TlsSegment;

/// What the ABI has at the thread pointer: a pointer to itself first, and the stack protector's
/// canary at 0x28, where compilers look for it.
#[repr(C)]
struct Header {
    self_ptr: *mut u8,
    reserved: [usize; 4],
    canary: usize,
    pointer_guard: usize,
}

/// Bytes that the ABI's part takes at the thread pointer.
pub(crate) const TCB_HEADER_LEN: usize = size_of::<Header>().next_multiple_of(16);

/// Thread pointer and highest address for frames, for a TCB with `data_len` bytes of thread data
/// that ends at or below `end`.
pub(crate) fn place_tcb(end: usize, segment: &TlsSegment, data_len: usize) -> (usize, usize) {
    // The block ends at the thread pointer, which is aligned as the segment asks: then an offset
    // from it is aligned as it was in the image.
    let pointer = (end - TCB_HEADER_LEN - data_len) & !(segment.align.max(16) - 1);
    let block = pointer.wrapping_add_signed(tls_block_offset(segment));
    (pointer, block & !0xf)
}

/// Distance from the thread pointer to the block's first byte, which the linker used for its
/// offsets: the smallest below that leaves this byte `align_remainder` beyond a multiple of
/// `align`, with the block in between.
pub(crate) fn tls_block_offset(segment: &TlsSegment) -> isize {
    let end = segment.align_remainder + segment.len;
    -((segment.len + (end.wrapping_neg() & (segment.align - 1))) as isize)
}

/// Distance from the thread pointer to thread data of that length.
pub(crate) const fn thread_data_offset(_len: usize) -> isize {
    TCB_HEADER_LEN as isize
}

/// Writes the ABI's part of a TCB.
///
/// # Safety
/// `pointer` came from [`place_tcb`]; [`TCB_HEADER_LEN`] bytes at it are writable, and no other
/// thread accesses them.
pub(crate) unsafe fn write_tcb_header(pointer: *mut u8, canary: usize) {
    let header = Header {
        self_ptr: pointer,
        reserved: [0; 4],
        canary,
        pointer_guard: 0,
    };
    // SAFETY: writable, as the caller vouches, and aligned: `place_tcb` aligned it to 16.
    unsafe { pointer.cast::<Header>().write(header) };
}
