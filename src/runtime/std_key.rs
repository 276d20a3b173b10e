//! Tells whether std has a handle of the calling thread, without making one.
//!
//! When std makes its handle it sets a pthread key of its own to 1, so that the key's destructor drops
//! the handle (`library/std/src/sys/thread_local/guard/key.rs`). std does not tell the key's number. So
//! [`learn`] looks which key that is: the one that becomes 1 while std makes a handle, if exactly one
//! does. Where std does it in another way none does, and every thread counts as one that may have
//! a handle, which costs it memory and nothing else.
#![allow(unsafe_code, reason = "asks for the values of keys")]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::sys::sched;

/// The number of std's key. Relaxed: a number, which goes with no other memory.
static KEY: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = u32::MAX;

/// The only key that was 1 in a thread that had a handle already: std's, if std sets one. Weaker evidence, on
/// which hangs no more than when the handle is gone. Relaxed: as [`KEY`].
static ONLY_ONE: AtomicU32 = AtomicU32::new(UNKNOWN);

/// How often the key is still looked for. Relaxed: a count that may be wrong by some.
static TRIES: AtomicU32 = AtomicU32::new(8);

/// One thread at a time makes a handle while the key is not known: those that wait know it then, and most
/// need none. Acquire and Release: the key before the next one's turn.
static TURN: AtomicBool = AtomicBool::new(false);

/// A turn at [`TURN`], or the end of the patience: in a forked child the thread that has it may not exist.
pub(super) struct Turn(bool);

impl Turn {
    pub(super) fn wait() -> Self {
        // Some 25 ms in all.
        for doubled in 0..10 {
            if !TURN.swap(true, Ordering::Acquire) {
                return Self(true);
            }
            sched::sleep_nanos(25_000 << doubled);
        }
        Self(false)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0 {
            TURN.store(false, Ordering::Release);
        }
    }
}

/// Whether the key is known, or is not looked for any more.
pub(super) fn is_settled() -> bool {
    KEY.load(Ordering::Relaxed) != UNKNOWN || TRIES.load(Ordering::Relaxed) == 0
}

/// PTHREAD_KEYS_MAX of glibc; others have fewer.
const MOST_KEYS: usize = 1024;

/// Whether std may have a handle of the calling thread.
pub(super) fn may_be_set() -> bool {
    match KEY.load(Ordering::Relaxed) {
        UNKNOWN => true,
        key => value(key) != 0,
    }
}

/// Whether std is known to have a handle of the calling thread.
pub(super) fn is_set() -> bool {
    KEY.load(Ordering::Relaxed) != UNKNOWN && may_be_set()
}

/// Whether std has dropped its handle of the calling thread, which had one; `None` where no key tells it.
///
/// False where [`is_dropped_unseen`] is to be asked.
pub(super) fn is_dropped() -> Option<bool> {
    Some(is_null()? && !DESTROYS_IN_KEY)
}

/// Whether std may have dropped its handle of the calling thread, which had one, or may not: on musl, and in
/// static programs, std destroys thread-locals in the key's destructor, the handle after them.
pub(super) fn is_dropped_unseen() -> bool {
    DESTROYS_IN_KEY && is_null() == Some(true)
}

/// musl has no list of thread-locals' destructors (`__cxa_thread_atexit_impl`), and std does not ask the linker
/// for glibc's in a static program, so that std keeps one, on which its key's destructor calls them.
const DESTROYS_IN_KEY: bool = cfg!(any(target_env = "musl", target_feature = "crt-static"));

/// Whether the key's destructor has begun in the calling thread, which had a handle; `None` where the key is
/// not known.
fn is_null() -> Option<bool> {
    let known = [&KEY, &ONLY_ONE].map(|key| key.load(Ordering::Relaxed));
    let key = known.into_iter().find(|key| *key != UNKNOWN)?;
    // libc sets the value to null before it calls the destructor.
    Some(value(key) == 0)
}

/// Returns what `make_handle` returns, and learns std's key of it.
pub(super) fn learn<T>(make_handle: impl FnOnce() -> T) -> T {
    let tries = TRIES.load(Ordering::Relaxed);
    if KEY.load(Ordering::Relaxed) != UNKNOWN || tries == 0 {
        return make_handle();
    }
    let before = keys_of_one();
    let made = make_handle();
    let after = keys_of_one();
    let mut new = (0..MOST_KEYS as u32).filter(|&key| is_in(&after, key) && !is_in(&before, key));
    match (new.next(), new.next()) {
        (Some(key), None) => KEY.store(key, Ordering::Relaxed),
        // The thread had a handle, or a key of another library became 1, too.
        _ => {
            let mut set = (0..MOST_KEYS as u32).filter(|&key| is_in(&after, key));
            if let (Some(key), None) = (set.next(), set.next()) {
                ONLY_ONE.store(key, Ordering::Relaxed);
            }
            TRIES.store(tries - 1, Ordering::Relaxed);
        }
    }
    made
}

type Keys = [u64; MOST_KEYS / 64];

fn is_in(keys: &Keys, key: u32) -> bool {
    keys[key as usize / 64] & 1 << (key % 64) != 0
}

/// The keys whose value in the calling thread is 1.
fn keys_of_one() -> Keys {
    let mut found = [0; MOST_KEYS / 64];
    // SAFETY: asks for a number.
    let most = unsafe { libc::sysconf(libc::_SC_THREAD_KEYS_MAX) };
    let most = usize::try_from(most).unwrap_or(0).min(MOST_KEYS);
    for key in (0..most as u32).filter(|&key| value(key) == 1) {
        found[key as usize / 64] |= 1 << (key % 64);
    }
    found
}

fn value(key: u32) -> usize {
    // SAFETY: below the number of keys that libc can have. glibc and musl answer null for one that was
    // not created.
    unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) as usize }
}
