//! The child of a fork: it has one thread, the caller, and its libc's lists hold that thread alone.
//!
//! | what was copied | what becomes of it in the child |
//! |---|---|
//! | idle slots | forgotten: the child's libc does not know their TCBs |
//! | slots of the parent's threads | stay the parent's (SLOT-4 of `stack::slot`): to release one does nothing |
//! | the slot on which the caller runs | the child's: libc keeps that TCB in its lists. Where a filter refuses set_tid_address(2), it stays the parent's |
//! | the word that the kernel clears at the caller's end | libc's fork replaced it by libc's, a bare one by none: it is the slot's again, if that is the child's |
//! | a mark of setuid's on the caller | cleared: the setuid that set it runs in the parent |
//! | `pthread_kill`'s lock of the caller's TCB | unlocked: the sender that held it is in the parent |
//! | the caller's records: its task's and its worker's | have the new tid, and no pins |
//!
//! This happens at most once in each child, and in none whose parent never asked for a thread: in
//! libc's fork handlers; where [`Builder`] copies the process, at once; after a bare system call of
//! the program's, when a thread is next asked for. The last needs `MADV_WIPEONFORK` (Linux 4.14).
//!
//! [`Builder`]: crate::process::Builder
#![allow(
    unsafe_code,
    reason = "gives the kernel a word to clear at the thread's end"
)]

use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use super::libc_layout::{self, Host};
use super::tcb::{CACHE, Slot};
use super::{donor, exit, exit_lock, joinstate, libc_thread, pthread_keys};
use crate::error::Error;
use crate::runtime::record;
use crate::stack::slot::ALIVE;
use crate::sys::{arch, memory, sched, task};

/// By which a forked child sees that it is one: a page that fork empties.
///
/// | `noticed` | meaning |
/// |---|---|
/// | 0 | this process was forked and has not noticed yet |
/// | `OWN` | it is not forked, or has noticed; libc is as it was in the parent |
/// | `READY` | the same, and libc was prepared for threads |
///
/// Relaxed: a child begins with one thread, which has noticed before it makes others.
struct ForkWord {
    noticed: AtomicU32,
    /// The process in which `noticed` was set. Before Linux 4.14 fork does not empty the page.
    pid: AtomicU32,
}

const OWN: u32 = 1;
const READY: u32 = 2;

/// Null until the first thread is asked for.
static FORK_WORD: AtomicPtr<ForkWord> = AtomicPtr::new(ptr::null_mut());

/// The slot of the thread that forked this process; null where this crate did not make
/// that thread. Relaxed: written by a child that has one thread.
static FORKER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

fn fork_word() -> Option<&'static ForkWord> {
    // SAFETY: null, or a page that is never unmapped. Acquire pairs with `first`'s Release.
    unsafe { FORK_WORD.load(Ordering::Acquire).as_ref() }
}

/// Does in a forked child what must happen before it makes threads, if it has not happened yet.
///
/// # Errors
/// With partial support: the sleeping pthread could not be made again.
pub(super) fn ensure_fork_noticed() -> Result<(), Error> {
    match fork_word() {
        Some(word) if word.noticed.load(Ordering::Relaxed) == READY => Ok(()),
        Some(word) => {
            if word.noticed.load(Ordering::Relaxed) != OWN {
                become_own_process(word);
            }
            if let Some(host) = libc_layout::try_get() {
                prepare_libc(host)?;
            }
            word.noticed.store(READY, Ordering::Relaxed);
            Ok(())
        }
        None => {
            first();
            Ok(())
        }
    }
}

/// Whether the calling process runs in memory of its own, as far as is known: a child that runs in its parent's finds
/// the pid of that. Where no thread was asked for yet, nothing is known.
#[cfg(feature = "alloc")]
pub(crate) fn is_own_memory() -> bool {
    fork_word().is_none_or(|word| {
        // Zero: fork has emptied the page.
        word.noticed.load(Ordering::Relaxed) == 0
            || word.pid.load(Ordering::Relaxed) == task::pid() as u32
    })
}

fn prepare_libc(host: &Host) -> Result<(), Error> {
    donor::keep_libc_multithreaded(host)
}

/// Maps the page. Without it (no memory) the next thread asked for tries again.
fn first() {
    let page = memory::page_size();
    let Ok(mapped) = memory::map(page) else {
        return;
    };
    let mapped = mapped.as_ptr();
    // SAFETY: a fresh page of ours; zeroes are valid atomics.
    unsafe {
        let _ = memory::madvise(mapped, page, libc::MADV_WIPEONFORK);
        let word = &*mapped.cast::<ForkWord>();
        word.pid.store(task::pid() as u32, Ordering::Relaxed);
        word.noticed.store(READY, Ordering::Relaxed);
    }
    let published = FORK_WORD.compare_exchange(
        ptr::null_mut(),
        mapped.cast(),
        Ordering::Release,
        Ordering::Relaxed,
    );
    if published.is_err() {
        // SAFETY: no other thread saw it.
        let _ = unsafe { memory::unmap(mapped, page) };
    }
}

/// In the child of libc's fork, before fork returns there. A handler of the program's that came
/// first may have asked for a thread already.
pub(super) fn in_child() {
    if let Some(word) = fork_word() {
        let noticed = word.noticed.load(Ordering::Relaxed) != 0;
        if !noticed || word.pid.load(Ordering::Relaxed) != task::pid() as u32 {
            become_own_process(word);
        }
    }
}

/// In a child with a copy of the memory that this crate made without libc's fork.
pub(crate) fn in_bare_child() {
    if let Some(host) = libc_layout::try_get() {
        let word = arch::thread_pointer().wrapping_offset(host.layout.tid_offset);
        // SAFETY: every thread of the process has a TCB of this libc, which keeps its tid there;
        // this process has no other thread.
        unsafe { (*word.cast::<AtomicI32>()).store(task::tid(), Ordering::Relaxed) };
    }
    in_child();
}

fn become_own_process(word: &ForkWord) {
    libc_layout::reset_probe_lock();
    CACHE.clear_after_fork();
    exit::clear_setxid_after_fork();
    exit_lock::reset_after_fork();
    let own = own_slot();
    let own_address = own.map_or(ptr::null_mut(), |slot| {
        ptr::from_ref(slot).cast_mut().cast()
    });
    FORKER.store(own_address, Ordering::Relaxed);
    if libc_thread::is_chosen() {
        joinstate::release_list_after_fork();
    }
    if let Some(slot) = own {
        let is_end_reported = if libc_thread::is_chosen() {
            // A thread of libc's clears the slot's word itself, and is joined by libc's.
            // SAFETY: the slot is the calling thread's.
            unsafe { libc_thread::keep_joinable_after_fork(slot) }
        } else {
            // SAFETY: the slot's control words are never unmapped.
            unsafe { task::set_tid_address(slot.clear_tid().as_ptr()) }.is_ok()
        };
        // Where a filter refuses, the kernel will not signal this thread's end: the slot stays the
        // parent's, which nothing here waits for or uses again.
        if is_end_reported {
            CACHE.adopt(slot);
            slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        }
    }
    // SAFETY: null, or the calling thread's record.
    unsafe { record::after_fork(pthread_keys::current(), own_address) };
    word.pid.store(task::pid() as u32, Ordering::Relaxed);
    word.noticed.store(OWN, Ordering::Relaxed);
}

/// The slot whose TCB the calling thread has.
fn own_slot() -> Option<Slot> {
    let own = arch::thread_pointer();
    CACHE.iter().find(|slot| {
        // SAFETY: the field of a permanent entry; this process has no other thread that writes it.
        unsafe { (&raw const (*slot.tcb()).thread_pointer).read() == own }
    })
}

/// Ends the process as libc does when its last thread returns, by `exit(0)`, if the calling thread
/// is the last of a process that it forked. libc would do so itself, but it believes the parked
/// TCBs to be threads. Threads that wait for tasks are none of the program's: `end_idle` ends them.
///
/// Of such a process's other threads libc's count is wrong in the same way; the README names that
/// limit.
///
/// # Safety
/// The calling thread runs on `slot`, and its destructors have run.
pub(super) unsafe fn exit_if_last(slot: Slot, end_idle: fn()) {
    if FORKER.load(Ordering::Relaxed) != ptr::from_ref(slot).cast_mut().cast() {
        return;
    }
    // A thread that was joined may leave the kernel's count a moment later, and one that did a task
    // is idle a moment later.
    for turn in 0..100 {
        if task::is_only_thread() {
            // SAFETY: the calling thread is the last one, and may call libc until it leaves.
            unsafe { libc::exit(0) }
        }
        end_idle();
        let is_other = |other: &Slot| !ptr::eq(*other, slot) && CACHE.owns(other);
        if turn >= TURNS_BESIDE_OTHERS
            && CACHE
                .iter()
                .filter(is_other)
                .any(|other| !other.has_exited())
        {
            return;
        }
        sched::sleep_nanos(200_000);
    }
}

/// How often it is looked whether a thread that is there was about to end: 4 ms, once in a process.
const TURNS_BESIDE_OTHERS: u32 = 20;
