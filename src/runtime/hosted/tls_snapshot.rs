//! Fresh thread-locals in static programs, where libc's and the program's are one block.
//!
//! In a dynamic program libc's thread-locals are a module of their own, which is left alone
//! (`tls_reset`). In a static glibc program they lie among the program's, and the module's image is
//! not what a new thread finds: libc has set some before. So each donor keeps a copy of the block
//! as it finds it, and at the end of each thread libc frees what hangs on its own (malloc's
//! cache and arena, the resolver's state), as it does at the end of a pthread; then the copy is
//! written back.
#![allow(unsafe_code, reason = "copies thread-local storage")]

use core::ops::ControlFlow;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use super::tcb::{INLINE_PACKET_MAX, Slot};
use super::{modules, symbols};
use crate::sys::arch::thread_pointer;

/// Length of the block in bytes: 0 in a dynamic program, `UNKNOWN` until a thread has looked.
static LEN: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = usize::MAX;
/// Where it begins, from the thread pointer; the same in every thread. Written before `LEN`.
static OFFSET: AtomicIsize = AtomicIsize::new(0);

/// Whether libc's thread-locals lie in the program's block.
pub(super) fn is_needed() -> bool {
    len() != 0
}

/// Bytes that a slot's copy takes, between its TCB and the space for an inline packet.
pub(super) fn storage_size() -> usize {
    len().next_multiple_of(64)
}

fn len() -> usize {
    // Acquire: the offset that goes with it.
    match LEN.load(Ordering::Acquire) {
        UNKNOWN => {
            // One field of the block that is found: offset and length.
            let mut found = (0isize, 0usize);
            modules::for_each_module(|info| match find_block(info) {
                Some(block) => {
                    found = block;
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            });
            OFFSET.store(found.0, Ordering::Relaxed);
            LEN.store(found.1, Ordering::Release);
            found.1
        }
        len => len,
    }
}

/// The block of a module that holds both this function and errno: its offset and its length.
fn find_block(info: &libc::dl_phdr_info) -> Option<(isize, usize)> {
    let own = find_block as *const () as usize;
    let (block, len) = modules::block_of(info)?;
    // SAFETY: a pure look-up.
    let errno = unsafe { libc::__errno_location() } as usize;
    let is_it =
        (block as usize..block as usize + len).contains(&errno) && modules::is_in_module(info, own);
    is_it.then(|| (block as isize - thread_pointer() as isize, len))
}

/// The place for a slot's copy.
fn storage(slot: Slot) -> *mut u8 {
    let (base, len) = slot.region().stack();
    base.wrapping_add(len - INLINE_PACKET_MAX - storage_size())
}

/// The calling thread's block.
fn block() -> *mut u8 {
    thread_pointer().wrapping_offset(OFFSET.load(Ordering::Relaxed))
}

/// Keeps what the calling thread, a donor that has done nothing yet, found.
///
/// # Safety
/// The slot is the calling donor's, and libc does not have the copy's memory.
pub(super) unsafe fn capture(slot: Slot) {
    // SAFETY: the block is the calling thread's; the place is the slot's.
    unsafe { ptr::copy_nonoverlapping(block(), storage(slot), len()) };
}

/// As [`restore`], for a thread-local storage that a task left without its exit path; `is_intact`: not
/// amid any instruction.
///
/// # Safety
/// As [`restore`].
pub(super) unsafe fn renew(slot: Slot, is_intact: bool) {
    if is_intact {
        // SAFETY: passed on.
        unsafe { restore(slot) };
    } else {
        // SAFETY: the copy and the block are the slot's.
        unsafe { ptr::copy_nonoverlapping(storage(slot), block(), len()) };
    }
}

/// Has libc free what hangs on the calling thread's block, and writes the copy back.
///
/// # Safety
/// The slot is the calling thread's and has a copy; no code that uses thread-locals follows.
pub(super) unsafe fn restore(slot: Slot) {
    // SAFETY: the type of `__libc_thread_freeres`; glibc calls it where no user code follows.
    unsafe {
        if let Some(release) = symbols::function::<extern "C" fn()>(c"__libc_thread_freeres") {
            release();
        }
        ptr::copy_nonoverlapping(storage(slot), block(), len());
    }
}
