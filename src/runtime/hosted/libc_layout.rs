//! Which libc this is, where its private words lie, and how far we may go with it.
//!
//! Nothing is taken from headers: offsets are found by watching public functions change a TCB of
//! our own making, and a libc whose behaviour is not known by version is only written to where
//! nothing private is touched.
#![allow(unsafe_code, reason = "looks into thread control blocks")]

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32, Ordering};

use super::pthread_keys::KeyTable;
use super::{donor, libc_state, symbols, thread_pointer, tid_field};
use crate::error::Error;
use crate::sys::{Errno, arch, memory, task};

/// How well threads of this crate fit into the process.
///
/// ```
/// use rawthread::Support;
///
/// match rawthread::host()?.support() {
///     Support::Full => println!("as good as pthreads"),
///     Support::Partial => println!("setuid does not reach rawthreads"),
///     _ => println!("something between"),
/// }
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// Everything that works in a pthread works in a rawthread: setuid, fork, dlopen included.
    Full,
    /// malloc, errno, thread-locals, locks and stdio work; setuid and `pthread_kill` do not reach
    /// rawthreads, and musl does not hand on the robust mutexes that they leave locked.
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
    libc: &'static str,
    version: Option<&'static str>,
    support: Support,
    reason: &'static str,
    pub(super) layout: LibcLayout,
}

/// Where libc keeps what we need; offsets are from the thread pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibcLayout {
    pub(super) tid_offset: isize,
    /// Where `pthread_t`, taken as an address, points.
    handle_offset: isize,
    /// What libc registers for its threads with set_robust_list and as clear-tid word.
    pub(super) robust_head: TcbOffset,
    pub(super) clear_tid: TcbOffset,
    /// The word with the SETXID mark; 0 in guests.
    pub(super) cancelhandling_offset: isize,
    /// The word in which glibc notes that it knows the thread's scheduling; only where it is
    /// found and may be written.
    pub(super) sched_cache_offset: Option<isize>,
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
    fn find<T>(address: Result<*mut T, Errno>) -> Self {
        let address = address.ok().filter(|address| !address.is_null());
        Self(address.map(|address| address as isize - thread_pointer() as isize))
    }

    /// The same place of another thread; null if there is none.
    pub(super) fn in_tcb(self, thread_pointer: *mut u8) -> *mut u8 {
        self.0.map_or(ptr::null_mut(), |offset| {
            thread_pointer.wrapping_offset(offset)
        })
    }
}

/// libc's restartable-sequences area (`__rseq_offset`, `__rseq_size`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Rseq {
    offset: isize,
    len: u32,
}

impl Host {
    /// The C library's name: `"glibc"` or `"another libc"`.
    ///
    /// ```
    /// assert!(!rawthread::host()?.libc().is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn libc(&self) -> &'static str {
        self.libc
    }

    /// Its version, where it tells one.
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

    /// How well rawthreads fit in.
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

/// What was found out; null until somebody asked. The value is never freed.
static HOST: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

/// What a test asked for.
///
/// | value | meaning |
/// |---|---|
/// | 0 | decide by looking |
/// | `PARTIAL` | partial support, whatever is found |
/// | `UNSUPPORTED` | make no threads |
///
/// Relaxed: tests set it before they make threads.
static TEST_OVERRIDE: AtomicU8 = AtomicU8::new(0);
const PARTIAL: u8 = 1;
const UNSUPPORTED: u8 = 2;

/// Switches for tests; they only make less of what is found.
#[doc(hidden)]
pub mod testing {
    use super::{PARTIAL, TEST_OVERRIDE, UNSUPPORTED, try_get};
    use core::sync::atomic::Ordering;

    /// Assume partial support, if nothing was decided yet; whether it was not.
    pub fn assume_partial() -> bool {
        TEST_OVERRIDE.store(PARTIAL, Ordering::Relaxed);
        try_get().is_none()
    }

    /// Be where no threads can be made, if nothing was decided yet; whether it was not.
    pub fn assume_unsupported() -> bool {
        TEST_OVERRIDE.store(UNSUPPORTED, Ordering::Relaxed);
        try_get().is_none()
    }
}

/// The host, if it was looked at already.
pub(super) fn try_get() -> Option<&'static Host> {
    // SAFETY: a non-null value was published by `publish` and is never freed. Acquire pairs with
    // its Release.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// The host; the first call makes a donor to look at it from inside.
pub(super) fn get_or_probe() -> Result<&'static Host, Error> {
    match try_get() {
        Some(host) => Ok(host),
        None if TEST_OVERRIDE.load(Ordering::Relaxed) == UNSUPPORTED => Err(OVERRIDDEN_UNSUPPORTED),
        None => donor::init(),
    }
}

const OVERRIDDEN_UNSUPPORTED: Error = Error::unsupported(
    "a test asked for a process in which no threads can be made",
    "Do not call the crate's hidden test switches.",
    None,
);

/// Keeps the first host that is published and returns it.
pub(super) fn publish(host: Host) -> Result<&'static Host, Error> {
    const { assert!(size_of::<Host>() <= 4096) };
    let page = memory::map(size_of::<Host>().next_multiple_of(memory::page_size()))
        .map_err(|errno| crate::diagnosis::map_error(errno, size_of::<Host>()))?
        .cast::<Host>()
        .as_ptr();
    // SAFETY: the page was just mapped for it. A loser's page is left behind: one page, once.
    unsafe { page.write(host) };
    // Release: the value before the pointer.
    let _ = HOST.compare_exchange(ptr::null_mut(), page, Ordering::Release, Ordering::Relaxed);
    try_get().ok_or(Error::unsupported(
        "the host could not be remembered",
        "Report this.",
        None,
    ))
}

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
    let base = super::pthread_address();
    let window = limit.saturating_sub(base as usize).min(WATCHED);
    let from_tcb = |address: *const u8| address as isize - thread_pointer() as isize;
    let version = glibc_version();
    // SAFETY: passed on.
    let tid_field = unsafe { tid_field::find(base, limit, version.is_some()) }?;
    let watch = |changed_by: fn(bool)| find_changed_word(base, window, changed_by);
    let (mark, reason) = match version {
        _ if TEST_OVERRIDE.load(Ordering::Relaxed) == PARTIAL => (None, "asked for by a test"),
        None => (None, "not a glibc, or one that does not tell its version"),
        Some(version) if !is_supported(version) => {
            (None, "the exit protocol of this glibc version is not known")
        }
        Some(_) if super::tls_reset::keeps_hidden_destructors() => (
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
            call_tls_destructors: super::tls_reset::find_destructors(),
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
        super::CANCEL_DISABLE
    } else {
        super::CANCEL_ENABLE
    };
    // SAFETY: a public function on the calling thread.
    unsafe { super::pthread_setcancelstate(state, ptr::null_mut()) };
}

/// The bits by which glibc says that the control block has the thread's policy and priority.
const SCHED_CACHED: u32 = 0x60;

fn touch_sched_cache(ask: bool) {
    if ask {
        let (mut policy, mut out) = (0, core::mem::MaybeUninit::uninit());
        // SAFETY: the calling thread's handle; both places are writable, and as large as this libc's.
        unsafe { libc::pthread_getschedparam(libc::pthread_self(), &mut policy, out.as_mut_ptr()) };
    }
}

/// Has libc ask the kernel for the scheduling of the next thread on this TCB, instead of
/// believing what it knows of the calling one.
///
/// # Safety
/// `thread_pointer` is the calling thread's TCB, and nobody else uses its handle.
pub(super) unsafe fn invalidate_sched_cache(thread_pointer: *mut u8) {
    if let Some(offset) = try_get().and_then(|host| host.layout.sched_cache_offset) {
        let word = thread_pointer.wrapping_offset(offset).cast::<u32>();
        // SAFETY: a word of the TCB, found by watching; libc writes it only for the handle's users.
        unsafe { word.write(word.read() & !SCHED_CACHED) };
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
    // The size tells the active features; the area registered is at least 32 bytes. 0: the
    // program or a tunable turned rseq off.
    (size != 0).then_some(Rseq {
        offset,
        len: size.max(32),
    })
}

/// Registers the calling thread's rseq area, which the kernel does not inherit.
///
/// # Safety
/// `thread_pointer` is the calling thread's TCB.
pub(super) unsafe fn register_rseq(thread_pointer: *mut u8) {
    const CPU_ID_UNINITIALIZED: u32 = u32::MAX;
    const CPU_ID_REGISTRATION_FAILED: u32 = u32::MAX - 1;

    let Some(rseq) = try_get().and_then(|host| host.layout.rseq) else {
        return;
    };
    let area = thread_pointer.wrapping_offset(rseq.offset);
    // struct rseq (linux/rseq.h): cpu_id_start, cpu_id, rseq_cs.
    // SAFETY: the area is in the caller's TCB, and the kernel does not know it yet.
    unsafe {
        area.add(4)
            .cast::<u32>()
            .write_volatile(CPU_ID_UNINITIALIZED);
        area.add(8).cast::<u64>().write_volatile(0);
        if task::register_rseq(area, rseq.len, arch::RSEQ_SIGNATURE).is_err() {
            // Readers of cpu_id then ask the kernel instead.
            area.add(4)
                .cast::<u32>()
                .write_volatile(CPU_ID_REGISTRATION_FAILED);
        }
    }
}

/// The word in which libc keeps the tid of a thread with this handle. For known hosts whose
/// `pthread_t` is the address of libc's description of the thread: all that are full.
pub(super) fn tid_field_of(handle: libc::pthread_t) -> *const AtomicI32 {
    let offset = try_get().map_or(0, |host| host.layout.tid_offset - host.layout.handle_offset);
    (handle as *const u8).wrapping_offset(offset).cast()
}

/// The word with setuid's mark in the calling thread's TCB; none where we are only guests.
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
