//! Finds out which libc this is and where its private words lie.
//!
//! Nothing is taken from headers: offsets are found by watching public functions change the TCB of a
//! donor, and where the behaviour of a libc is not known by its version, nothing private is written.
#![allow(unsafe_code, reason = "looks into thread control blocks")]

use core::ffi::{CStr, c_char};
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};

use super::key_table::KeyTable;
use super::libc_layout::{Host, JoinState, LibcLayout, Rseq, SCHED_CACHED, Support, TcbOffset};
use super::tid_field::{self, Registered};
use super::{choice, exit_lock, joinstate, libc_state, pthread, symbols};
use crate::error::Error;
use crate::sys::{Errno, arch, memory, task};

/// Looks at the libc from inside a thread of its making whose TCB is still unused by others.
///
/// `limit` is the end of the memory that the TCB may be looked at in.
///
/// # Errors
/// As [`tid_field::find`].
///
/// # Safety
/// The memory from libc's description of the calling thread to `limit` can be read.
pub(super) unsafe fn probe(limit: usize) -> Result<Host, Error> {
    let base = pthread::pthread_address();
    let window = limit.saturating_sub(base as usize).min(WATCHED);
    let from_tcb = |address: *const u8| address as isize - arch::thread_pointer() as isize;
    let version = glibc_version();
    let registered = Registered::ask();
    // SAFETY: passed on.
    let tid_field = unsafe { tid_field::find(base, limit, version.is_some(), &registered) }?;
    // SAFETY: the window lies before the limit.
    let watch = |changed_by: fn(bool)| unsafe { find_changed_word(base, window, changed_by) };
    let (mark, reason) = match version {
        None => (None, "not a glibc, or one that does not tell its version"),
        Some(version) if !is_supported(version) => {
            (None, "the exit protocol of this glibc version is not known")
        }
        Some(_) if keeps_hidden_destructors() => (
            None,
            "this glibc does not show how to run the destructors of thread-locals",
        ),
        Some(version) => {
            // SAFETY: as above.
            let mark = unsafe { mark_word(base, window, tid_field, &registered) };
            let watched = watch(disable_cancellation);
            match mark {
                Some(word) if keeps_cancel_state_elsewhere(version) => (
                    Some(word),
                    "glibc of a known version, its control block laid out as in the sources",
                ),
                Some(word) if watched == Some((word, DISABLED)) => (
                    Some(word),
                    "glibc of a known version, its words confirmed at run time",
                ),
                _ => (
                    None,
                    "the word with setuid's mark is not found in the thread control block",
                ),
            }
        }
    };
    let is_watched = symbols::has_sanitizer() || symbols::has_valgrind();
    let (support, reason) = choice::decide(mark.is_some(), is_watched, reason);
    let mark = mark.filter(|_| support == Support::Full);
    let sched_cache = watch(touch_sched_cache)
        .filter(|(_, bits)| mark.is_some() && *bits == SCHED_CACHED)
        .map(|(word, _)| from_tcb(word));
    let exit_lock = version.filter(|_| mark.is_some()).and_then(|version| {
        // SAFETY: passed on.
        let words = unsafe { exit_lock::read(base, limit) };
        Some(exit_lock::find(minor(version)?, &words)? + from_tcb(base))
    });
    // Of another libc it may be any word: musl's is the lock of its list of threads.
    let joinstate = registered
        .clear_tid
        .ok()
        .filter(|_| version.is_some())
        .and_then(|word| {
            // SAFETY: passed on.
            let alive = unsafe { joinstate::alive(word, base, limit, tid_field) }?;
            Some(JoinState {
                offset: from_tcb(word.cast()),
                alive,
            })
        });
    Ok(Host {
        libc: version.map_or(NO_GLIBC, |_| "glibc"),
        version,
        support,
        reason,
        layout: LibcLayout {
            tid_offset: from_tcb(tid_field),
            handle_offset: from_tcb(base),
            robust_head: TcbOffset::find(registered.robust_head),
            clear_tid: TcbOffset::find(registered.clear_tid),
            shared_clear_tid: registered
                .clear_tid
                .ok()
                .map(|word| word as usize)
                .filter(|word| version.is_none() && *word != 0)
                .filter(|word| !(base as usize..limit).contains(word)),
            cancelhandling_offset: mark.map_or(0, from_tcb),
            sched_cache_offset: sched_cache,
            joinstate,
            exit_lock,
            rseq: find_rseq(),
            call_tls_destructors: find_destructors(),
            keys: KeyTable::find(),
            libc_state: libc_state::Functions::find(version.is_some()),
            can_reset_tls: !symbols::has_sanitizer(),
        },
    })
}

/// What the libc is called that tells no version of glibc's.
const NO_GLIBC: &str = if cfg!(target_env = "musl") {
    "musl"
} else {
    "another libc"
};

/// Bytes in which glibc keeps the words that are found by watching them change.
const WATCHED: usize = 1200;

/// The one word that `change(true)` changes, and which of its bits; `change(false)` undoes it.
///
/// # Safety
/// `window` bytes from `base` on, which is aligned, can be read.
unsafe fn find_changed_word(
    base: *const u8,
    window: usize,
    change: fn(bool),
) -> Option<(*const u8, u32)> {
    // SAFETY: `words` stays in the window.
    let read = |word| unsafe { read(word) };
    let mut before = [0u32; WATCHED / 4];
    for (place, word) in before.iter_mut().zip(words(base, window)) {
        *place = read(word);
    }
    change(true);
    let mut hits = [const { None }; 2];
    let changed = before
        .iter()
        .zip(words(base, window))
        .map(|(before, word)| (word, read(word) ^ before))
        .filter(|(_, bits)| *bits != 0);
    for (hit, found) in hits.iter_mut().zip(changed) {
        *hit = Some(found);
    }
    change(false);
    match hits {
        [found, None] => found,
        _ => None,
    }
}

/// The bit of the cancellation word that means "disabled".
const DISABLED: u32 = 1;

fn disable_cancellation(disable: bool) {
    // A new thread has it enabled.
    let state = if disable {
        pthread::CANCEL_DISABLE
    } else {
        pthread::CANCEL_ENABLE
    };
    // SAFETY: a public function on the calling thread.
    unsafe { pthread::pthread_setcancelstate(state, ptr::null_mut()) };
}

fn touch_sched_cache(ask: bool) {
    if ask {
        let (mut policy, mut out) = (0, core::mem::MaybeUninit::uninit());
        // SAFETY: the calling thread's handle; both places are writable, and as large as this libc's.
        unsafe { libc::pthread_getschedparam(libc::pthread_self(), &mut policy, out.as_mut_ptr()) };
    }
}

fn words(base: *const u8, window: usize) -> impl Iterator<Item = *const u8> {
    (0..window / 4).map(move |index| base.wrapping_add(index * 4))
}

/// # Safety
/// The word, which is aligned, can be read.
unsafe fn read(word: *const u8) -> u32 {
    // SAFETY: as the caller vouches. Atomic, because libc may write some of these words from other
    // threads.
    unsafe { (*word.cast::<AtomicI32>()).load(Ordering::Relaxed) as u32 }
}

/// The word with setuid's mark in a glibc of a known version: the int behind two pointers behind the
/// head of the robust list (`cancelhandling` of nptl/descr.h, on every 64-bit architecture). `None` if
/// the control block is not laid out so: then the tid does not lie before the head, or the word is not
/// that of a thread of which nothing was asked yet.
///
/// # Safety
/// As [`find_changed_word`].
unsafe fn mark_word(
    base: *const u8,
    window: usize,
    tid_field: *const u8,
    registered: &Registered,
) -> Option<*const u8> {
    let head = registered.robust_head.ok()?.cast_const();
    let word = head.wrapping_add(MARK_BEHIND_ROBUST_HEAD);
    let end = (word as usize).checked_sub(base as usize)? + size_of::<u32>();
    let as_known = head.wrapping_sub(tid_field::TID_BEFORE_ROBUST_HEAD) == tid_field;
    // SAFETY: it ends in the window, and a head is aligned.
    (as_known && end <= window && unsafe { read(word) } == 0).then_some(word)
}

/// From the head of the robust list: the head's three words, and two pointers.
const MARK_BEHIND_ROBUST_HEAD: usize = 24 + 16;

/// Versions whose exit protocol was read in source: the mark is bit 0x40 of [`mark_word`].
fn is_supported(version: &str) -> bool {
    matches!(minor(version), Some(17..=44))
}

/// Whether this version does not keep the cancel state in the word of the mark: then watching the one
/// does not confirm the other.
fn keeps_cancel_state_elsewhere(version: &str) -> bool {
    matches!(minor(version), Some(34 | 35))
}

fn minor(version: &str) -> Option<u64> {
    let rest = version.strip_prefix("2.")?;
    crate::sys::limits::parse_number(rest.as_bytes())
}

fn glibc_version() -> Option<&'static str> {
    // SAFETY: the type of gnu_get_libc_version(3).
    let function =
        unsafe { symbols::function::<extern "C" fn() -> *const c_char>(c"gnu_get_libc_version") };
    let Some(function) = function else {
        return configured_version();
    };
    // SAFETY: it returns a static string.
    unsafe { CStr::from_ptr(function()) }.to_str().ok()
}

/// The version as confstr(3) has it, for a static program that does not contain the function. Another
/// libc knows no such name.
fn configured_version() -> Option<&'static str> {
    /// `_CS_GNU_LIBC_VERSION` of glibc's bits/confname.h.
    const GNU_LIBC_VERSION: i32 = 2;
    unsafe extern "C" {
        fn confstr(name: i32, buffer: *mut c_char, len: usize) -> usize;
    }
    let page = memory::map(memory::page_size()).ok()?.as_ptr();
    // SAFETY: a fresh page, all zeroes, which ends in a zero whatever confstr writes to the bytes before.
    let text = unsafe {
        confstr(GNU_LIBC_VERSION, page.cast(), memory::page_size() - 1);
        CStr::from_ptr(page.cast_const().cast())
    };
    text.to_str().ok()?.strip_prefix("glibc ")
}

fn find_rseq() -> Option<Rseq> {
    let offset = symbols::get(c"__rseq_offset").cast::<isize>();
    let size = symbols::get(c"__rseq_size").cast::<u32>();
    if offset.is_null() || size.is_null() {
        return if symbols::get(c"gnu_get_libc_version").is_null() {
            find_registered_rseq()
        } else {
            None
        };
    }
    // SAFETY: glibc's documented variables of these types, constant after start-up.
    let (offset, size) = unsafe { (*offset, *size) };
    // The size says which features are active; the area registered is at least 32 bytes. 0: the
    // program or a tunable turned rseq off.
    (size != 0).then_some(Rseq {
        offset,
        len: size.max(32),
    })
}

/// The area of the calling thread, in a program whose symbols cannot be asked for: the kernel says
/// EBUSY of the one address that is registered already, and EINVAL of all others (kernel/rseq.c). It
/// lies in the control block, since glibc 2.42 below it, at a multiple of its alignment.
fn find_registered_rseq() -> Option<Rseq> {
    const LEN: u32 = 32;
    const AROUND: isize = 2048;
    #[repr(align(32))]
    struct Area([u8; LEN as usize]);

    let mut scratch = Area([0; LEN as usize]);
    let scratch = scratch.0.as_mut_ptr();
    // SAFETY: the place is this frame's, and unregistered again if the kernel took it.
    unsafe {
        if task::register_rseq(scratch, LEN, arch::RSEQ_SIGNATURE).is_ok() {
            let _ = task::unregister_rseq(scratch, LEN, arch::RSEQ_SIGNATURE);
            return None;
        }
    }
    let thread_pointer = arch::thread_pointer();
    let first = (thread_pointer as isize & 31).wrapping_neg() - AROUND;
    (first..AROUND)
        .step_by(32)
        .find(|offset| {
            let place = thread_pointer.wrapping_offset(*offset);
            // SAFETY: an area is registered already, so the kernel takes no other and writes nothing.
            let answer = unsafe { task::register_rseq(place, LEN, arch::RSEQ_SIGNATURE) };
            answer == Err(Errno::new(libc::EBUSY))
        })
        .map(|offset| Rseq { offset, len: LEN })
}

/// glibc's runner of C++ and Rust thread-local destructors; musl has none and needs none.
fn find_destructors() -> Option<unsafe extern "C" fn()> {
    // SAFETY: the type of `__call_tls_dtors` (stdlib/cxa_thread_atexit_impl.c).
    unsafe { symbols::function(c"__call_tls_dtors") }
}

/// Whether libc has a list of such destructors that we cannot empty: the next thread on a TCB
/// would inherit what is on it.
fn keeps_hidden_destructors() -> bool {
    find_destructors().is_none() && !symbols::get(c"__cxa_thread_atexit_impl").is_null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_from_2_17_to_2_44() {
        for known in [
            "2.17",
            "2.33",
            "2.34",
            "2.35",
            "2.36",
            "2.36.9000",
            "2.43",
            "2.44",
        ] {
            assert!(is_supported(known), "{known}");
        }
        for unknown in ["2.16", "2.45", "2.99", "3.17", "2.", "1.2.5", ""] {
            assert!(!is_supported(unknown), "{unknown}");
        }
        let elsewhere =
            (0..100).filter(|minor| keeps_cancel_state_elsewhere(&std::format!("2.{minor}")));
        assert_eq!(elsewhere.collect::<std::vec::Vec<_>>(), [34, 35]);
    }
}
