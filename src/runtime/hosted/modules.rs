//! The loaded modules, asked for in such a way that a fork at that instant does no harm.
//!
//! `dl_iterate_phdr` holds a lock of the loader that glibc's fork does not put in order: a child
//! that was forked while another thread held it waits for it for ever, in its first `dlopen`.
//! Therefore a fork waits for a moment until no thread of ours is asking, and who wants to ask waits
//! for a moment until no fork is under way. Both moments end: a fork may come out of a visitor of
//! the program's, for whom our asker waits, and a program's own fork handler may wait for a thread
//! that asks. Threads that end do not ask where `tls_images` serves them.
#![allow(unsafe_code, reason = "asks the dynamic linker")]

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use super::{loader_lock, tls_images};
use crate::error::{Error, Operation};
use crate::sys::Errno;
use crate::sys::futex::{self, Deadline, Sharing};

/// How many threads are inside [`for_each_module`]: fewer than the kernel has tasks, 2^22.
static READER: AtomicU32 = AtomicU32::new(0);
/// How many threads are in `fork`: as few.
///
/// Orderings: each side announces itself in its own word and then looks at the other's, all
/// SeqCst, so that one of two sees the other. No data hangs on it.
static FORKING: AtomicU32 = AtomicU32::new(0);

/// How long one side waits for the other: a hundred times what either needs.
const MOMENT: Duration = Duration::from_millis(100);

pub(super) type Visitor =
    unsafe extern "C" fn(*mut libc::dl_phdr_info, libc::size_t, *mut c_void) -> i32;

/// Calls `visit` for each module until it returns something else than 0; no module comes or goes
/// meanwhile. For none in a forked child that cannot ask ([`loader_lock`]).
pub(super) fn for_each_module(visit: Visitor, data: *mut c_void) {
    if loader_lock::is_lost() {
        return;
    }
    if !read_lock() {
        await_none(&FORKING);
        // If a fork is still under way, it waits for user code: go on beside it.
        READER.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the callers' visitors take the data that they pass with them.
    unsafe { libc::dl_iterate_phdr(Some(visit), data) };
    read_unlock();
}

/// As [`for_each_module`], but false, and nothing called, where a fork is under way, or was and left
/// the loader's lock to nobody.
pub(super) fn try_each_module(visit: Visitor, data: *mut c_void) -> bool {
    let entered = !loader_lock::is_lost() && read_lock();
    if entered {
        // SAFETY: as above.
        unsafe { libc::dl_iterate_phdr(Some(visit), data) };
        read_unlock();
    }
    entered
}

/// Announces an asker; false, and nothing announced, if a fork is under way.
fn read_lock() -> bool {
    READER.fetch_add(1, Ordering::SeqCst);
    if FORKING.load(Ordering::SeqCst) == 0 {
        return true;
    }
    read_unlock();
    false
}

fn read_unlock() {
    if READER.fetch_sub(1, Ordering::SeqCst) == 1 && FORKING.load(Ordering::SeqCst) != 0 {
        futex::wake(READER.as_ptr(), i32::MAX as u32, Sharing::Private);
    }
}

/// Waits until the word is 0, or [`MOMENT`] is over.
fn await_none(word: &AtomicU32) {
    let mut deadline = None;
    loop {
        let now = word.load(Ordering::SeqCst);
        if now == 0 {
            return;
        }
        let deadline = *deadline.get_or_insert_with(|| Deadline::after(MOMENT));
        if futex::wait(word, now, deadline, Sharing::Private).is_err() {
            return;
        }
    }
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
    // SAFETY: the handlers take no arguments and touch only words of this crate.
    match unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        errno => Err(Error::from_operation(&REGISTER, Errno::new(errno))),
    }
}

unsafe extern "C" fn before_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    await_none(&READER);
}

unsafe extern "C" fn in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
    futex::wake(FORKING.as_ptr(), i32::MAX as u32, Sharing::Private);
}

unsafe extern "C" fn in_child() {
    // The one thread here neither asks nor forks.
    READER.store(0, Ordering::Relaxed);
    FORKING.store(0, Ordering::Relaxed);
    loader_lock::after_fork();
    tls_images::after_fork();
    super::fork::in_child();
}
