//! The caller's credentials (ids, capabilities, namespaces), and the kernel's release.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;

use super::arch::{syscall0, syscall1, syscall2, syscall3, syscall4};
use super::errno::Errno;
use super::file::{self, OwnedFd};

/// `CAP_SYS_ADMIN`, as a bit number of [`capabilities`].
pub(crate) const CAP_SYS_ADMIN: u32 = 21;
/// `CAP_SYS_RESOURCE`.
pub(crate) const CAP_SYS_RESOURCE: u32 = 24;
/// `CAP_CHECKPOINT_RESTORE`, since Linux 5.9.
pub(crate) const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// The kernel's release as `uname -r` prints it: the text and its length in bytes.
pub(crate) fn kernel_release() -> ([u8; 65], usize) {
    /// `struct new_utsname` of `include/uapi/linux/utsname.h`.
    #[repr(C)]
    struct Names {
        system: [u8; 65],
        node: [u8; 65],
        release: [u8; 65],
        rest: [[u8; 65]; 3],
    }
    let mut names = Names {
        system: [0; 65],
        node: [0; 65],
        release: [0; 65],
        rest: [[0; 65]; 3],
    };
    // SAFETY: the kernel writes one such structure.
    unsafe { syscall1(libc::SYS_uname, core::ptr::from_mut(&mut names) as usize) };
    let len = names.release.iter().take_while(|byte| **byte != 0).count();
    (names.release, len)
}

/// The calling thread's real user id.
pub(crate) fn real_uid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_getuid) as u32 }
}

/// The calling thread's effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_geteuid) as u32 }
}

/// The calling thread's effective group id.
pub(crate) fn effective_gid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { syscall0(libc::SYS_getegid) as u32 }
}

/// The calling thread's real, effective and saved user id.
#[cfg(feature = "alloc")]
pub(crate) fn user_ids() -> [u32; 3] {
    three_ids(libc::SYS_getresuid)
}

/// The calling thread's real, effective and saved group id.
#[cfg(feature = "alloc")]
pub(crate) fn group_ids() -> [u32; 3] {
    three_ids(libc::SYS_getresgid)
}

#[cfg(feature = "alloc")]
fn three_ids(call: libc::c_long) -> [u32; 3] {
    let mut ids = [0u32; 3];
    let [real, effective, saved] = ids.each_mut().map(|id| core::ptr::from_mut(id) as usize);
    // SAFETY: the kernel writes three words; it fails for bad addresses alone.
    unsafe { syscall3(call, real, effective, saved) };
    ids
}

/// A thread's capability sets, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

/// The calling thread's effective, permitted and inheritable capabilities; `None` if they cannot
/// be asked.
pub(crate) fn capability_sets() -> Option<Capabilities> {
    // `_LINUX_CAPABILITY_VERSION_3` and the calling thread.
    const VERSION: u32 = 0x2008_0522;
    let mut header = [VERSION, 0];
    // Twice (effective, permitted, inheritable): low and high halves.
    let mut data = [0u32; 6];
    // SAFETY: the kernel reads and perhaps writes the header, and writes six words.
    let returned = unsafe {
        syscall2(
            libc::SYS_capget,
            core::ptr::from_mut(&mut header) as usize,
            data.as_mut_ptr() as usize,
        )
    };
    Errno::check(returned).ok()?;
    let set = |low: usize| u64::from(data[low]) | u64::from(data[low + 3]) << 32;
    Some(Capabilities {
        effective: set(0),
        permitted: set(1),
        inheritable: set(2),
    })
}

/// The calling thread's effective capabilities, bit by bit; none if they cannot be asked.
pub(crate) fn capabilities() -> u64 {
    capability_sets().map_or(0, |sets| sets.effective)
}

/// The calling thread's scheduling policy with its reset-on-fork bit; 0 if the call is refused.
pub(crate) fn scheduling_policy() -> i32 {
    // SAFETY: the calling thread; no memory.
    Errno::check(unsafe { syscall1(libc::SYS_sched_getscheduler, 0) }).map_or(0, |bits| bits as i32)
}

/// The target of a symbolic link: its first 64 bytes, padded with zeros.
pub(crate) fn readlink(path: &CStr) -> Result<[u8; 64], Errno> {
    let mut text = [0u8; 64];
    // SAFETY: the path ends in NUL; the kernel writes at most the buffer's length.
    let returned = unsafe {
        syscall4(
            libc::SYS_readlinkat,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
            text.as_mut_ptr() as usize,
            text.len(),
        )
    };
    Errno::check(returned).map(|_| text)
}

/// Whether the namespace at this link belongs to the caller's user namespace or one below it, so
/// that the caller's capabilities hold there; false if the kernel does not say.
pub(crate) fn owns_namespace(namespace: &CStr) -> bool {
    // `NS_GET_USERNS`, ioctl_ns(2): EPERM if the owner is neither.
    const NS_GET_USERNS: usize = 0xb701;
    let Ok(link) = file::open(namespace, libc::O_RDONLY) else {
        return false;
    };
    // SAFETY: this request takes no argument and returns a new descriptor.
    let returned = unsafe { syscall3(libc::SYS_ioctl, link.as_raw() as usize, NS_GET_USERNS, 0) };
    Errno::check(returned)
        // SAFETY: the request made the descriptor for this call.
        .map(|fd| unsafe { OwnedFd::from_raw(fd as i32) })
        .is_ok()
}
