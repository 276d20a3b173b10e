//! What the program asked for before its first thread.
#![allow(unsafe_code, reason = "declares a function that trusts its caller")]

use core::sync::atomic::{AtomicU32, Ordering};

use super::libc_layout::{self, Support};
use super::loader_lock;
use crate::error::Error;

/// | value | meaning |
/// |---|---|
/// | `BEST` | nothing was asked: `Full` where it is proven and the loader can be asked, else `Libc` |
/// | `LIBC` | `Libc` everywhere |
/// | `PARTIAL` | `Partial` instead of `Libc` where a libc is not known well enough |
///
/// Relaxed: written and read under `PROBE_LOCK`, or by the thread that a holder of it waits for.
static WANTED: AtomicU32 = AtomicU32::new(BEST);
const BEST: u32 = 0;
const LIBC: u32 = 1;
const PARTIAL: u32 = 2;

/// Has libc make every thread of this crate in this process ([`Support::Libc`]). Feature `hosted`.
///
/// By itself the crate does so where the libc is not known well enough, and under a sanitizer. A
/// program asks for it where a tool or a library must see each thread begin and end by
/// `pthread_create(3)`; the price is that a thread costs what libc's own cost.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput): the process has threads of this crate already, or
/// has asked for [`host`](crate::host()), and is served in another way. Call it first in `main`.
///
/// ```
/// rawthread::serve_by_libc()?;
/// assert_eq!(rawthread::host()?.support(), rawthread::Support::Libc);
/// assert_eq!(rawthread::spawn(|| 5).join().unwrap(), 5);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn serve_by_libc() -> Result<(), Error> {
    want(LIBC, Support::Libc)
}

/// Lets threads be raw clones in a libc that is not known well enough for [`Support::Full`]
/// ([`Support::Partial`]). Feature `hosted`.
///
/// Without this call such a libc makes the threads itself, and nothing of what follows needs care.
/// Where support is full nothing changes.
///
/// # Errors
/// As [`serve_by_libc`].
///
/// # Safety
/// The caller knows this libc: it leaves the control block of a thread that has ended and was not
/// joined usable, with all that lies in it. No code of the process relies on setuid and its family, or
/// `pthread_kill`, reaching all threads: a process that gives up rights keeps threads that have them,
/// and setegid beside such a thread may hang on musl. Robust mutexes that a thread leaves locked may
/// stay so.
///
/// ```no_run
/// // SAFETY: the program runs on one libc, which was tried, and never changes its ids.
/// unsafe { rawthread::allow_partial_support()? };
/// println!("{}", rawthread::host()?);
/// # Ok::<(), rawthread::Error>(())
/// ```
pub unsafe fn allow_partial_support() -> Result<(), Error> {
    match libc_layout::try_get() {
        Some(host) if host.support() == Support::Full => Ok(()),
        _ => want(PARTIAL, Support::Partial),
    }
}

fn want(wanted: u32, support: Support) -> Result<(), Error> {
    let _guard = libc_layout::lock_probe();
    match libc_layout::try_get() {
        None => {
            WANTED.store(wanted, Ordering::Relaxed);
            Ok(())
        }
        Some(host) if host.support() == support => Ok(()),
        Some(_) => Err(Error::invalid_input(
            "the process has threads already, and how they are made is decided by the first",
            "Call this before anything else of this crate, first in main.",
        )),
    }
}

/// The support of a process whose libc is `proven` or not.
pub(super) fn decide(
    proven: bool,
    is_watched: bool,
    reason: &'static str,
) -> (Support, &'static str) {
    match WANTED.load(Ordering::Relaxed) {
        LIBC => (
            Support::Libc,
            "the program asked for threads of libc's own making",
        ),
        _ if is_watched => (
            Support::Libc,
            "a sanitizer or valgrind watches the process, and must see pthread_create",
        ),
        _ if loader_lock::is_lost() => (
            Support::Libc,
            "the process was forked while another thread loaded or closed a library, and may not ask \
             the loader",
        ),
        _ if proven => (Support::Full, reason),
        PARTIAL => (Support::Partial, reason),
        _ => (Support::Libc, reason),
    }
}
