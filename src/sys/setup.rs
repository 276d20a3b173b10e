//! Setting up a mount namespace, a network namespace and what else a program finds.
//!
//! As in `process`, everything here may run in the child of a `vfork`.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;

use super::arch::{syscall2, syscall3, syscall4, syscall5};
use super::errno::Errno;
use super::file::{self, OwnedFd};

/// Unmounts what is mounted at `target`, with `libc::MNT_*` and `libc::UMOUNT_NOFOLLOW`.
pub(crate) fn unmount(target: &CStr, flags: i32) -> Result<(), Errno> {
    // SAFETY: the path ends in NUL.
    let returned = unsafe { syscall2(libc::SYS_umount2, target.as_ptr() as usize, flags as usize) };
    Errno::check(returned).map(drop)
}

/// What [`restrict_mounts`] knows, as flags of `mount(2)`; `mount_setattr(2)` has the same four bits.
pub(crate) const MOUNT_RESTRICTIONS: u64 =
    libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// Sets restrictions of the mount at `target` and of all mounts below it.
pub(crate) fn restrict_mounts(target: &CStr, restrictions: u64) -> Result<(), Errno> {
    /// `struct mount_attr` (linux/mount.h), version 0.
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    /// linux/fcntl.h: all below too.
    const AT_RECURSIVE: usize = 0x8000;
    let attributes = MountAttr {
        set: restrictions & MOUNT_RESTRICTIONS,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path ends in NUL, and the kernel reads as many bytes as the size says.
    let returned = unsafe {
        syscall5(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD as isize as usize,
            target.as_ptr() as usize,
            AT_RECURSIVE,
            core::ptr::from_ref(&attributes) as usize,
            size_of::<MountAttr>(),
        )
    };
    Errno::check(returned).map(drop)
}

/// Makes the mount at the working directory the root, stacked on the old one, which lies on top there.
pub(crate) fn pivot_root_here() -> Result<(), Errno> {
    let here = c".".as_ptr() as usize;
    // SAFETY: both paths end in NUL.
    Errno::check(unsafe { syscall2(libc::SYS_pivot_root, here, here) }).map(drop)
}

pub(crate) fn make_dir(path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the path ends in NUL.
    let returned = unsafe {
        syscall3(
            libc::SYS_mkdirat,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
            mode as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Makes a symbolic link at `path`.
pub(crate) fn symlink(target: &CStr, path: &CStr) -> Result<(), Errno> {
    // SAFETY: both paths end in NUL.
    let returned = unsafe {
        syscall3(
            libc::SYS_symlinkat,
            target.as_ptr() as usize,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Writes to a file that exists or, with a mode, to a new one.
pub(crate) fn write_file(path: &CStr, bytes: &[u8], mode: Option<u32>) -> Result<(), Errno> {
    let create = if mode.is_some() {
        libc::O_CREAT | libc::O_TRUNC
    } else {
        0
    };
    // SAFETY: the path ends in NUL.
    let returned = unsafe {
        syscall4(
            libc::SYS_openat,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
            (libc::O_WRONLY | libc::O_CLOEXEC | create) as usize,
            mode.unwrap_or(0) as usize,
        )
    };
    // SAFETY: the call made the descriptor for this caller.
    let file = Errno::check(returned).map(|fd| unsafe { OwnedFd::from_raw(fd as i32) })?;
    let mut left = bytes;
    while !left.is_empty() {
        match file::write(file.as_raw(), left) {
            Ok(count) => left = left.get(count..).unwrap_or(&[]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sets the loopback device of the caller's network namespace up.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: no memory.
    let returned = unsafe {
        syscall3(
            libc::SYS_socket,
            libc::AF_INET as usize,
            (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize,
            0,
        )
    };
    // SAFETY: the call made the descriptor for this caller.
    let socket = Errno::check(returned).map(|fd| unsafe { OwnedFd::from_raw(fd as i32) })?;
    /// `struct ifreq`: a name of 16 bytes and a union of 24.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Request {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: 0,
        rest: [0; 22],
    };
    let ioctl = |number: usize, request: &mut Request| {
        // SAFETY: both requests read and write one `struct ifreq`.
        let returned = unsafe {
            syscall3(
                libc::SYS_ioctl,
                socket.as_raw() as usize,
                number,
                core::ptr::from_mut(request) as usize,
            )
        };
        Errno::check(returned)
    };
    ioctl(libc::SIOCGIFFLAGS as usize, &mut request)?;
    request.flags |= libc::IFF_UP as u16;
    ioctl(libc::SIOCSIFFLAGS as usize, &mut request).map(drop)
}

/// Makes the caller's process group the foreground one of the terminal `fd`.
pub(crate) fn set_foreground(fd: i32) -> Result<(), Errno> {
    // SAFETY: no arguments, no memory.
    let group = Errno::check(unsafe { syscall2(libc::SYS_getpgid, 0, 0) })? as i32;
    // SAFETY: the request reads one pid.
    let returned = unsafe {
        syscall3(
            libc::SYS_ioctl,
            fd as usize,
            libc::TIOCSPGRP as usize,
            core::ptr::from_ref(&group) as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Has the caller's parent trace it: it stops once it has executed a program.
pub(crate) fn trace_me() -> Result<(), Errno> {
    // SAFETY: the request takes nothing.
    let returned = unsafe { syscall4(libc::SYS_ptrace, libc::PTRACE_TRACEME as usize, 0, 0, 0) };
    Errno::check(returned).map(drop)
}
