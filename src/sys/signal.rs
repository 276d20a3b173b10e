//! Signal masks, alternate stacks, dispositions, and sending to one thread.
#![allow(unsafe_code, reason = "the kernel boundary")]

use super::arch::{syscall2, syscall3, syscall4};
use super::errno::Errno;

/// The kernel's signal set: bit n - 1 stands for signal n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub(crate) struct KernelSet(pub(crate) u64);

impl KernelSet {
    pub(crate) const EMPTY: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) const fn without(self, signal: i32) -> Self {
        Self(self.0 & !(1 << (signal - 1)))
    }
}

/// Replaces the calling thread's mask and returns the old one.
pub(crate) fn set_mask(mask: KernelSet) -> KernelSet {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Adds to the calling thread's mask and returns the old one.
pub(crate) fn block(mask: KernelSet) -> KernelSet {
    change_mask(libc::SIG_BLOCK, mask)
}

/// The calling thread's mask.
pub(crate) fn current_mask() -> KernelSet {
    change_mask(libc::SIG_BLOCK, KernelSet::EMPTY)
}

fn change_mask(how: i32, mask: KernelSet) -> KernelSet {
    let mut old = KernelSet::EMPTY;
    // SAFETY: both sets are 8 bytes, as the size argument says. A mask cannot make memory unsafe.
    let returned = unsafe {
        syscall4(
            libc::SYS_rt_sigprocmask,
            how as usize,
            core::ptr::from_ref(&mask) as usize,
            core::ptr::from_mut(&mut old) as usize,
            size_of::<KernelSet>(),
        )
    };
    debug_assert_eq!(returned, 0);
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
