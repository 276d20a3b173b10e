//! Finds out which libc this is and where its private words lie.
//!
//! Nothing is taken from headers: offsets are found by watching public functions change the TCB of a
//! donor, and where the behaviour of a libc is not known by its version, nothing private is written.
#![allow(unsafe_code, reason = "looks into thread control blocks")]

use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};

use super::key_table::KeyTable;
use super::libc_layout::{Host, LibcLayout, Rseq, SCHED_CACHED, Support, TcbOffset};
use super::{libc_state, pthread, symbols, tid_field};
use crate::error::Error;
use crate::sys::{arch, task};

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
    // SAFETY: passed on.
    let tid_field = unsafe { tid_field::find(base, limit, version.is_some()) }?;
    let watch = |changed_by: fn(bool)| find_changed_word(base, window, changed_by);
    let (mark, reason) = match version {
        None => (None, "not a glibc, or one that does not tell its version"),
        Some(version) if !is_supported(version) => {
            (None, "the exit protocol of this glibc version is not known")
        }
        Some(_) if keeps_hidden_destructors() => (
            None,
            "this glibc does not show how to run the destructors of thread-locals",
        ),
        Some(_) => match watch(disable_cancellation) {
            Some((word, DISABLED)) => (
                Some(word),
                "glibc of a known version, its words confirmed at run time",
            ),
            _ => (
                None,
                "the cancellation word is not found in the thread control block",
            ),
        },
    };
    let sched_cache = watch(touch_sched_cache)
        .filter(|(_, bits)| mark.is_some() && *bits == SCHED_CACHED)
        .map(|(word, _)| from_tcb(word));
    Ok(Host {
        libc: if version.is_some() {
            "glibc"
        } else {
            "another libc"
        },
        version,
        support: if mark.is_some() {
            Support::Full
        } else {
            Support::Partial
        },
        reason,
        layout: LibcLayout {
            tid_offset: from_tcb(tid_field),
            handle_offset: from_tcb(base),
            robust_head: TcbOffset::find(task::robust_list()),
            clear_tid: TcbOffset::find(task::get_tid_address()),
            cancelhandling_offset: mark.map_or(0, from_tcb),
            sched_cache_offset: sched_cache,
            rseq: find_rseq(),
            call_tls_destructors: find_destructors(),
            keys: KeyTable::find(),
            libc_state: libc_state::Functions::find(version.is_some()),
            can_reset_tls: !symbols::has_sanitizer(),
        },
    })
}

/// Bytes in which glibc keeps the words that are found by watching them change.
const WATCHED: usize = 1200;

/// The one word that `change(true)` changes, and which of its bits; `change(false)` undoes it.
fn find_changed_word(base: *const u8, window: usize, change: fn(bool)) -> Option<(*const u8, u32)> {
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

fn read(word: *const u8) -> u32 {
    // SAFETY: inside the window, which the caller of `probe` vouches is mapped. Atomic, because
    // libc may write some of these words from other threads.
    unsafe { (*word.cast::<AtomicI32>()).load(Ordering::Relaxed) as u32 }
}

/// Versions whose exit protocol was read in source and tried: the mark is bit 0x40 of the word
/// that the cancel state is bit 0 of.
fn is_supported(version: &str) -> bool {
    let minor = version
        .strip_prefix("2.")
        .and_then(|rest| crate::sys::limits::parse_number(rest.as_bytes()));
    // 2.34 and 2.35 keep the cancel state in a byte of its own, the mark elsewhere.
    matches!(minor, Some(17..=33 | 36..=42))
}

fn glibc_version() -> Option<&'static str> {
    // SAFETY: the type of gnu_get_libc_version(3).
    let function = unsafe {
        symbols::function::<extern "C" fn() -> *const core::ffi::c_char>(c"gnu_get_libc_version")
    }?;
    // SAFETY: it returns a static string.
    unsafe { core::ffi::CStr::from_ptr(function()) }
        .to_str()
        .ok()
}

fn find_rseq() -> Option<Rseq> {
    let offset = symbols::get(c"__rseq_offset").cast::<isize>();
    let size = symbols::get(c"__rseq_size").cast::<u32>();
    if offset.is_null() || size.is_null() {
        return None;
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
