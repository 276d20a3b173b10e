//! Giving up rights: capabilities, seccomp filters, Landlock rules, namespaces of others.
//!
//! As in `process`, everything here may run in the child of a `vfork`.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;

use super::arch::{syscall2, syscall3, syscall5};
use super::errno::Errno;
use super::file::OwnedFd;

fn prctl(option: i32, argument: usize, second: usize) -> Result<usize, Errno> {
    // SAFETY: the options used here take numbers; unused arguments are zero.
    let returned = unsafe { syscall5(libc::SYS_prctl, option as usize, argument, second, 0, 0) };
    Errno::check(returned)
}

/// The calling thread's capability sets: bit n stands for capability n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapabilitySets {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

/// `struct __user_cap_header_struct`, version 3, for the calling thread.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

const VERSION_3: CapabilityHeader = CapabilityHeader {
    version: 0x2008_0522,
    pid: 0,
};

pub(crate) fn capability_sets() -> Result<CapabilitySets, Errno> {
    let mut header = VERSION_3;
    let mut words = [0u32; 6];
    // SAFETY: version 3 has two structures of three words, which the kernel writes.
    let returned = unsafe {
        syscall2(
            libc::SYS_capget,
            core::ptr::from_mut(&mut header) as usize,
            words.as_mut_ptr() as usize,
        )
    };
    let join = |low: usize| u64::from(words[low]) | u64::from(words[low + 3]) << 32;
    Errno::check(returned).map(|_| CapabilitySets {
        effective: join(0),
        permitted: join(1),
        inheritable: join(2),
    })
}

pub(crate) fn set_capability_sets(sets: CapabilitySets) -> Result<(), Errno> {
    let mut header = VERSION_3;
    let (low, high) = (|set: u64| set as u32, |set: u64| (set >> 32) as u32);
    let words = [
        low(sets.effective),
        low(sets.permitted),
        low(sets.inheritable),
        high(sets.effective),
        high(sets.permitted),
        high(sets.inheritable),
    ];
    // SAFETY: version 3 has two structures of three words, which the kernel reads.
    let returned = unsafe {
        syscall2(
            libc::SYS_capset,
            core::ptr::from_mut(&mut header) as usize,
            words.as_ptr() as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Takes a capability from the bounding set; EINVAL if the kernel has no such capability.
pub(crate) fn drop_bounding(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, capability as usize, 0).map(drop)
}

/// Whether a capability is in the bounding set; EINVAL if the kernel has no such capability.
pub(crate) fn is_bounding(capability: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, capability as usize, 0).map(|answer| answer == 1)
}

/// Adds a capability, which must be permitted and inheritable, to the ambient set (Linux 4.3).
pub(crate) fn raise_ambient(capability: u32) -> Result<(), Errno> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as usize;
    prctl(libc::PR_CAP_AMBIENT, raise, capability as usize).map(drop)
}

/// Empties the ambient set (Linux 4.3).
pub(crate) fn clear_ambient() -> Result<(), Errno> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as usize;
    prctl(libc::PR_CAP_AMBIENT, clear, 0).map(drop)
}

/// Has the next change of ids leave the permitted set as it is.
pub(crate) fn keep_capabilities() -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// Sets the securebits, `libc::SECBIT_*`.
pub(crate) fn set_securebits(bits: u32) -> Result<(), Errno> {
    prctl(libc::PR_SET_SECUREBITS, bits as usize, 0).map(drop)
}

/// Installs a seccomp filter: instructions of eight bytes, `struct sock_filter`.
pub(crate) fn install_filter(instructions: &[u64]) -> Result<(), Errno> {
    let Ok(len) = u16::try_from(instructions.len()) else {
        return Err(Errno::EINVAL);
    };
    let program = libc::sock_fprog {
        len,
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the kernel reads `len` instructions of eight bytes, and checks them.
    let returned = unsafe {
        syscall3(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER as usize,
            0,
            core::ptr::from_ref(&program) as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Moves the caller into namespaces: those of kind `flags` that `fd`, a namespace or a pidfd, has.
pub(crate) fn set_namespace(fd: i32, flags: u64) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe { syscall2(libc::SYS_setns, fd as usize, flags as usize) };
    Errno::check(returned).map(drop)
}

/// The version of Landlock's ABI.
pub(crate) fn landlock_version() -> Result<usize, Errno> {
    const LANDLOCK_CREATE_RULESET_VERSION: usize = 1;
    // SAFETY: this request takes no structure.
    let returned = unsafe {
        syscall3(
            libc::SYS_landlock_create_ruleset,
            0,
            0,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    Errno::check(returned)
}

/// A ruleset that forbids these accesses to files but where a rule allows them.
pub(crate) fn landlock_ruleset(handled_files: u64) -> Result<OwnedFd, Errno> {
    let attributes = [handled_files];
    // SAFETY: the kernel reads eight bytes, the first version of `struct landlock_ruleset_attr`.
    let returned = unsafe {
        syscall3(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr() as usize,
            size_of_val(&attributes),
            0,
        )
    };
    // SAFETY: the call made the descriptor for this caller.
    Errno::check(returned).map(|fd| unsafe { OwnedFd::from_raw(fd as i32) })
}

/// Allows accesses below a directory, or to a file.
pub(crate) fn landlock_allow(ruleset: i32, allowed: u64, path: &CStr) -> Result<(), Errno> {
    const LANDLOCK_RULE_PATH_BENEATH: usize = 1;
    #[repr(C, packed)]
    struct PathBeneath {
        allowed: u64,
        parent: i32,
    }
    let parent = super::file::open(path, libc::O_PATH)?;
    let rule = PathBeneath {
        allowed,
        parent: parent.as_raw(),
    };
    // SAFETY: the kernel reads one packed structure.
    let returned = unsafe {
        syscall5(
            libc::SYS_landlock_add_rule,
            ruleset as usize,
            LANDLOCK_RULE_PATH_BENEATH,
            core::ptr::from_ref(&rule) as usize,
            0,
            0,
        )
    };
    Errno::check(returned).map(drop)
}

/// Puts the rules in force for the calling thread and its descendants.
pub(crate) fn landlock_restrict(ruleset: i32) -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe { syscall2(libc::SYS_landlock_restrict_self, ruleset as usize, 0) };
    Errno::check(returned).map(drop)
}
