//! The lock under which glibc's `pthread_kill` reads a thread's tid and sends to it.
//!
//! Since 2.35, and in patched 2.34, `pthread_kill` takes this lock of the target's control block, and
//! sends unless `exiting` is set (nptl/pthread_kill.c). A thread that ends sets it under the lock
//! (nptl/pthread_create.c), so that its tid is not given away while a signal is on its way to it. A
//! raw clone must do the same. Older versions have no lock: there `pthread_kill` at an ending thread
//! is a race for every pthread, too.
//!
//! | `exiting` | set by | meaning |
//! |---|---|---|
//! | 0 | libc, in a new control block; a spawner ([`open`]), before its clone | `pthread_kill` sends to the tid |
//! | 1 | the ending thread, under the lock ([`close`]); it stays in an idle slot | `pthread_kill` sends nothing, and returns as for a pthread that has ended and was not joined |
//!
//! Relaxed: the lock orders `close`. After `open` no handle leads to the thread before the spawner or
//! the thread gives one away, which orders it.
//!
//! The places are known by the sources, from the thread's signal mask in front of them, which is
//! known: see [`find`]. The proof is a call: [`prove`].
#![allow(unsafe_code, reason = "takes a lock in a thread control block")]

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::sync::raw::RawMutex;
use crate::sys::signal::SigSet;
use crate::sys::{Errno, arch};

use super::libc_layout;

/// How far before the lock `exiting` lies, as [`prove`] has found; 0: not proven. Written before the
/// process's first thread of this crate is made. Relaxed: what is made later is ordered after it by
/// `PROBE_LOCK`.
static BEFORE_LOCK: AtomicUsize = AtomicUsize::new(0);

/// The second byte of the word before the lock, or the last: in 2.34 and 2.35 as they were released two
/// bytes for the cancel state lie between, which their branches took out again, as all later versions.
const DISTANCES: [usize; 2] = [3, 1];

/// The mask with which the first donor begins, as libc has it from the kernel: its creator has blocked
/// all but libc's signals, and the kernel blocks neither SIGKILL nor SIGSTOP.
const MASK: u64 = SigSet::ALL_BUT_GLIBC
    .without(libc::SIGKILL)
    .without(libc::SIGSTOP)
    .0;

/// Where the lock lies in a control block of version 2.`minor`, the first donor's, from its beginning.
///
/// `words` are the block's. None: not where the sources have them.
///
/// glibc's `struct pthread` (nptl/descr.h), at its end: the mask, since 2.37 a pointer that is null, a
/// byte that is 0 in a thread of `pthread_create`; `exiting` (see [`DISTANCES`]); the lock, an int. In
/// a 2.34 without the lock these bytes are padding.
pub(super) fn find(minor: u64, words: &[u64]) -> Option<isize> {
    let from_mask = match minor {
        // The mask was a sigset_t of 1,024 bits.
        34 | 35 => 16,
        36 => 1,
        37..=44 => 2,
        _ => return None,
    };
    let mut hits = (0..words.len()).filter(|index| words[*index] == MASK);
    let index = hits.next()?;
    if hits.next().is_some() {
        return None;
    }
    // In a living thread: null or part of the mask, then byte, `exiting` and lock, all 0.
    let is_new = minor < 37 || *words.get(index + 1)? == 0;
    let place = (index + from_mask) * 8;
    (is_new && *words.get(index + from_mask)? == 0).then_some((place + 4) as isize)
}

/// Distances from the thread pointer.
#[derive(Clone, Copy)]
struct ExitLock {
    lock: isize,
    exiting: isize,
}

impl ExitLock {
    fn new(lock: isize, distance: usize) -> Self {
        let exiting = lock - distance as isize;
        Self { lock, exiting }
    }
}

/// # Safety
/// The thread pointer is of a control block of this libc's, which stays.
unsafe fn exiting<'a>(place: ExitLock, thread_pointer: *mut u8) -> &'a AtomicU8 {
    // SAFETY: the byte lies in the block; libc writes it under the lock, or before others know
    // the block.
    unsafe { &*thread_pointer.wrapping_offset(place.exiting).cast() }
}

/// # Safety
/// As [`exiting`], and the places are proven.
unsafe fn lock<'a>(place: ExitLock, thread_pointer: *mut u8) -> &'a RawMutex {
    // SAFETY: an aligned int of the block, which glibc locks by the protocol of `RawMutex`:
    // RAWMUTEX-3.
    unsafe { &*thread_pointer.wrapping_offset(place.lock).cast() }
}

/// Whether the places are those that `pthread_kill` uses: in a control block that says `exiting` it
/// sends nothing, so an invalid signal's number is no error (or ESRCH, in a program that is linked with
/// a glibc before 2.34); else the kernel would say EINVAL.
///
/// # Safety
/// `thread_pointer` and `handle` are of a control block of this libc's that no other thread knows, and that
/// no thread runs on, or one that reads and writes nothing of it meanwhile.
pub(super) unsafe fn prove(thread_pointer: *mut u8, handle: libc::pthread_t) {
    const NO_SIGNAL: i32 = 1000;
    let Some(lock) = libc_layout::try_get().and_then(|host| host.layout.exit_lock) else {
        return;
    };
    for distance in DISTANCES {
        // SAFETY: as the caller vouches. Where the places are wrong, a byte that was 0 is written and
        // put back. The signal does not exist.
        let answer = unsafe {
            let byte = exiting(ExitLock::new(lock, distance), thread_pointer);
            byte.store(1, Ordering::Relaxed);
            let answer = libc::pthread_kill(handle, NO_SIGNAL);
            byte.store(0, Ordering::Relaxed);
            answer
        };
        if answer == 0 || answer == Errno::ESRCH.number() {
            BEFORE_LOCK.store(distance, Ordering::Relaxed);
            return;
        }
    }
}

fn proven() -> Option<ExitLock> {
    let lock = libc_layout::try_get()?.layout.exit_lock?;
    let distance = BEFORE_LOCK.load(Ordering::Relaxed);
    (distance != 0).then(|| ExitLock::new(lock, distance))
}

/// From here on `pthread_kill` sends the thread nothing, and none sends that has begun.
///
/// # Safety
/// `thread_pointer` is the calling thread's, on which no code of the application follows, handlers
/// included.
pub(super) unsafe fn close(thread_pointer: *mut u8) {
    if let Some(place) = proven() {
        // SAFETY: every thread has a control block of this libc's; the places are proven. The lock is
        // held for a system call at most, by a thread without handlers.
        unsafe {
            let lock = lock(place, thread_pointer);
            lock.lock();
            exiting(place, thread_pointer).store(1, Ordering::Relaxed);
            lock.unlock();
        }
    }
}

/// `pthread_kill` may send to the next thread on this control block. The lock is free: the last thread
/// released it, or was a process on this memory that a signal killed, perhaps while it held it.
///
/// # Safety
/// The caller alone holds the control block, which no thread runs on.
pub(super) unsafe fn open(thread_pointer: *mut u8) {
    if let Some(place) = proven() {
        // SAFETY: words of a control block; the caller vouches for it.
        unsafe {
            free(place, thread_pointer);
            exiting(place, thread_pointer).store(0, Ordering::Relaxed);
        }
    }
}

/// In the child of a fork, which has one thread: a sender that held the lock is not here.
pub(super) fn reset_after_fork() {
    if let Some(place) = proven() {
        // SAFETY: the calling thread's control block, which no other thread uses.
        unsafe { free(place, arch::thread_pointer()) };
    }
}

/// Makes the lock free, without its holder.
///
/// # Safety
/// As [`lock`], and no thread holds the lock or waits for it.
unsafe fn free(place: ExitLock, thread_pointer: *mut u8) {
    let word = thread_pointer
        .wrapping_offset(place.lock)
        .cast::<AtomicU32>();
    // SAFETY: as the caller vouches; 0 is the free lock (RAWMUTEX-3).
    unsafe { (*word).store(0, Ordering::Relaxed) };
}

/// Words of a control block that are compared: `struct pthread` ends before.
pub(super) const WORDS: usize = 2560 / 8;

/// The words from `base` on that end before `limit`; the others are all ones, which is no such mask.
///
/// # Safety
/// The memory from `base`, which is aligned, to `limit` can be read.
pub(super) unsafe fn read(base: *const u8, limit: usize) -> [u64; WORDS] {
    let mut words = [u64::MAX; WORDS];
    let len = limit.saturating_sub(base as usize) / 8;
    for (index, word) in words.iter_mut().enumerate().take(len) {
        let address = base.wrapping_add(index * 8).cast::<AtomicU64>();
        // SAFETY: before the limit. Atomic, because libc may write some of them from other threads.
        *word = unsafe { (*address).load(Ordering::Relaxed) };
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(masks: &[usize]) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        masks.iter().for_each(|index| words[*index] = MASK);
        words
    }

    #[test]
    fn the_places_are_those_of_the_sources() {
        // As seen on x86-64.
        let found = |minor| find(minor, &block(&[286]));
        assert_eq!(found(34), Some(2420));
        assert_eq!(found(35), Some(2420));
        assert_eq!(found(36), Some(2300));
        assert_eq!(found(41), Some(2308));
        assert_eq!(found(44), Some(2308));
    }

    #[test]
    fn what_is_not_as_in_the_sources_is_not_taken() {
        assert_eq!(find(33, &block(&[286])), None);
        assert_eq!(find(45, &block(&[286])), None);
        assert_eq!(find(36, &block(&[])), None);
        assert_eq!(find(36, &block(&[100, 286])), None);
        assert_eq!(find(36, &block(&[WORDS - 1])), None);
        let mut used = block(&[286]);
        used[288] = 1 << 8;
        assert_eq!(find(41, &used), None);
        let mut pointer = block(&[286]);
        pointer[287] = 4096;
        assert_eq!(find(41, &pointer), None);
    }
}
