//! The loaded modules and the parts of their ELF images, read so that a fork at that instant does no
//! harm.
//!
//! `dl_iterate_phdr` holds a lock of the loader that glibc's fork does not put in order: a child
//! that was forked while another thread held it waits for it without end, in its first `dlopen`.
//! Therefore a fork waits until no thread of this crate is reading, and a thread that wants to read
//! waits until no fork is under way; each for at most 100 ms. The waits are bounded because a fork
//! may come out of a visitor of the program's, for which the reader waits, and a program's own fork
//! handler may wait for a thread that asks. Threads that end do not ask where `tls_images` serves
//! them.
#![allow(unsafe_code, reason = "asks the dynamic linker")]

use core::ffi::c_void;
use core::ops::ControlFlow;
use core::ptr;
use core::time::Duration;

use super::{loader_lock, symbols};
use crate::runtime::loader_gate::LoaderGate;

static GATE: LoaderGate = LoaderGate::new();

/// How long one side waits for the other: a hundred times what either needs.
const MOMENT: Duration = Duration::from_millis(100);

/// Calls `visit` for each module until it breaks off; no module comes or goes meanwhile. For none in a
/// forked child that cannot ask ([`loader_lock`]).
pub(super) fn for_each_module(visit: impl FnMut(&libc::dl_phdr_info) -> ControlFlow<()>) {
    if loader_lock::is_lost() {
        return;
    }
    // Where a fork is still under way after that, it waits for user code.
    GATE.enter(Some(MOMENT));
    ask_loader(visit);
    GATE.leave();
}

fn ask_loader<F: FnMut(&libc::dl_phdr_info) -> ControlFlow<()>>(mut visit: F) {
    unsafe extern "C" fn call<F: FnMut(&libc::dl_phdr_info) -> ControlFlow<()>>(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        data: *mut c_void,
    ) -> i32 {
        // SAFETY: the loader passes a valid description; the data is `visit` below.
        let (info, visit) = unsafe { (&*info, &mut *data.cast::<F>()) };
        i32::from(visit(info).is_break())
    }
    // SAFETY: the data is the closure that `call::<F>` takes, and outlives the walk.
    unsafe { libc::dl_iterate_phdr(Some(call::<F>), ptr::from_mut(&mut visit).cast()) };
}

/// As [`for_each_module`], but false, and nothing called, where a fork is under way, or was and left
/// the loader's lock to nobody.
pub(super) fn try_each_module(visit: impl FnMut(&libc::dl_phdr_info) -> ControlFlow<()>) -> bool {
    let entered = !loader_lock::is_lost() && GATE.try_enter();
    if entered {
        ask_loader(visit);
        GATE.leave();
    }
    entered
}

/// Before a fork: announces it and waits for readers.
pub(super) fn lock_before_fork() {
    GATE.begin_fork(Some(MOMENT));
}

/// After a fork, in the parent.
pub(super) fn unlock_in_parent() {
    GATE.end_fork();
}

/// After a fork, in the child, whose one thread neither reads nor forks.
pub(super) fn reset_in_child() {
    GATE.reset();
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
    let mut sum = 0usize;
    for_each_module(|info| {
        if let Some(tls) = tls_header(info) {
            sum = sum.saturating_add((tls.p_memsz + tls.p_align) as usize);
        }
        ControlFlow::Continue(())
    });
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
/// in, until it breaks off: libc, or in a static program the program itself.
pub(super) fn for_each_libc_data_segment(mut visit: impl FnMut(usize, usize) -> ControlFlow<()>) {
    let inside = symbols::get(c"pthread_key_create") as usize;
    let inside = if inside == 0 {
        libc::pthread_key_create as *const () as usize
    } else {
        inside
    };
    for_each_module(|info| {
        if !is_in_module(info, inside) {
            return ControlFlow::Continue(());
        }
        for header in load_segments(info).filter(|header| header.p_flags & libc::PF_W != 0) {
            let range = segment_range(info, header);
            visit(range.start, range.end)?;
        }
        // No other module has it.
        ControlFlow::Break(())
    });
}
