//! The lock that glibc's `dl_iterate_phdr` takes, in the child of a fork.
//!
//! `dlopen` and `dlclose` of the program hold it, too, and so do visitors of `dl_iterate_phdr`. fork
//! puts it in order nowhere: a child that was forked meanwhile, of another thread, waits for it for
//! ever, and what it guards may be half unmapped. So the child must see that the lock is held, and
//! never ask.
//!
//! The lock lies in the loader's `_rtld_global`. It is found by its content: inside of a visitor it
//! is a recursive mutex that the calling thread owns, and after the call it is not. Its lock word is
//! the first of the five that `pthread_mutex_t` begins with in every glibc of 64 bits.
#![allow(unsafe_code, reason = "reads the loader's words")]

use core::ffi::c_void;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::loader_variable;
use crate::sys::{Errno, signal, task};

/// Address of the lock word; 0: not found, or nobody looked. Relaxed: the word is the loader's.
static LOCK: AtomicUsize = AtomicUsize::new(0);
/// Whether the lock was held at the fork that made this process. Relaxed: written by the only thread.
static HELD_AT_FORK: AtomicBool = AtomicBool::new(false);

/// Locks that one thread can hold in a visitor: the loader has three.
const CANDIDATES: usize = 4;
/// `PTHREAD_MUTEX_RECURSIVE_NP`.
const RECURSIVE: u32 = 1;

struct Search {
    range: Range<usize>,
    tid: u32,
    found: [usize; CANDIDATES],
}

/// Looks for the lock in the loader's variable, which `range` is.
pub(super) fn find(range: Range<usize>) {
    let mut search = Search {
        range,
        tid: task::tid() as u32,
        found: [0; CANDIDATES],
    };
    // SAFETY: the visitor takes the data that is passed with it.
    unsafe { libc::dl_iterate_phdr(Some(look), ptr::from_mut(&mut search).cast()) };
    let lock = search
        .found
        .into_iter()
        .find(|lock| *lock != 0 && word(*lock, 2) != search.tid);
    LOCK.store(lock.unwrap_or(0), Ordering::Relaxed);
}

/// Notes each recursive mutex that the calling thread owns.
unsafe extern "C" fn look(_: *mut libc::dl_phdr_info, _: libc::size_t, data: *mut c_void) -> i32 {
    // SAFETY: the data is `search` of `find`.
    let search = unsafe { &mut *data.cast::<Search>() };
    let candidates = recursive_mutexes(search.range.clone(), 20)
        .filter(|at| word(*at, 0) != 0 && word(*at, 1) != 0 && word(*at, 2) == search.tid);
    for (place, at) in search.found.iter_mut().zip(candidates) {
        *place = at;
    }
    1
}

/// Places in the range where `len` bytes may be a recursive mutex. The kind decides first, and of most places.
fn recursive_mutexes(range: Range<usize>, len: usize) -> impl Iterator<Item = usize> {
    let start = range.start.next_multiple_of(8);
    let count = match range.end.checked_sub(start + len) {
        Some(rest) => rest / 8 + 1,
        None => 0,
    };
    // Not `step_by`, whose check of each step takes as long as the look.
    let places = (0..count).map(move |index| start + index * 8);
    places.filter(|at| word(*at, 4) == RECURSIVE)
}

/// The 32-bit word at an index from an aligned address in the loader's variable.
fn word(address: usize, index: usize) -> u32 {
    // SAFETY: `_rtld_global` stays mapped and readable, and the callers stay inside of it. Atomic:
    // other threads lock and unlock.
    unsafe {
        (*ptr::with_exposed_provenance::<AtomicU32>(address + index * 4)).load(Ordering::Relaxed)
    }
}

/// Before the process's first thread of this crate: whether the lock is held by a thread that this
/// process does not have, as it is where the process was forked before it knew of the lock.
///
/// Such a lock is a recursive mutex, with nothing in its last words, that its owner has locked a few
/// times. Nothing else in the variable looks like that, and by chance names a thread that is gone.
pub(super) fn notice_lost() -> bool {
    const LEN: usize = 40;
    const MOST_LOCKS: u32 = 1 << 10;
    const GREATEST_TID: u32 = 1 << 22;
    let Some(range) = loader_variable::range() else {
        return false;
    };
    let lost = recursive_mutexes(range, LEN).find(|at| {
        let owner = word(*at, 2);
        (1..=2).contains(&word(*at, 0))
            && (1..=MOST_LOCKS).contains(&word(*at, 1))
            && (1..=GREATEST_TID).contains(&owner)
            && word(*at, 3) == 1
            && (5..10).all(|index| word(*at, index) == 0)
            && signal::send_to_thread(task::pid(), owner as i32, 0) == Err(Errno::ESRCH)
    });
    if let Some(lock) = lost {
        LOCK.store(lock, Ordering::Relaxed);
        HELD_AT_FORK.store(true, Ordering::Relaxed);
    }
    lost.is_some()
}

/// In the child of a fork, which has one thread.
pub(super) fn after_fork() {
    let lock = LOCK.load(Ordering::Relaxed);
    HELD_AT_FORK.store(lock != 0 && word(lock, 0) != 0, Ordering::Relaxed);
}

/// Whether who takes the lock waits for a thread that this process does not have.
pub(super) fn is_lost() -> bool {
    // A visitor that forked gives its own lock back when it returns.
    HELD_AT_FORK.load(Ordering::Relaxed) && word(LOCK.load(Ordering::Relaxed), 0) != 0
}
