//! Thread-locals: their destructors at the end of a thread, and fresh ones for the next.
#![allow(unsafe_code, reason = "writes thread-local storage images")]

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use super::{libc_layout, libc_state, modules, symbols, tls_images, tls_snapshot, unreported_tls};
use crate::runtime::Slot;

/// glibc's runner of C++ and Rust thread-local destructors; musl has none and needs none.
pub(super) fn find_destructors() -> Option<unsafe extern "C" fn()> {
    // SAFETY: the type of `__call_tls_dtors` (stdlib/cxa_thread_atexit_impl.c).
    unsafe { symbols::function(c"__call_tls_dtors") }
}

/// Whether libc has a list of such destructors that we cannot empty: the next thread on a TCB
/// would inherit what is on it.
pub(super) fn keeps_hidden_destructors() -> bool {
    find_destructors().is_none() && !symbols::get(c"__cxa_thread_atexit_impl").is_null()
}

/// Runs the destructors of the calling thread's thread-locals.
///
/// # Safety
/// The thread's closure has ended.
pub(super) unsafe fn run_destructors() {
    if let Some(call) = libc_layout::try_get().and_then(|host| host.layout.call_tls_destructors) {
        // SAFETY: runs what this thread registered, each once.
        unsafe { call() };
    }
}

/// Gives the calling thread the process's locale, as a new thread has it.
///
/// At the start of a thread, not at the end of the one before: libc keeps pointers into the global
/// locale in its thread-locals, and `setlocale` in between moves what they point to.
pub(super) fn use_global_locale() {
    // SAFETY: a public function on the calling thread.
    unsafe { libc::uselocale(LC_GLOBAL_LOCALE) };
}

/// Puts the calling thread's thread-locals back to what a new thread would find.
///
/// Of libc's own only what a program can see ([`libc_state`]): its allocator's per-thread cache
/// stays warm for the next thread, which a pthread loses at its end.
///
/// # Safety
/// The slot is the calling thread's. No code that uses thread-locals of other modules runs on this
/// thread any more, signal handlers included.
pub(super) unsafe fn reset_tls(slot: Slot) {
    // Before the images: these functions may free memory by an allocator that has thread-locals.
    // SAFETY: passed on.
    unsafe { libc_state::reset() };
    if tls_snapshot::is_needed() {
        // SAFETY: the donor took one.
        unsafe { tls_snapshot::restore(slot) };
    } else if !libc_layout::try_get().is_some_and(|host| host.layout.can_reset_tls) {
        // A sanitizer keeps its own in there.
    } else if tls_images::is_used() {
        // SAFETY: passed on; the field is the calling thread's to write.
        unsafe {
            if !tls_images::refresh(slot) {
                (&raw mut (*slot.tcb()).unrefreshed).write(true);
            }
        }
    } else {
        let mut unreported = unreported_tls::UnreportedBlocks::new(slot);
        modules::for_each_module(reset_module, ptr::from_mut(&mut unreported).cast());
    }
}

const LC_GLOBAL_LOCALE: libc::locale_t = usize::MAX as libc::locale_t;

/// Writes one module's initial image back; the loader's lock keeps the module loaded meanwhile.
unsafe extern "C" fn reset_module(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> i32 {
    // SAFETY: the loader passes a valid description; the data is `unreported` above.
    let (info, unreported) = unsafe {
        (
            &*info,
            &mut *data.cast::<unreported_tls::UnreportedBlocks>(),
        )
    };
    let Some(tls) = tls_header(info) else {
        return 0;
    };
    match block_of(info) {
        Some((block, len)) => {
            // SAFETY: a pure look-up.
            let errno = unsafe { libc::__errno_location() } as usize;
            if !(block as usize..block as usize + len).contains(&errno) {
                // SAFETY: the block is this thread's copy of the module's segment.
                unsafe { write_image(info, tls, block) };
            }
        }
        None => {
            // SAFETY: this is a visitor of the walk that `unreported` was made for.
            if let Some(block) = unsafe { unreported.find(info, tls) } {
                // SAFETY: as above.
                unsafe { write_image_vs_loader(info, tls, block) };
            }
        }
    }
    0
}

/// Writes the image of a module that the loader may be about to bring.
///
/// The loader relocates the image, then writes it into every thread's block, and only then can
/// this thread use it. A write of ours that comes after the loader's, but with what was read before
/// the relocation, must not stay. So the block is compared afterwards. Of each word: if the loader
/// wrote it last, it is right. If this thread did, the relocation was before the loader's write,
/// thus before ours, and the fence keeps the comparison behind ours: it sees the relocated image.
///
/// # Safety
/// As [`write_image`]; only the loader may write to the block meanwhile.
unsafe fn write_image_vs_loader(info: &libc::dl_phdr_info, tls: &libc::Elf64_Phdr, block: *mut u8) {
    loop {
        // SAFETY: passed on.
        unsafe { write_image(info, tls, block) };
        fence(Ordering::SeqCst);
        // SAFETY: passed on.
        if unsafe { matches_image(info, tls, block) } {
            break;
        }
    }
}

/// # Safety
/// `block` is the calling thread's copy of the module's segment, used by nobody, `p_memsz` bytes
/// long, of which the first `p_filesz` come from the image; the module stays loaded.
unsafe fn write_image(info: &libc::dl_phdr_info, tls: &libc::Elf64_Phdr, block: *mut u8) {
    let (image_len, block_len) = (tls.p_filesz as usize, tls.p_memsz as usize);
    // SAFETY: as the caller vouches.
    unsafe {
        ptr::copy_nonoverlapping(image(info, tls), block, image_len);
        ptr::write_bytes(block.add(image_len), 0, block_len - image_len);
    }
}

/// # Safety
/// As [`write_image`].
unsafe fn matches_image(
    info: &libc::dl_phdr_info,
    tls: &libc::Elf64_Phdr,
    block: *const u8,
) -> bool {
    let image = image(info, tls);
    // Volatile: the loader may write both meanwhile.
    // SAFETY: as the caller vouches.
    (0..tls.p_filesz as usize).all(|index| unsafe {
        image.add(index).read_volatile() == block.add(index).read_volatile()
    })
}

/// What the module's thread-locals are at first.
pub(super) fn image(info: &libc::dl_phdr_info, tls: &libc::Elf64_Phdr) -> *const u8 {
    (info.dlpi_addr as usize).wrapping_add(tls.p_vaddr as usize) as *const u8
}

fn headers(info: &libc::dl_phdr_info) -> &[libc::Elf64_Phdr] {
    // SAFETY: the headers are the module's, which stays for as long as its description is valid.
    unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) }
}

pub(super) fn tls_header(info: &libc::dl_phdr_info) -> Option<&libc::Elf64_Phdr> {
    headers(info)
        .iter()
        .find(|header| header.p_type == libc::PT_TLS)
}

/// Bytes of the thread-locals of all modules that are loaded now, each aligned as it asks.
pub(super) fn size_of_all() -> usize {
    unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _: usize, sum: *mut c_void) -> i32 {
        // SAFETY: the loader passes a valid description; the data is `sum` below.
        let (info, sum) = unsafe { (&*info, &mut *sum.cast::<usize>()) };
        if let Some(tls) = tls_header(info) {
            *sum = sum.saturating_add((tls.p_memsz + tls.p_align) as usize);
        }
        0
    }
    let mut sum = 0usize;
    modules::for_each_module(add, ptr::from_mut(&mut sum).cast());
    sum
}

/// Address and length of the calling thread's block of a module, if it has one.
pub(super) fn block_of(info: &libc::dl_phdr_info) -> Option<(*mut u8, usize)> {
    let block = info.dlpi_tls_data.cast::<u8>();
    let tls = tls_header(info).filter(|_| !block.is_null())?;
    Some((block, tls.p_memsz as usize))
}

/// Whether the address lies in the module.
pub(super) fn is_in_module(info: &libc::dl_phdr_info, address: usize) -> bool {
    load_segments(info).any(|header| segment_range(info, header).contains(&address))
}

fn load_segments(info: &libc::dl_phdr_info) -> impl Iterator<Item = &libc::Elf64_Phdr> {
    headers(info)
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD)
}

fn segment_range(info: &libc::dl_phdr_info, header: &libc::Elf64_Phdr) -> core::ops::Range<usize> {
    let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
    start..start + header.p_memsz as usize
}

/// Calls `visit(start, end)` for each writable segment of the module that `pthread_key_create` is
/// in: libc, or in a static program the program itself.
pub(super) fn for_each_libc_data_segment(mut visit: impl FnMut(usize, usize)) {
    let mut visitor: &mut dyn FnMut(usize, usize) = &mut visit;
    modules::for_each_module(visit_if_libc, ptr::from_mut(&mut visitor).cast());
}

unsafe extern "C" fn visit_if_libc(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> i32 {
    // SAFETY: the loader passes a valid description; the data is `visitor` above.
    let (info, visit) = unsafe { (&*info, &mut *data.cast::<&mut dyn FnMut(usize, usize)>()) };
    let inside = symbols::get(c"pthread_key_create") as usize;
    let inside = if inside == 0 {
        libc::pthread_key_create as *const () as usize
    } else {
        inside
    };
    if is_in_module(info, inside) {
        for header in load_segments(info).filter(|header| header.p_flags & libc::PF_W != 0) {
            let range = segment_range(info, header);
            visit(range.start, range.end);
        }
    }
    0
}
