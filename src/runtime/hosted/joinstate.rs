//! `joinstate` of glibc's control block: whether libc takes a thread to have ended.
//!
//! Since 2.43 it is this word, and not the tid, that glibc has the kernel clear at a thread's end
//! (nptl/pthread_create.c). `pthread_join` waits for the 0, and the functions for clocks and scheduling
//! say ESRCH of a thread whose word is 0. Older versions have no such word, and nothing is done here.
//!
//! | word | set by | meaning |
//! |---|---|---|
//! | alive | libc, in a new control block; a spawner ([`set_alive`]), before its clone | a thread runs on the block, or is about to |
//! | 0 | the ending thread, or the caller that destroys the block ([`set_ended`]); the kernel, where a donor's clear-tid word is still libc's | none runs |
//!
//! Relaxed: a slot is handed over with an order of its own (SLOT-3), and libc waits for the word of
//! none but a resumed donor, which the kernel clears.
#![allow(unsafe_code, reason = "writes a word of a thread control block")]

use core::sync::atomic::{AtomicU32, Ordering};

use super::libc_layout::{self, JoinState, Support};
use crate::sys::task;

/// What the word of the calling thread, a donor whose block begins at `base`, holds, if it is `cleared`,
/// which the kernel is to clear; none where that is the tid's, or lies elsewhere.
///
/// # Safety
/// The memory from `base` to `limit` can be read.
pub(super) unsafe fn alive(
    cleared: *const u32,
    base: *const u8,
    limit: usize,
    tid_field: *const u8,
) -> Option<u32> {
    let word = cleared;
    let range = base as usize..limit.saturating_sub(size_of::<u32>());
    if word.cast::<u8>() == tid_field || !range.contains(&(word as usize)) || !word.is_aligned() {
        return None;
    }
    // SAFETY: inside the memory that the caller vouches for. Atomic, as the kernel writes it.
    let alive = unsafe { (*word.cast::<AtomicU32>()).load(Ordering::Relaxed) };
    (alive != 0).then_some(alive)
}

fn known() -> Option<JoinState> {
    libc_layout::try_get()?.layout.joinstate
}

/// As [`known`]; none where libc makes the threads, and joins each: then the word is libc's own.
fn ours() -> Option<JoinState> {
    let host = libc_layout::try_get().filter(|host| host.support() != Support::Libc)?;
    host.layout.joinstate
}

fn word(place: JoinState, thread_pointer: *mut u8) -> *mut u32 {
    thread_pointer.wrapping_offset(place.offset).cast()
}

fn set(place: JoinState, thread_pointer: *mut u8, state: u32) {
    // SAFETY: every thread's control block is libc's, with that word in it; the callers vouch that
    // this one stays.
    unsafe { (*word(place, thread_pointer).cast::<AtomicU32>()).store(state, Ordering::Relaxed) };
}

/// A thread is about to run on this control block.
///
/// # Safety
/// The control block is of this libc, and the caller alone holds it.
pub(super) unsafe fn set_alive(thread_pointer: *mut u8) {
    if let Some(place) = ours() {
        set(place, thread_pointer, place.alive);
    }
}

/// No thread runs on this control block any more, or the last steps of the calling one.
///
/// # Safety
/// As [`set_alive`], or it is the calling thread's, which no code of the application follows.
pub(super) unsafe fn set_ended(thread_pointer: *mut u8) {
    if let Some(place) = ours() {
        set(place, thread_pointer, 0);
    }
}

/// In the child of a fork: has the kernel release the lock of libc's list of threads when the calling thread
/// ends, as it does for every other. fork drops the request, and musl before 1.2.4 does not make it again:
/// the thread takes the lock for its end, and all that needs it later would wait for ever.
pub(super) fn release_list_after_fork() {
    let word = libc_layout::try_get().and_then(|host| host.layout.shared_clear_tid);
    if let (Some(word), Ok(true)) = (word, task::get_tid_address().map(<*mut u32>::is_null)) {
        // SAFETY: libc's own word, which is there as long as the process. A filter's refusal leaves all as it
        // was.
        let _ = unsafe { task::set_tid_address(word as *mut u32) };
    }
}

/// In the child of a fork, for a thread that libc made: has the kernel clear the word for which
/// `pthread_join` waits. glibc's fork gives it the tid's in 2.43 and 2.44 (sysdeps/nptl/_Fork.c), and
/// the join would not return. False: a filter refuses.
///
/// # Safety
/// `thread_pointer` is the calling thread's.
pub(super) unsafe fn report_end_after_fork(thread_pointer: *mut u8) -> bool {
    known().is_none_or(|place| {
        // SAFETY: a word of the calling thread's control block, which is there until the join.
        unsafe { task::set_tid_address(word(place, thread_pointer)) }.is_ok()
    })
}
