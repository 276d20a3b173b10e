//! Numbers that the system sets: resource limits, files of one number, the auxiliary vector.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;
#[cfg(feature = "start")]
use core::sync::atomic::{AtomicPtr, Ordering};

use super::arch::syscall4;
use super::errno::Errno;
use super::file;

/// The soft limit of resource `libc::RLIMIT_*`; `None` if there is none.
pub(crate) fn rlimit(resource: u32) -> Option<u64> {
    let mut limit = libc::rlimit64 {
        rlim_cur: u64::MAX,
        rlim_max: u64::MAX,
    };
    // SAFETY: the kernel writes one rlimit64.
    let returned = unsafe {
        syscall4(
            libc::SYS_prlimit64,
            0,
            resource as usize,
            0,
            core::ptr::from_mut(&mut limit) as usize,
        )
    };
    (Errno::check(returned).is_ok() && limit.rlim_cur != u64::MAX).then_some(limit.rlim_cur)
}

/// The first number in a small file such as `/proc/sys/kernel/pid_max`; `None` if the file is not
/// there or does not begin with one (a cgroup's "max").
pub(crate) fn read_number(path: &CStr) -> Option<u64> {
    let file = file::open(path, libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 32];
    let len = file::read(file.as_raw(), &mut buffer).ok()?;
    parse_number(&buffer[..len])
}

/// The decimal number that `text` starts with.
pub(crate) fn parse_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    text[..digits].iter().try_fold(0u64, |n, digit| {
        n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// The auxiliary vector as the kernel left it on the initial stack. Relaxed: written before the
/// process has a second thread.
#[cfg(feature = "start")]
static AUXV: AtomicPtr<[u64; 2]> = AtomicPtr::new((&raw const EMPTY_AUXV).cast_mut());
#[cfg(feature = "start")]
static EMPTY_AUXV: [u64; 2] = [libc::AT_NULL, 0];

/// Sets the vector that [`getauxval`] reads.
///
/// # Safety
/// `vector` must stay readable for good, and end in a pair whose key is AT_NULL.
#[cfg(feature = "start")]
pub(crate) unsafe fn set_auxv(vector: *const [u64; 2]) {
    AUXV.store(vector.cast_mut(), Ordering::Relaxed);
}

/// A value of the auxiliary vector (`libc::AT_*`).
#[cfg(feature = "start")]
pub(crate) fn getauxval(key: u64) -> Option<usize> {
    let vector = AUXV.load(Ordering::Relaxed);
    // SAFETY: by the contract of `set_auxv`, every pair up to AT_NULL can be read.
    let pairs = (0..).map(|index| unsafe { *vector.add(index) });
    find_auxv(key, pairs)
}

/// A value of the auxiliary vector (`libc::AT_*`), which libc has kept; `None` also for one that is 0.
#[cfg(feature = "hosted")]
pub(crate) fn getauxval(key: u64) -> Option<usize> {
    // SAFETY: a pure look-up. It sets errno where there is no such value.
    let value = unsafe { libc::getauxval(key) };
    (value != 0).then_some(value as usize)
}

/// A value of the auxiliary vector (`libc::AT_*`), from `/proc`: without libc and the feature `start`
/// the vector's address on the initial stack is not known.
#[cfg(not(any(feature = "hosted", feature = "start")))]
pub(crate) fn getauxval(key: u64) -> Option<usize> {
    let file = file::open(c"/proc/self/auxv", libc::O_RDONLY).ok()?;
    let mut pairs = [[0u64; 2]; 64];
    let bytes = size_of_val(&pairs);
    // SAFETY: plain integers may be written as bytes.
    let buffer = unsafe { core::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast::<u8>(), bytes) };
    file::read(file.as_raw(), buffer).ok()?;
    find_auxv(key, pairs.into_iter())
}

#[cfg(not(feature = "hosted"))]
fn find_auxv(key: u64, mut pairs: impl Iterator<Item = [u64; 2]>) -> Option<usize> {
    pairs
        .by_ref()
        .take_while(|pair| pair[0] != libc::AT_NULL)
        .find(|pair| pair[0] == key)
        .map(|pair| pair[1] as usize)
}
