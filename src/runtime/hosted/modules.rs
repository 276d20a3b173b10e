//! The loaded modules, asked for in such a way that a fork at that instant does no harm.
//!
//! `dl_iterate_phdr` holds a lock of the loader that glibc's fork does not put in order: a child
//! that was forked while another thread held it waits for it for ever, at the end of its first raw
//! thread or in its first unwinding. Every raw thread asks at its end, so this would not be rare.
//! Therefore forks wait until nobody is asking, and who wants to ask waits for forks.
#![allow(unsafe_code, reason = "asks the dynamic linker")]

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Operation};
use crate::sys::Errno;
use crate::sys::futex::{self, Sharing};

/// Who is asking, who is forking.
///
/// | bits | meaning |
/// |---|---|
/// | low 16 | `READER`: how many threads are inside `dl_iterate_phdr` |
/// | high 16 | `FORKER`: how many are in `fork`, or wait there for the askers to come out |
///
/// Nobody goes in while the high half is not 0. A fork goes on when the low half is 0; in the
/// child, whose only thread is the one that forked, the word is 0 again.
///
/// Orderings: none is needed for data; the loader's lock protects that. Acquire and Release keep
/// what is inside from being moved out.
static WORD: AtomicU32 = AtomicU32::new(0);
const READER: u32 = 1;
const FORKER: u32 = 1 << 16;

pub(super) type Visitor =
    unsafe extern "C" fn(*mut libc::dl_phdr_info, libc::size_t, *mut c_void) -> i32;

/// Calls `visit` for each module until it returns something else than 0; no module comes or goes
/// meanwhile.
pub(super) fn for_each_module(visit: Visitor, data: *mut c_void) {
    read_lock();
    // SAFETY: the callers' visitors take the data that they pass with them.
    unsafe { libc::dl_iterate_phdr(Some(visit), data) };
    read_unlock();
}

fn read_lock() {
    let mut word = WORD.load(Ordering::Relaxed);
    loop {
        if word >= FORKER {
            let _ = futex::wait(&WORD, word, None, Sharing::Private);
            word = WORD.load(Ordering::Relaxed);
            continue;
        }
        match WORD.compare_exchange_weak(word, word + READER, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(now) => word = now,
        }
    }
}

fn read_unlock() {
    let before = WORD.fetch_sub(READER, Ordering::Release);
    // The last to come out while a fork waits.
    if before >= FORKER && (before - READER).is_multiple_of(FORKER) {
        wake();
    }
}

fn wake() {
    futex::wake(WORD.as_ptr(), i32::MAX as u32, Sharing::Private);
}

static REGISTER: Operation = Operation {
    name: "pthread_atfork",
    purpose: "keep forks and the loader's lock apart",
    hint: |_| "Free memory.",
};

/// Has libc's fork take part. Twice is once too often, but harmless.
///
/// # Errors
/// ENOMEM.
pub(super) fn register_atfork() -> Result<(), Error> {
    // SAFETY: the handlers take no arguments and touch only `WORD`.
    match unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        errno => Err(Error::from_operation(&REGISTER, Errno::new(errno))),
    }
}

unsafe extern "C" fn before_fork() {
    let mut word = WORD.fetch_add(FORKER, Ordering::Acquire) + FORKER;
    while !word.is_multiple_of(FORKER) {
        let _ = futex::wait(&WORD, word, None, Sharing::Private);
        word = WORD.load(Ordering::Acquire);
    }
}

unsafe extern "C" fn in_parent() {
    WORD.fetch_sub(FORKER, Ordering::Release);
    wake();
}

unsafe extern "C" fn in_child() {
    WORD.store(0, Ordering::Relaxed);
    super::fork::in_child();
}
