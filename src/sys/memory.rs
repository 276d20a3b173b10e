//! `mmap(2)`, `munmap(2)`, `mprotect(2)`, `madvise(2)` and `mincore(2)`, for private anonymous
//! memory; and what of it can be read.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::arch::{FIXED_PAGE_SIZE, syscall2, syscall3, syscall4, syscall6};
use super::errno::Errno;

/// Install lightweight guards (Linux 6.13): no VMA of their own.
pub(crate) const MADV_GUARD_INSTALL: i32 = 102;
/// Maps `len` bytes of zeroed private memory without reserving swap for them.
///
/// # Errors
/// ENOMEM (RLIMIT_AS, `vm.max_map_count`, address space, overcommit), EINVAL (length 0).
pub(crate) fn map(len: usize) -> Result<NonNull<u8>, Errno> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a mapping at an address that the kernel chooses replaces no other.
    let returned = unsafe {
        syscall6(
            libc::SYS_mmap,
            0,
            len,
            prot as usize,
            flags as usize,
            usize::MAX,
            0,
        )
    };
    let address = Errno::check(returned)?;
    NonNull::new(address as *mut u8).ok_or(Errno::ENOMEM)
}

/// Maps `len` bytes of zeroed memory that a forked child shares with its parent.
pub(crate) fn map_shared(len: usize) -> Result<NonNull<u8>, Errno> {
    // SAFETY: a mapping at an address that the kernel chooses replaces no other.
    let returned = unsafe {
        syscall6(
            libc::SYS_mmap,
            0,
            len,
            (libc::PROT_READ | libc::PROT_WRITE) as usize,
            (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as usize,
            usize::MAX,
            0,
        )
    };
    let address = Errno::check(returned)?;
    NonNull::new(address as *mut u8).ok_or(Errno::ENOMEM)
}

/// Unmaps whole pages.
///
/// # Safety
/// No thread may access the range any more, and no task may have its stack in it.
pub(crate) unsafe fn unmap(address: *mut u8, len: usize) -> Result<(), Errno> {
    // SAFETY: nothing uses the range any more, as the caller vouches.
    Errno::check(unsafe { syscall2(libc::SYS_munmap, address as usize, len) }).map(drop)
}

/// Changes the protection of whole pages (`libc::PROT_*`).
///
/// # Safety
/// No code may rely on access that `prot` takes away.
pub(crate) unsafe fn mprotect(address: *mut u8, len: usize, prot: i32) -> Result<(), Errno> {
    // SAFETY: the caller owns the range.
    let returned = unsafe { syscall3(libc::SYS_mprotect, address as usize, len, prot as usize) };
    Errno::check(returned).map(drop)
}

/// Replaces whole pages by ones that cannot be accessed: what [`mprotect`] does, where a filter refuses that.
///
/// # Safety
/// The range is mapped and the caller's, and no code relies on access to it.
pub(crate) unsafe fn map_guard(address: *mut u8, len: usize) -> Result<(), Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the caller owns the range.
    let returned = unsafe {
        syscall6(
            libc::SYS_mmap,
            address as usize,
            len,
            libc::PROT_NONE as usize,
            flags as usize,
            usize::MAX,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// Gives the kernel advice on whole pages (`libc::MADV_*`, the constants above).
///
/// # Safety
/// No code may rely on contents or access that the advice takes away.
pub(crate) unsafe fn madvise(address: *mut u8, len: usize, advice: i32) -> Result<(), Errno> {
    // SAFETY: the caller owns the range.
    let returned = unsafe { syscall3(libc::SYS_madvise, address as usize, len, advice as usize) };
    Errno::check(returned).map(drop)
}

/// Which pages of the range are resident: one byte each in `pages`, its lowest bit.
///
/// # Errors
/// ENOMEM if a part is not mapped, EINVAL if `address` is not a page's.
pub(crate) fn mincore(address: *const u8, len: usize, pages: &mut [u8]) -> Result<(), Errno> {
    assert!(pages.len() >= len.div_ceil(page_size()));
    // SAFETY: the kernel writes one byte a page into `pages`, which is long enough.
    let returned = unsafe {
        syscall3(
            libc::SYS_mincore,
            address as usize,
            len,
            pages.as_mut_ptr() as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Whether the kernel can read the 8 bytes at `address`.
///
/// This shows that a guard works even under an emulator that only pretends to install it.
///
/// rt_sigprocmask(2) copies the set before it looks at `how` (kernel/signal.c): EFAULT means that the
/// set cannot be read, EINVAL that only `how` is wrong. There is no such `how`, so no mask changes,
/// whatever the bytes are. An emulator that looks at `how` first answers EINVAL for a guard, too.
///
/// # Errors
/// Another answer, of a filter: nothing is known.
pub(crate) fn kernel_can_read(address: *const u8) -> Result<bool, Errno> {
    const NO_SUCH_HOW: usize = usize::MAX;
    // SAFETY: the kernel reads 8 bytes or says EFAULT, and changes nothing.
    let returned = unsafe {
        syscall4(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_HOW,
            address as usize,
            0,
            size_of::<u64>(),
        )
    };
    match Errno::check(returned) {
        Ok(_) | Err(Errno::EINVAL) => Ok(true),
        Err(errno) if errno.number() == libc::EFAULT => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The page size in bytes: the architecture's, or where it has several the one that the auxiliary
/// vector says.
pub(crate) fn page_size() -> usize {
    // 0: not asked for yet. Relaxed: every thread computes the same value.
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(FIXED_PAGE_SIZE);
    match PAGE_SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = super::limits::getauxval(libc::AT_PAGESZ).unwrap_or(65536);
            PAGE_SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Copies words of this process from an address that may be unmapped; whether all could be read.
#[cfg(feature = "hosted")]
pub(crate) fn read(address: usize, words: &mut [usize]) -> bool {
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: size_of_val(words),
    };
    let remote = libc::iovec {
        iov_base: core::ptr::without_provenance_mut(address),
        iov_len: local.iov_len,
    };
    // SAFETY: the kernel writes to `words` only, and returns an error for what it cannot read.
    let returned = unsafe {
        super::arch::syscall6(
            libc::SYS_process_vm_readv,
            super::task::pid() as usize,
            core::ptr::from_ref(&local) as usize,
            1,
            core::ptr::from_ref(&remote) as usize,
            1,
            0,
        )
    };
    Errno::check(returned) == Ok(local.iov_len)
}
