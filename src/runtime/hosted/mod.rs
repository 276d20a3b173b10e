//! Raw clones as citizens of a libc process.
//!
//! A thread needs a thread control block that the libc made and has in its lists, or `errno`,
//! malloc, thread-locals, setuid and dlopen break. No libc hands one out, so each slot's identity
//! is *minted* once: libc creates an ordinary thread on the slot's memory (the *seed*), whose
//! kernel thread leaves while its TCB stays. Every spawn on that slot is then one raw clone that
//! takes the TCB over. Where libc is known well enough, the seed itself is the slot's first
//! thread (a *launch*), and a first spawn costs one kernel thread, not two.
//!
//! * [`host`]: which libc this is, where its private words lie, how far we may go (citizenship).
//! * [`mint`] makes seeds.
//! * [`leave`]: the way out, and in, that setuid and its family can live with.
//! * [`loader`]: asking for the loaded modules beside forks.
//! * [`locals`]: thread-locals fresh for the next thread; [`keys`]: pthread keys' destructors.
//! * [`snapshot`]: the same in static programs; [`static_tls`]: in libraries that came later.
//! * [`overflow`]: the report of a stack overflow; [`retire`]: the end of an identity.
#![allow(unsafe_code, reason = "stands between the kernel and libc")]

pub(crate) mod host;
pub(crate) mod keys;
mod leave;
mod loader;
pub(crate) mod locals;
pub(crate) mod mint;
pub(crate) mod overflow;
mod retire;
mod snapshot;
mod static_tls;
mod symbols;

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32};

use super::{Runtime, Slot, Words};
use crate::error::Error;
use crate::stack::slot::Cache;
use crate::stack::table::Cell;
use crate::sys::arch::{self, ChildEntry};
use crate::sys::{Errno, signal, task};
use host::{Citizenship, Host};

/// The hosted runtime.
#[derive(Debug)]
pub(crate) struct Hosted;

/// What minting leaves on a slot. All addresses lie in the slot, which outlives them.
///
/// Invariants of a minted identity:
/// * TCB-1: `thread_pointer` is a TCB that libc made and has in its lists, whose kernel thread is gone.
/// * TCB-2: `tid_field` is the word of that TCB in which libc keeps the thread's tid.
/// * TCB-3: nothing above the seed's saved frame, in guests above `stack_top`, is used by frames of raw
///   threads.
#[derive(Debug)]
pub(crate) struct Identity {
    thread_pointer: *mut u8,
    tid_field: *const AtomicI32,
    /// The word with libc's SETXID mark; null where we are only guests.
    mark_word: *const AtomicU32,
    robust_head: *mut u8,
    stack_top: usize,
    /// The seed's saved stack pointer (see `arch::save_context`); 0 where we are only guests.
    frame: usize,
    /// What libc had registered as the seed's clear-tid word; null if unknown.
    libc_clear_tid: *mut u32,
    /// libc's handle of the seed.
    pthread: libc::pthread_t,
    /// The seed's tid while it lives.
    seed_tid: i32,
    /// What the seed goes on to do instead of leaving at once (see `mint::launch`).
    launch: Option<(ChildEntry, *mut u8)>,
}

// SAFETY: all-zero bytes are null addresses and zeroes; access follows SLOT-1 of `stack::slot`.
unsafe impl Cell for Identity {}
// SAFETY: the addresses are used by whoever holds the slot; none belongs to a particular thread.
unsafe impl Sync for Identity {}

static CACHE: Cache<Identity> = Cache::new();

impl Runtime for Hosted {
    type Identity = Identity;

    fn cache() -> &'static Cache<Identity> {
        &CACHE
    }

    fn ready() -> Result<(), Error> {
        mint::after_fork()?;
        host::get().map(drop)
    }

    fn headroom() -> usize {
        mint::headroom()
    }

    unsafe fn mint(slot: Slot) -> Result<(), Error> {
        // SAFETY: passed on.
        unsafe { mint::mint(slot) }
    }

    unsafe fn retire(slot: Slot) -> bool {
        // SAFETY: passed on.
        unsafe { retire::retire(slot) }
    }

    const LAUNCH_ROOM: Option<usize> = Some(mint::LAUNCH_ROOM);

    fn can_launch() -> bool {
        // A seed must take its snapshot before any handler of the program runs on it.
        !is_guest() && !snapshot::is_needed()
    }

    unsafe fn launch(slot: Slot, entry: ChildEntry, argument: *mut u8) -> Result<i32, Errno> {
        // SAFETY: passed on.
        unsafe { mint::launch(slot, entry, argument) }
    }

    unsafe fn prepare(slot: Slot) -> Words {
        // SAFETY: the slot is the caller's alone (SLOT-1) and minted.
        let identity = unsafe { &*slot.identity() };
        leave::before_clone();
        Words {
            tls: identity.thread_pointer as usize,
            parent_tid: identity.tid_field as usize,
            // Nothing above a parked frame is touched; guests have none.
            stack_top: match identity.frame {
                0 => identity.stack_top,
                frame => frame & !0xf,
            },
        }
    }

    /// The kernel stores a tid only when clone succeeds: there is nothing to undo.
    unsafe fn abandon(_slot: Slot) {}

    unsafe fn begin(slot: Slot) {
        // SAFETY: the slot belongs to the calling thread now.
        let identity = unsafe { &*slot.identity() };
        // SAFETY: the TCB is ours by TCB-1 and the calling thread runs on it.
        unsafe {
            host::register_rseq(identity.thread_pointer);
            register_robust_list(identity.robust_head);
        }
        locals::use_global_locale();
        // SAFETY: passed on.
        unsafe { install_signal_stack(slot) };
    }

    unsafe fn run_destructors(_slot: Slot) {
        // SAFETY: the closure has ended; libc's destructors belong to the calling thread.
        unsafe {
            super::locals::run();
            locals::run_destructors();
            if keys::run_destructors() {
                // They may have made thread-locals with destructors. A pthread loses those; here
                // they would run at the end of the identity's next thread.
                locals::run_destructors();
            }
            // What those made of ours must not outlive the record.
            super::locals::run();
        }
    }

    unsafe fn leave(slot: Slot) {
        // SAFETY: passed on.
        unsafe { leave::leave(slot) };
    }

    unsafe fn renew(slot: Slot) -> bool {
        // SAFETY: passed on; the slot is the calling thread's.
        unsafe {
            leave::renew(slot);
            // The task may have had one of its own, whose memory goes with it.
            install_signal_stack(slot);
            holds_no_robust_mutex((*slot.identity()).robust_head)
        }
    }

    fn epoch() -> u32 {
        mint::epoch()
    }

    fn tid() -> i32 {
        host::own_tid()
    }

    fn foreign_stack() -> (usize, usize) {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let (mut low, mut len) = (core::ptr::null_mut(), 0);
        // SAFETY: the functions fill what they are given, in this order.
        unsafe {
            let attributes = attributes.as_mut_ptr();
            if libc::pthread_getattr_np(libc::pthread_self(), attributes) != 0 {
                return (0, 0);
            }
            libc::pthread_attr_getstack(attributes, &mut low, &mut len);
            libc::pthread_attr_destroy(attributes);
        }
        (low as usize, low as usize + len)
    }

    fn current() -> *mut () {
        keys::current()
    }

    fn set_current(record: *mut ()) {
        keys::set_current(record);
    }
}

/// # Safety
/// The slot belongs to the calling thread.
unsafe fn install_signal_stack(slot: Slot) {
    let (base, len) = slot.region().signal_stack();
    // SAFETY: the signal stack is this slot's and nobody uses it (REGION-1 of `stack::slab`).
    let installed = unsafe { signal::set_alternate_stack(base, len) };
    debug_assert!(installed.is_ok());
}

/// Empties the TCB's robust-mutex list and registers it: the kernel starts every thread without
/// one, and a thread that dies with a robust mutex must be found by its waiters.
///
/// # Safety
/// `head` is null or the list head in the calling thread's TCB.
unsafe fn register_robust_list(head: *mut u8) {
    if head.is_null() {
        return;
    }
    // struct robust_list_head: next, futex_offset, list_op_pending (linux/futex.h). The offset is
    // libc's constant and stays. glibc keeps the list doubly linked: the word before the head is
    // its `prev`, which glibc does not read on the head.
    // SAFETY: the head is ours while this thread lives.
    unsafe {
        head.cast::<*mut u8>().write(head);
        head.add(16).cast::<*mut u8>().write(core::ptr::null_mut());
        let registered = task::set_robust_list(head);
        debug_assert!(registered.is_ok());
    }
}

/// Whether the calling thread holds no robust mutex, for which the kernel must see the owner die.
///
/// # Safety
/// As [`register_robust_list`].
unsafe fn holds_no_robust_mutex(head: *mut u8) -> bool {
    // An empty list points at its head.
    // SAFETY: the head is ours while this thread lives.
    head.is_null() || unsafe { head.cast::<*mut u8>().read() } == head
}

/// Which libc hosts this process and how well threads of this crate fit in. Feature `hosted`.
///
/// # Errors
/// `Unsupported` where threads cannot be made at all.
///
/// ```
/// let host = rawthread::host()?;
/// println!("{host}");
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn host() -> Result<&'static Host, Error> {
    host::get()
}

/// Whether nothing private of libc may be written.
fn is_guest() -> bool {
    !matches!(host::get().map(Host::citizenship), Ok(Citizenship::Full))
}

/// The calling thread's TCB.
fn tcb() -> *mut u8 {
    arch::thread_pointer()
}

const CANCEL_ENABLE: i32 = 0;
const CANCEL_DISABLE: i32 = 1;
const CANCEL_DEFERRED: i32 = 0;

unsafe extern "C" {
    fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
    fn pthread_setcanceltype(kind: i32, old: *mut i32) -> i32;
}

/// Where libc's description of the calling thread starts.
fn pthread_address() -> *const u8 {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() as *const u8 }
}
