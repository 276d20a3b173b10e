//! The program as the kernel loaded it: its headers, where it lies, and its thread-local image
//! (the `PT_TLS` segment).
#![allow(unsafe_code, reason = "reads program headers")]

use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::limits;

/// Whether the main thread has a control block of ours.
///
/// | value | meaning |
/// |---|---|
/// | 0 | not initialized: no threads can be made |
/// | 1 | initialized |
///
/// Release and Acquire: the image before the word.
static INITIALIZED: AtomicU32 = AtomicU32::new(0);

/// Whether threads can be made: the main thread has a control block of this crate's.
pub(super) fn is_initialized() -> bool {
    INITIALIZED.load(Ordering::Acquire) == 1
}

/// Says that the main thread has its control block, made by what [`find`] returned.
pub(super) fn set_initialized() {
    INITIALIZED.store(1, Ordering::Release);
}

/// What a thread's TLS block starts as.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsImage {
    pub(super) start: *const u8,
    pub(super) image_len: usize,
    /// At least `image_len`; the rest is zero.
    pub(super) block_len: usize,
    /// A power of two.
    pub(super) align: usize,
    /// What the segment's address was linked as, modulo `align`: not 0 where a linker aligns it by
    /// no more than a page, as lld does.
    pub(super) align_remainder: usize,
    /// The stack protector's secret, from `AT_RANDOM`: the same in every thread.
    pub(super) canary: usize,
}

struct SyncCell(UnsafeCell<TlsImage>);
// SAFETY: written by `find` while the process has one thread and `INITIALIZED` is 0; only read after.
unsafe impl Sync for SyncCell {}

static IMAGE: SyncCell = SyncCell(UnsafeCell::new(TlsImage {
    start: ptr::null(),
    image_len: 0,
    block_len: 0,
    align: 1,
    align_remainder: 0,
    canary: 0,
}));

/// The image, once the main thread was initialized.
pub(super) fn get() -> Option<TlsImage> {
    // SAFETY: INITIALIZED (Acquire) was set after the image was written.
    is_initialized().then(|| unsafe { *IMAGE.0.get() })
}

/// Finds the image through the auxiliary vector and keeps it.
///
/// `None` without program headers.
pub(super) fn find() -> Option<TlsImage> {
    let address = limits::getauxval(libc::AT_PHDR)?;
    let count = limits::getauxval(libc::AT_PHNUM)?;
    let random = limits::getauxval(libc::AT_RANDOM).unwrap_or(0) as *const usize;
    // SAFETY: the kernel says that the program's headers are there.
    let headers = unsafe { core::slice::from_raw_parts(address as *const libc::Elf64_Phdr, count) };
    // SAFETY: as above.
    let load_bias = unsafe { load_bias(address, count) };
    let tls = headers.iter().find(|header| header.p_type == libc::PT_TLS);
    // A zero byte first keeps string functions from leaking the canary.
    let canary = if random.is_null() {
        0
    } else {
        // SAFETY: AT_RANDOM is the address of 16 random bytes.
        unsafe { random.read_unaligned() & !0xff }
    };
    let image = tls.map_or(
        TlsImage {
            start: ptr::NonNull::dangling().as_ptr(),
            image_len: 0,
            block_len: 0,
            align: 1,
            align_remainder: 0,
            canary,
        },
        |tls| TlsImage {
            start: load_bias.wrapping_add(tls.p_vaddr as usize) as *const u8,
            image_len: tls.p_filesz as usize,
            block_len: tls.p_memsz as usize,
            align: (tls.p_align as usize).max(1),
            align_remainder: tls.p_vaddr as usize & (tls.p_align as usize).max(1).wrapping_sub(1),
            canary,
        },
    );
    // SAFETY: one thread, not initialized yet (the contract of `init_main_thread`).
    unsafe { *IMAGE.0.get() = image };
    Some(image)
}

/// How far from where it was linked for the program was loaded; 0 unless it is a PIE.
///
/// `PT_PHDR` describes the headers themselves. A linker may leave it out of a program without an
/// interpreter; then the segment that begins with the ELF header serves, for the headers follow
/// that header at once in what every linker makes.
///
/// Used before relocation, so it must not need any: plain loops, no tables.
///
/// # Safety
/// There are `count` program headers at `address`.
pub(super) unsafe fn load_bias(address: usize, count: usize) -> usize {
    const ELF_HEADER: usize = size_of::<libc::Elf64_Ehdr>();
    let headers = address as *const libc::Elf64_Phdr;
    let mut load_bias = 0;
    let mut index = 0;
    while index < count {
        // SAFETY: inside the table.
        let header = unsafe { &*headers.wrapping_add(index) };
        if header.p_type == libc::PT_PHDR {
            return address.wrapping_sub(header.p_vaddr as usize);
        }
        if header.p_type == libc::PT_LOAD && header.p_offset == 0 {
            load_bias = address.wrapping_sub(ELF_HEADER + header.p_vaddr as usize);
        }
        index += 1;
    }
    load_bias
}
