//! Thread-locals: their destructors at the end of a thread, and fresh ones for the next.
#![allow(unsafe_code, reason = "writes thread-local storage images")]

use core::ops::ControlFlow;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use super::modules::{block_of, image, tls_header};
use super::tcb::Slot;
use super::{libc_layout, libc_state, modules, tls_images, tls_snapshot, unreported_tls};

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
    unsafe { libc_state::reset(libc_layout::try_get().map(|host| &host.layout.libc_state)) };
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
        modules::for_each_module(|info| {
            // SAFETY: passed on; this is a visitor of the walk that `unreported` was made for.
            unsafe { reset_module(info, &mut unreported) };
            ControlFlow::Continue(())
        });
    }
}

const LC_GLOBAL_LOCALE: libc::locale_t = usize::MAX as libc::locale_t;

/// Writes one module's initial image back; the loader's lock keeps the module loaded meanwhile.
///
/// # Safety
/// As [`reset_tls`]; called in the one walk of [`modules::for_each_module`] that `unreported` was made for.
unsafe fn reset_module(
    info: &libc::dl_phdr_info,
    unreported: &mut unreported_tls::UnreportedBlocks,
) {
    let Some(tls) = tls_header(info) else {
        return;
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
            // SAFETY: as the caller vouches.
            if let Some(block) = unsafe { unreported.find(info, tls) } {
                // SAFETY: as above.
                unsafe { write_image_vs_loader(info, tls, block) };
            }
        }
    }
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
/// `block` is the calling thread's copy of the module's segment, not in use, `p_memsz` bytes
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::cases::cases;
    use core::mem;
    use std::vec::Vec;

    /// Images of any size in blocks of any size: the block is the image and zeroes, what lies beyond is
    /// as it was, and a block that differs in any byte of the image is seen to.
    #[test]
    fn any_image_is_put_back_whole_and_nothing_else() {
        cases(2_000, |random| {
            let image: Vec<u8> = (0..random.below(300))
                .map(|_| random.next() as u8)
                .collect();
            let beyond = random.below(300);
            let block_len = image.len() + random.of(&[0, 1, beyond]);
            let margin = random.below(40);
            let mut memory = std::vec![0xa5u8; margin + block_len + 16];
            // SAFETY: all zeroes are valid ones, without headers.
            let (mut info, mut tls): (libc::dl_phdr_info, libc::Elf64_Phdr) =
                unsafe { (mem::zeroed(), mem::zeroed()) };
            // Programs are loaded anywhere: address and offset together are the image's.
            tls.p_vaddr = random.next();
            info.dlpi_addr = (image.as_ptr() as u64).wrapping_sub(tls.p_vaddr);
            (tls.p_filesz, tls.p_memsz) = (image.len() as u64, block_len as u64);
            let block = memory[margin..].as_mut_ptr();
            // SAFETY: the block is `block_len` bytes long, and the image as long as the header says.
            unsafe { write_image(&info, &tls, block) };
            assert!(memory[..margin].iter().all(|byte| *byte == 0xa5));
            assert_eq!(memory[margin..][..image.len()], image);
            let rest = &memory[margin + image.len()..];
            let zeroes = block_len - image.len();
            assert!(rest[..zeroes].iter().all(|byte| *byte == 0));
            assert!(rest[zeroes..].iter().all(|byte| *byte == 0xa5));
            let block = memory[margin..].as_mut_ptr();
            // SAFETY: as above.
            unsafe {
                assert!(matches_image(&info, &tls, block));
                if !image.is_empty() {
                    *block.add(random.below(image.len())) ^= 1;
                    assert!(!matches_image(&info, &tls, block));
                }
            }
        });
    }
}
