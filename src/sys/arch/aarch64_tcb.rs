//! AArch64, programs without libc: what lies around a thread pointer (variant I of the TLS ABI).
//!
//! ```text
//! | thread data | thread pointer -> 16 bytes | padding to p_align | TLS block |
//! ```
#![allow(
    unsafe_code,
    reason = "writes the ABI's part of a thread control block"
)]

use super::types::TlsSegment;

/// Bytes that the ABI's part takes at the thread pointer: two words.
pub(crate) const TCB_HEADER_LEN: usize = 16;

/// Thread pointer and highest address for frames, for a TCB with `data_len` bytes of thread data
/// that ends at or below `end`.
pub(crate) fn place_tcb(end: usize, segment: &TlsSegment, data_len: usize) -> (usize, usize) {
    let above = tls_block_offset(segment) as usize + segment.len;
    let pointer = (end - above) & !(segment.align.max(16) - 1);
    (pointer, (pointer - data_len) & !0xf)
}

/// Distance from the thread pointer to the block's first byte, which the linker used for its
/// offsets: the smallest above that leaves this byte `align_remainder` beyond a multiple of
/// `align`, with the header in between.
pub(crate) fn tls_block_offset(segment: &TlsSegment) -> isize {
    let padding = segment.align_remainder.wrapping_sub(TCB_HEADER_LEN) & (segment.align - 1);
    (TCB_HEADER_LEN + padding) as isize
}

/// Distance from the thread pointer to thread data of that length.
pub(crate) const fn thread_data_offset(len: usize) -> isize {
    -(len as isize)
}

/// Writes the ABI's part of a TCB. The canary is not kept here: AArch64 code takes it from a
/// global, `__stack_chk_guard`.
///
/// # Safety
/// `pointer` came from [`place_tcb`]; [`TCB_HEADER_LEN`] bytes at it are writable, and no other
/// thread accesses them.
pub(crate) unsafe fn write_tcb_header(pointer: *mut u8, _canary: usize) {
    // SAFETY: writable, as the caller vouches, and aligned: `place_tcb` aligned it to 16.
    unsafe { pointer.cast::<[usize; 2]>().write([0; 2]) };
}
