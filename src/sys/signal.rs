//! Signal masks, alternate stacks, dispositions, and sending to one thread.
#![allow(unsafe_code, reason = "the kernel boundary")]

use super::arch::{syscall2, syscall3, syscall4};
use super::errno::Errno;

/// The kernel's signal set: bit n - 1 stands for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub(crate) struct SigSet(pub(crate) u64);

impl SigSet {
    pub(crate) const EMPTY: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// All but the two that glibc uses itself (32: cancel and timers, 33: setuid).
    pub(crate) const ALL_BUT_GLIBC: Self = Self::ALL.without(32).without(33);

    /// All but those that the process's C library uses itself. A thread that blocks the one by which
    /// libc changes ids stalls `setuid` for ever.
    pub(crate) fn all_but_libc() -> Self {
        libcs_own::all_others()
    }

    /// The set without what the C library uses itself.
    pub(crate) fn but_libcs_own(self) -> Self {
        Self(self.0 & Self::all_but_libc().0)
    }

    pub(crate) const fn without(self, signal: i32) -> Self {
        Self(self.0 & !(1 << (signal - 1)))
    }

    /// The set with `signal` in it; `None` if there is no such signal (1 to 64).
    #[cfg(feature = "alloc")]
    pub(crate) const fn with(self, signal: i32) -> Option<Self> {
        if signal >= 1 && signal <= 64 {
            Some(Self(self.0 | 1 << (signal - 1)))
        } else {
            None
        }
    }

    /// The signals in the set, the lowest first.
    #[cfg(feature = "alloc")]
    pub(crate) fn iter(self) -> impl Iterator<Item = i32> {
        (1..=64).filter(move |signal| self.0 >> (signal - 1) & 1 == 1)
    }
}

/// No C library: what its absence leaves open is glibc's.
#[cfg(not(feature = "hosted"))]
mod libcs_own {
    pub(super) fn all_others() -> super::SigSet {
        super::SigSet::ALL_BUT_GLIBC
    }
}

/// Which signals the C library uses itself: those from 32, the kernel's first real-time signal, to the one
/// before its `SIGRTMIN`. musl changes ids by 34.
#[cfg(feature = "hosted")]
mod libcs_own {
    use core::ptr;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::SigSet;

    /// The answer; 0: not asked yet. Relaxed: every thread stores the same, and it orders nothing.
    static ALL_OTHERS: AtomicU64 = AtomicU64::new(0);

    pub(super) fn all_others() -> SigSet {
        match ALL_OTHERS.load(Ordering::Relaxed) {
            0 => ask(),
            bits => SigSet(bits),
        }
    }

    #[cold]
    fn ask() -> SigSet {
        let mut others = SigSet::ALL_BUT_GLIBC;
        // glibc's SIGRTMIN grows when the program takes one for itself (`__libc_allocate_rtsig`).
        if !is_glibc() {
            (32..libc::SIGRTMIN()).for_each(|signal| others = others.without(signal));
        }
        ALL_OTHERS.store(others.0, Ordering::Relaxed);
        others
    }

    /// Whether libc tells the version of a glibc (confstr(3)). A copy of this crate that was compiled for
    /// glibc may be linked with another libc.
    fn is_glibc() -> bool {
        const CS_GNU_LIBC_VERSION: i32 = 2;
        // SAFETY: asks for a length; nothing is written to a buffer of none.
        unsafe { libc::confstr(CS_GNU_LIBC_VERSION, ptr::null_mut(), 0) > 0 }
    }
}

/// Replaces the calling thread's mask and returns the old one.
pub(crate) fn set_mask(mask: SigSet) -> SigSet {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Adds to the calling thread's mask and returns the old one.
pub(crate) fn block(mask: SigSet) -> SigSet {
    change_mask(libc::SIG_BLOCK, mask)
}

/// The calling thread's mask.
pub(crate) fn current_mask() -> SigSet {
    change_mask(libc::SIG_BLOCK, SigSet::EMPTY)
}

fn change_mask(how: i32, mask: SigSet) -> SigSet {
    let mut old = SigSet::EMPTY;
    // SAFETY: both sets are 8 bytes, as the size argument says. A mask cannot make memory unsafe.
    // Where a filter refuses, the mask stays as it is, and what is returned is empty: setting that is
    // refused as well.
    unsafe {
        syscall4(
            libc::SYS_rt_sigprocmask,
            how as usize,
            core::ptr::from_ref(&mask) as usize,
            core::ptr::from_mut(&mut old) as usize,
            size_of::<SigSet>(),
        );
    }
    old
}

/// Makes `[base, base + len)` the calling thread's alternate signal stack; a null `base` disables.
///
/// # Safety
/// The range must stay writable and unused as long as it is installed.
pub(crate) unsafe fn set_alternate_stack(base: *mut u8, len: usize) -> Result<(), Errno> {
    let flags = if base.is_null() { libc::SS_DISABLE } else { 0 };
    let stack = libc::stack_t {
        ss_sp: base.cast(),
        ss_flags: flags,
        ss_size: len,
    };
    // SAFETY: the kernel reads `stack`; the caller vouches for the range.
    let returned = unsafe {
        syscall2(
            libc::SYS_sigaltstack,
            core::ptr::from_ref(&stack) as usize,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// As [`set_alternate_stack`], but a signal stack that the calling thread has already stays.
///
/// # Errors
/// As [`set_alternate_stack`].
///
/// # Safety
/// As [`set_alternate_stack`].
#[cfg(feature = "hosted")]
pub(crate) unsafe fn set_first_alternate_stack(base: *mut u8, len: usize) -> Result<(), Errno> {
    let stack = libc::stack_t {
        ss_sp: base.cast(),
        ss_flags: 0,
        ss_size: len,
    };
    let mut old = core::mem::MaybeUninit::<libc::stack_t>::zeroed();
    // One call finds none, in nearly all threads, and sets this one.
    // SAFETY: the kernel reads `stack`, for whose range the caller vouches, and fills `old`; all zeroes
    // are a valid one, too.
    let old = unsafe {
        let returned = syscall2(
            libc::SYS_sigaltstack,
            core::ptr::from_ref(&stack) as usize,
            old.as_mut_ptr() as usize,
        );
        Errno::check(returned)?;
        old.assume_init()
    };
    if !old.ss_sp.is_null() && old.ss_flags & libc::SS_DISABLE == 0 {
        // SAFETY: it was installed a moment ago, and is still there.
        unsafe { set_alternate_stack(old.ss_sp.cast(), old.ss_size) }?;
    }
    Ok(())
}

/// Sends `signal` to the thread `tid` of the process `tgid`; signal 0 only asks whether it exists.
pub(crate) fn send_to_thread(tgid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: sending a signal touches no memory of ours.
    let returned = unsafe {
        syscall3(
            libc::SYS_tgkill,
            tgid as usize,
            tid as usize,
            signal as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Sends `signal` to the process `pid`; a negative one means a process group.
pub(crate) fn send_to_process(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: sending a signal touches no memory of ours.
    Errno::check(unsafe { syscall2(libc::SYS_kill, pid as usize, signal as usize) }).map(drop)
}

/// The kernel's `struct sigaction`, the same on x86-64 and AArch64 (not libc's).
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "alloc",
    feature = "hosted"
))]
#[derive(Clone, Copy)]
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Sets the disposition of `signal` to the default. Has no effect on SIGKILL and SIGSTOP.
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "alloc",
    feature = "hosted"
))]
pub(crate) fn set_default(signal: i32) -> Result<(), Errno> {
    set_without_handler(signal, libc::SIG_DFL)
}

/// Has the process ignore `signal`.
#[cfg(all(feature = "start", not(test)))]
pub(crate) fn ignore(signal: i32) -> Result<(), Errno> {
    set_without_handler(signal, libc::SIG_IGN)
}

/// `disposition` is SIG_DFL or SIG_IGN.
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "alloc",
    feature = "hosted"
))]
fn set_without_handler(signal: i32, disposition: usize) -> Result<(), Errno> {
    let action = KernelAction {
        handler: disposition,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    // SAFETY: neither disposition runs code of the process.
    let returned = unsafe {
        syscall4(
            libc::SYS_rt_sigaction,
            signal as usize,
            core::ptr::from_ref(&action) as usize,
            0,
            size_of::<SigSet>(),
        )
    };
    Errno::check(returned).map(drop)
}

/// What the process does at a signal.
#[cfg(feature = "alloc")]
pub(crate) struct SavedAction {
    signal: i32,
    action: KernelAction,
}

#[cfg(feature = "alloc")]
impl SavedAction {
    /// `None` where a sandbox refuses the question, or there is no such signal.
    pub(crate) fn of(signal: i32) -> Option<Self> {
        let mut action = KernelAction {
            handler: libc::SIG_DFL,
            flags: 0,
            restorer: 0,
            mask: 0,
        };
        // SAFETY: the kernel writes one structure.
        let returned = unsafe {
            syscall4(
                libc::SYS_rt_sigaction,
                signal as usize,
                0,
                core::ptr::from_mut(&mut action) as usize,
                size_of::<SigSet>(),
            )
        };
        Errno::check(returned).ok()?;
        Some(Self { signal, action })
    }

    pub(crate) fn put_back(&self) {
        // SAFETY: the structure that the kernel wrote, whose handler was in force.
        unsafe {
            syscall4(
                libc::SYS_rt_sigaction,
                self.signal as usize,
                core::ptr::from_ref(&self.action) as usize,
                0,
                size_of::<SigSet>(),
            )
        };
    }

    /// Whether it is a function of the program's.
    fn is_handler(&self) -> bool {
        ![libc::SIG_DFL, libc::SIG_IGN].contains(&self.action.handler)
    }
}

/// Gives every signal that has a handler its default disposition; ignored ones stay ignored. What
/// `CLONE_CLEAR_SIGHAND` does, for kernels and sandboxes without `clone3`.
#[cfg(feature = "alloc")]
pub(crate) fn reset_handlers() {
    const SIGNALS: i32 = 64;
    for signal in 1..=SIGNALS {
        if SavedAction::of(signal).is_some_and(|saved| saved.is_handler()) {
            let _ = set_default(signal);
        }
    }
}
