//! Which libc this is, and where its private words lie: what [`probe`](super::probe) found, once.
#![allow(unsafe_code, reason = "looks into thread control blocks")]

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use super::key_table::KeyTable;
use super::libc_state;
use crate::error::Error;
use crate::sync::raw::RawMutex;
use crate::sys::{Errno, arch, memory, task};

/// How well threads of this crate fit into the process.
///
/// ```
/// use rawthread::Support;
///
/// match rawthread::host()?.support() {
///     Support::Full => println!("as good as pthreads"),
///     Support::Libc => println!("pthreads, at their speed"),
///     Support::Partial => println!("setuid does not reach threads of this crate"),
///     _ => println!("something between"),
/// }
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// Each thread is a raw clone, and everything that works in a pthread works in it: setuid, fork
    /// and dlopen included.
    Full,
    /// Each thread is created and ended by libc (`pthread_create(3)`): everything works as in a
    /// pthread, at the speed of one. With a libc that is not known well enough, under a sanitizer or
    /// valgrind, in a process that was forked while another thread was in the dynamic loader and had
    /// made no thread of this crate, and where [`serve_by_libc`](crate::serve_by_libc) asks for it.
    Libc,
    /// Only where [`allow_partial_support`](crate::allow_partial_support) was called: raw clones with a
    /// libc that is not known well enough. malloc, errno, thread-locals, locks and stdio work; setuid
    /// and `pthread_kill` do not reach threads of this crate, and musl does not hand on the robust
    /// mutexes that they leave locked.
    Partial,
}

/// The C library that hosts the process, from [`host()`](crate::host). Feature `hosted`.
///
/// ```
/// let host = rawthread::host()?;
/// println!("{} {}: {}", host.libc(), host.version().unwrap_or("?"), host.reason());
/// # Ok::<(), rawthread::Error>(())
/// ```
pub struct Host {
    pub(super) libc: &'static str,
    pub(super) version: Option<&'static str>,
    pub(super) support: Support,
    pub(super) reason: &'static str,
    pub(super) layout: LibcLayout,
}

/// Where libc keeps what we need; offsets are from the thread pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibcLayout {
    pub(super) tid_offset: isize,
    /// Where `pthread_t`, taken as an address, points.
    pub(super) handle_offset: isize,
    /// What libc registers for its threads with set_robust_list and as clear-tid word.
    pub(super) robust_head: TcbOffset,
    pub(super) clear_tid: TcbOffset,
    /// The word, one for all threads, that a libc which is no glibc has the kernel clear at a thread's end:
    /// musl's lock of its list of threads.
    pub(super) shared_clear_tid: Option<usize>,
    /// The word with the SETXID mark; 0 with partial support.
    pub(super) cancelhandling_offset: isize,
    /// The word in which glibc notes that it knows the thread's scheduling; only where it is
    /// found and may be written.
    pub(super) sched_cache_offset: Option<isize>,
    /// The word by which libc knows a thread that has ended, if it is not the tid's.
    pub(super) joinstate: Option<JoinState>,
    /// The lock that `pthread_kill` takes; used only once it is proven.
    pub(super) exit_lock: Option<isize>,
    pub(super) rseq: Option<Rseq>,
    pub(super) call_tls_destructors: Option<unsafe extern "C" fn()>,
    pub(super) keys: Option<KeyTable>,
    pub(super) libc_state: libc_state::Functions,
    /// Whether thread-local images may be written back (not under a sanitizer).
    pub(super) can_reset_tls: bool,
}

/// A place at a fixed distance from each thread pointer, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcbOffset(Option<isize>);

impl TcbOffset {
    /// The place of the calling thread, given its address; null or an error: there is none.
    pub(super) fn find<T>(address: Result<*mut T, Errno>) -> Self {
        let address = address.ok().filter(|address| !address.is_null());
        Self(address.map(|address| address as isize - arch::thread_pointer() as isize))
    }

    /// The same place of another thread; null if there is none.
    pub(super) fn in_tcb(self, thread_pointer: *mut u8) -> *mut u8 {
        self.0.map_or(ptr::null_mut(), |offset| {
            thread_pointer.wrapping_offset(offset)
        })
    }
}

/// Where `joinstate` of a control block lies, and what it holds while a thread runs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinState {
    pub(super) offset: isize,
    pub(super) alive: u32,
}

/// libc's restartable-sequences area (`__rseq_offset`, `__rseq_size`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rseq {
    pub(super) offset: isize,
    pub(super) len: u32,
}

impl Host {
    /// The C library's name: `"glibc"`, `"musl"` in a program that was compiled for it, or `"another libc"`.
    ///
    /// ```
    /// assert!(!rawthread::host()?.libc().is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn libc(&self) -> &'static str {
        self.libc
    }

    /// Its version, where it has one to show.
    ///
    /// ```
    /// # let host = rawthread::host()?;
    /// if host.libc() == "glibc" {
    ///     assert!(host.version().unwrap().starts_with("2."));
    /// }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn version(&self) -> Option<&'static str> {
        self.version
    }

    /// Returns how well libc supports threads of this crate.
    ///
    /// ```
    /// println!("{:?}", rawthread::host()?.support());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn support(&self) -> Support {
        self.support
    }

    /// Why it is that.
    ///
    /// ```
    /// assert!(!rawthread::host()?.reason().is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("libc", &self.libc)
            .field("version", &self.version)
            .field("support", &self.support)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.unwrap_or("of unknown version");
        write!(
            f,
            "{} {version}: {:?} ({})",
            self.libc, self.support, self.reason
        )
    }
}

/// What was found out; null until the probe. The value is never freed.
static HOST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

/// The host, if libc was probed already.
pub(super) fn try_get() -> Option<&'static Host> {
    // SAFETY: a non-null value was published by `publish` and is never freed. Acquire pairs with
    // its Release.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// Keeps the first host that is published and returns it.
pub(super) fn publish(host: Host) -> Result<&'static Host, Error> {
    /// Memory for the first host.
    struct Space(UnsafeCell<MaybeUninit<Host>>);
    // SAFETY: the thread that set `CLAIMED` alone writes it, before others have its address.
    unsafe impl Sync for Space {}
    static SPACE: Space = Space(UnsafeCell::new(MaybeUninit::uninit()));
    // Relaxed: it says which thread writes, and no more.
    static CLAIMED: AtomicBool = AtomicBool::new(false);

    let place = if CLAIMED.swap(true, Ordering::Relaxed) {
        // Two probed at once, or the one that claimed the space was not copied by a fork. A loser's page
        // is left behind: one page, once.
        memory::map(size_of::<Host>().next_multiple_of(memory::page_size()))
            .map_err(|errno| crate::diagnosis::map_error(errno, size_of::<Host>()))?
            .cast::<Host>()
            .as_ptr()
    } else {
        SPACE.0.get().cast::<Host>()
    };
    // SAFETY: mapped just now, or the static that this thread claimed.
    unsafe { place.write(host) };
    // Release: the value before the pointer.
    let _ = HOST.compare_exchange(ptr::null_mut(), place, Ordering::Release, Ordering::Relaxed);
    try_get().ok_or(Error::unsupported(
        "the host could not be remembered",
        "Report this.",
        None,
    ))
}

/// Held by the thread that probes the libc: two at once would see each other's probe keys, and take
/// the place of one in libc's table of keys for the other's.
static PROBE_LOCK: RawMutex = RawMutex::new();

/// That lock, which is released where the code under it panics, too.
pub(super) struct ProbeGuard(());

pub(super) fn lock_probe() -> ProbeGuard {
    PROBE_LOCK.lock();
    ProbeGuard(())
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        PROBE_LOCK.unlock();
    }
}

/// In the child of a fork: the thread that held the lock in the parent is not here.
pub(super) fn reset_probe_lock() {
    PROBE_LOCK.unlock();
}

/// The bits by which glibc says that the control block has the thread's policy and priority.
pub(super) const SCHED_CACHED: u32 = 0x60;

/// Has libc ask the kernel for the scheduling of the next thread on this TCB, instead of
/// believing what it knows of the calling one.
///
/// # Safety
/// `thread_pointer` is the calling thread's TCB, and no other thread uses its handle.
pub(super) unsafe fn invalidate_sched_cache(thread_pointer: *mut u8) {
    if let Some(offset) = try_get().and_then(|host| host.layout.sched_cache_offset) {
        let word = thread_pointer.wrapping_offset(offset).cast::<u32>();
        // SAFETY: a word of the TCB, found by watching; libc writes it only for the handle's users.
        unsafe { word.write(word.read() & !SCHED_CACHED) };
    }
}

/// The tid that libc keeps of a thread with this handle.
///
/// # Safety
/// The host is known, and its `pthread_t` is the address of libc's description of the thread, as of
/// all that are full. The thread is not joined.
pub(super) unsafe fn tid_of(handle: libc::pthread_t) -> i32 {
    let offset = try_get().map_or(0, |host| host.layout.tid_offset - host.layout.handle_offset);
    let word = (handle as *const u8).wrapping_offset(offset);
    // SAFETY: the field of a description that is there until the join; the kernel writes it, too.
    unsafe { (*word.cast::<AtomicI32>()).load(Ordering::Relaxed) }
}

/// The word with setuid's mark in the calling thread's TCB; none with partial support.
pub(super) fn current_cancelhandling() -> Option<&'static AtomicU32> {
    let host = try_get().filter(|host| host.support == Support::Full)?;
    let word = arch::thread_pointer().wrapping_offset(host.layout.cancelhandling_offset);
    // SAFETY: every thread has such a word in its TCB, which outlives it or is a slot's; the
    // reference does not leave the thread.
    Some(unsafe { &*word.cast::<AtomicU32>() })
}

/// The calling thread's tid as its TCB has it: no system call.
pub(super) fn cached_tid() -> i32 {
    match try_get() {
        // SAFETY: every thread of the process has a TCB of this libc.
        Some(host) => unsafe {
            (*arch::thread_pointer()
                .wrapping_offset(host.layout.tid_offset)
                .cast::<AtomicI32>())
            .load(Ordering::Relaxed)
        },
        None => task::tid(),
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #[test]
    fn a_panic_releases_the_probe_lock() {
        let panicked = std::panic::catch_unwind(|| {
            let _guard = super::lock_probe();
            panic!("expected in this test");
        });
        assert!(panicked.is_err());
        drop(super::lock_probe());
    }
}
