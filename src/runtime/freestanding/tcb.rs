//! The layout around a thread pointer: the program's TLS block where the architecture's ABI wants
//! it, and the words this crate keeps for each thread.
//!
//! ```text
//! x86-64 (variant II):  | TLS block | thread pointer → Header: self, ..., canary at 0x28 | ThreadData |
//! AArch64 (variant I):  | ThreadData | thread pointer → 16 bytes | padding to p_align | TLS block |
//! ```
#![allow(unsafe_code, reason = "writes control blocks")]

use core::ptr;
#[cfg(feature = "panic-thread")]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::{AtomicI32, AtomicPtr};

use super::tls_image::TlsImage;

/// What this crate keeps for each thread.
#[repr(C, align(16))]
#[derive(Debug, Default)]
pub(super) struct ThreadData {
    /// The kernel stores it before the thread runs.
    pub(super) tid: AtomicI32,
    pub(super) record: AtomicPtr<()>,
    /// The packet whose closure runs; null before and after. Read by the thread's panic handler.
    #[cfg(feature = "panic-thread")]
    pub(super) running: AtomicPtr<()>,
    /// Whether the thread reports a panic.
    #[cfg(feature = "panic-thread")]
    pub(super) panicking: AtomicBool,
}

/// What the ABI has at the thread pointer of x86-64: a pointer to itself first, and the
/// stack-protector's canary at 0x28, where compilers look for it.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
struct Header {
    self_ptr: *mut u8,
    reserved: [usize; 4],
    canary: usize,
    pointer_guard: usize,
}

#[cfg(target_arch = "x86_64")]
const HEADER: usize = size_of::<Header>().next_multiple_of(16);
#[cfg(target_arch = "aarch64")]
const HEADER: usize = 16;

/// Bytes below the end of a stack that all this takes at most.
pub(super) fn size(image: &TlsImage) -> usize {
    image.block_len + 2 * image.align.max(16) + HEADER + size_of::<ThreadData>()
}

/// Thread pointer and highest address for frames, for a control block that ends at or below `end`.
#[cfg(target_arch = "x86_64")]
pub(super) fn layout_tcb(end: usize, image: &TlsImage) -> (usize, usize) {
    // The block ends at the thread pointer, which is aligned as the segment asks: then an offset
    // from it is aligned as it was in the image.
    let pointer = (end - HEADER - size_of::<ThreadData>()) & !(image.align.max(16) - 1);
    (pointer, (pointer - block_offset(image)) & !0xf)
}

/// Thread pointer and highest address for frames, for a control block that ends at or below `end`.
#[cfg(target_arch = "aarch64")]
pub(super) fn layout_tcb(end: usize, image: &TlsImage) -> (usize, usize) {
    let pointer = (end - block_offset(image) - image.block_len) & !(image.align.max(16) - 1);
    (pointer, (pointer - size_of::<ThreadData>()) & !0xf)
}

/// Distance between the thread pointer and the block's first byte: what the linker used for its
/// offsets. Below on x86-64, above on AArch64. The smallest that leaves the first byte
/// `align_remainder` beyond a multiple of `align`, and has room for the block, or the header, in
/// between.
#[cfg(target_arch = "x86_64")]
fn block_offset(image: &TlsImage) -> usize {
    let end = image.align_remainder + image.block_len;
    image.block_len + (end.wrapping_neg() & (image.align - 1))
}

/// Distance between the thread pointer and the block's first byte.
#[cfg(target_arch = "aarch64")]
fn block_offset(image: &TlsImage) -> usize {
    HEADER + (image.align_remainder.wrapping_sub(HEADER) & (image.align - 1))
}

#[cfg(target_arch = "x86_64")]
fn block(pointer: *mut u8, image: &TlsImage) -> *mut u8 {
    pointer.wrapping_sub(block_offset(image))
}

#[cfg(target_arch = "aarch64")]
fn block(pointer: *mut u8, image: &TlsImage) -> *mut u8 {
    pointer.wrapping_add(block_offset(image))
}

#[cfg(target_arch = "x86_64")]
fn thread_data(pointer: *mut u8) -> *mut ThreadData {
    pointer.wrapping_add(HEADER).cast()
}

#[cfg(target_arch = "aarch64")]
fn thread_data(pointer: *mut u8) -> *mut ThreadData {
    pointer.wrapping_sub(size_of::<ThreadData>()).cast()
}

/// The control words of the thread with this thread pointer.
pub(super) fn data_of(pointer: *mut u8) -> &'static ThreadData {
    // SAFETY: every thread pointer of this runtime was made by `layout_tcb` and written by `write`;
    // the words are atomics in memory that outlives the threads that use them.
    unsafe { &*thread_data(pointer) }
}

/// Writes a fresh TLS block and control words.
///
/// # Safety
/// `pointer` came from [`layout_tcb`] with this image; the memory is writable and nobody uses it.
pub(super) unsafe fn write(pointer: *mut u8, image: &TlsImage) {
    // SAFETY: passed on.
    unsafe {
        reset_tls(pointer, image);
        thread_data(pointer).write(ThreadData::default());
        write_header(pointer, image);
    }
}

/// Writes a fresh TLS block.
///
/// # Safety
/// As [`write`], but for the control words, which may be in use.
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

#[cfg(target_arch = "x86_64")]
unsafe fn write_header(pointer: *mut u8, image: &TlsImage) {
    let header = Header {
        self_ptr: pointer,
        reserved: [0; 4],
        canary: image.canary,
        pointer_guard: 0,
    };
    // SAFETY: as in `write`.
    unsafe { pointer.cast::<Header>().write(header) };
}

/// AArch64 code takes its canary from a global, `__stack_chk_guard`: nothing is kept here.
#[cfg(target_arch = "aarch64")]
unsafe fn write_header(pointer: *mut u8, _image: &TlsImage) {
    // SAFETY: as in `write`.
    unsafe { pointer.cast::<[usize; 2]>().write([0; 2]) };
}
