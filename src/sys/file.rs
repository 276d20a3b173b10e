//! Calls on files and descriptors.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
use core::fmt;

use super::arch::{syscall1, syscall2, syscall3, syscall4};
use super::errno::Errno;

/// A descriptor that closes itself.
#[derive(Debug)]
pub(crate) struct OwnedFd(i32);

impl OwnedFd {
    pub(crate) const fn as_raw(&self) -> i32 {
        self.0
    }

    /// Takes ownership of an open descriptor.
    ///
    /// # Safety
    /// `number` is open and owned by the caller, who gives that up.
    pub(crate) const unsafe fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// A descriptor of its own for the same file; close-on-exec.
    pub(crate) fn try_clone(&self) -> Result<Self, Errno> {
        // SAFETY: no memory.
        let returned = unsafe {
            syscall3(
                libc::SYS_fcntl,
                self.0 as usize,
                libc::F_DUPFD_CLOEXEC as usize,
                3,
            )
        };
        Errno::check(returned).map(|fd| Self(fd as i32))
    }

    /// Returns the number without closing the descriptor.
    #[cfg(feature = "std")]
    pub(crate) fn into_raw(self) -> i32 {
        core::mem::ManuallyDrop::new(self).0
    }
}

#[cfg(feature = "std")]
impl From<std::os::fd::OwnedFd> for OwnedFd {
    fn from(fd: std::os::fd::OwnedFd) -> Self {
        Self(std::os::fd::IntoRawFd::into_raw_fd(fd))
    }
}

#[cfg(feature = "std")]
impl From<OwnedFd> for std::os::fd::OwnedFd {
    fn from(fd: OwnedFd) -> Self {
        // SAFETY: the number is open, and owned by the value that gives it up.
        unsafe { std::os::fd::FromRawFd::from_raw_fd(fd.into_raw()) }
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: this value owns the number.
        unsafe { syscall1(libc::SYS_close, self.0 as usize) };
    }
}

/// Reads once into `buffer`; returns how many bytes.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most the buffer's length.
    let returned = unsafe {
        syscall3(
            libc::SYS_read,
            fd as usize,
            buffer.as_mut_ptr() as usize,
            buffer.len(),
        )
    };
    Errno::check(returned)
}

/// Reads once to the end of `text`, as much as its capacity holds; returns how many bytes.
#[cfg(feature = "alloc")]
pub(crate) fn read_to_spare(fd: i32, text: &mut alloc::vec::Vec<u8>) -> Result<usize, Errno> {
    let spare = text.spare_capacity_mut();
    // SAFETY: the kernel writes at most that many bytes into memory of the vector's.
    let returned = unsafe {
        syscall3(
            libc::SYS_read,
            fd as usize,
            spare.as_mut_ptr() as usize,
            spare.len(),
        )
    };
    let read = Errno::check(returned)?;
    // SAFETY: the kernel has written that many bytes after the old ones.
    unsafe { text.set_len(text.len() + read) };
    Ok(read)
}

/// How many bytes a pipe holds.
#[cfg(feature = "alloc")]
pub(crate) fn readable(fd: i32) -> Result<usize, Errno> {
    let mut count = 0i32;
    // SAFETY: the request writes one int.
    let returned = unsafe {
        syscall3(
            libc::SYS_ioctl,
            fd as usize,
            libc::FIONREAD as usize,
            core::ptr::from_mut(&mut count) as usize,
        )
    };
    Errno::check(returned).map(|_| usize::try_from(count).unwrap_or(0))
}

/// Sets whether calls on the open file that would wait fail with EAGAIN instead.
#[cfg(feature = "alloc")]
pub(crate) fn set_nonblocking(fd: i32, enable: bool) -> Result<(), Errno> {
    let enable = i32::from(enable);
    // SAFETY: the request reads one int.
    let returned = unsafe {
        syscall3(
            libc::SYS_ioctl,
            fd as usize,
            libc::FIONBIO as usize,
            core::ptr::from_ref(&enable) as usize,
        )
    };
    Errno::check(returned).map(drop)
}

/// Writes once from `bytes`; returns how many were written.
pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most that many bytes, and returns EFAULT for what it cannot read.
    let returned = unsafe {
        syscall3(
            libc::SYS_write,
            fd as usize,
            bytes.as_ptr() as usize,
            bytes.len(),
        )
    };
    Errno::check(returned)
}

/// Makes a pipe with `flags` (`libc::O_NONBLOCK` or 0), close-on-exec: (read end, write end).
pub(crate) fn pipe(flags: i32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [0i32; 2];
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the kernel writes two numbers.
    let returned = unsafe { syscall2(libc::SYS_pipe2, ends.as_mut_ptr() as usize, flags as usize) };
    Errno::check(returned).map(|_| (OwnedFd(ends[0]), OwnedFd(ends[1])))
}

/// Opens a file with `libc::O_*`, close-on-exec.
pub(crate) fn open(path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the path ends in NUL; no O_CREAT is used, so no mode is read.
    let returned = unsafe {
        syscall4(
            libc::SYS_openat,
            libc::AT_FDCWD as isize as usize,
            path.as_ptr() as usize,
            (flags | libc::O_CLOEXEC) as usize,
            0,
        )
    };
    Errno::check(returned).map(|fd| OwnedFd(fd as i32))
}

/// A file in memory with these contents, its position at the start.
#[cfg(feature = "alloc")]
pub(crate) fn with_contents(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    // SAFETY: the name ends in NUL.
    let returned = unsafe {
        syscall2(
            libc::SYS_memfd_create,
            c"bytes".as_ptr() as usize,
            libc::MFD_CLOEXEC as usize,
        )
    };
    let file = Errno::check(returned).map(|fd| OwnedFd(fd as i32))?;
    let mut at = 0;
    while let Some(rest @ [_, ..]) = bytes.get(at..) {
        // SAFETY: the kernel reads at most that many bytes.
        let returned = unsafe {
            syscall4(
                libc::SYS_pwrite64,
                file.as_raw() as usize,
                rest.as_ptr() as usize,
                rest.len(),
                at,
            )
        };
        match Errno::check(returned) {
            Ok(count) => at += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(file)
}

/// Opens a file in memory once more, to be read from its start, by its entry in `/proc`.
#[cfg(feature = "alloc")]
pub(crate) fn reopen_to_read(file: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = alloc::format!("/proc/self/fd/{}\0", file.as_raw());
    let path = CStr::from_bytes_with_nul(path.as_bytes()).map_err(|_| Errno::EINVAL)?;
    open(path, libc::O_RDONLY)
}

/// Occupies those of the descriptors 0, 1 and 2 that are closed: with `/dev/null`, or else with what
/// can be neither read nor written. Else the next file that the program opens would get such a
/// number, and what is printed would go there.
#[cfg(all(feature = "start", not(test)))]
pub(crate) fn occupy_standard_streams() {
    let open = |path: &CStr, flags: i32| {
        // SAFETY: the path ends in NUL; no O_CREAT is used, so no mode is read.
        let returned = unsafe {
            syscall3(
                libc::SYS_openat,
                libc::AT_FDCWD as isize as usize,
                path.as_ptr() as usize,
                flags as usize,
            )
        };
        // The kernel gives the lowest number that is free.
        Errno::check(returned).map(drop)
    };
    for number in 0..3 {
        // SAFETY: only asks.
        let flags = unsafe { syscall2(libc::SYS_fcntl, number, libc::F_GETFD as usize) };
        if Errno::check(flags).is_err() && open(c"/dev/null", libc::O_RDWR).is_err() {
            let _ = open(c"/", libc::O_PATH);
        }
    }
}

/// Calls `visit` with the name of every entry of an open directory, from the present position on.
///
/// # Errors
/// The kernel's, of getdents64(2).
#[cfg(any(feature = "diagnosis", feature = "alloc"))]
pub(crate) fn for_each_entry(
    directory: &OwnedFd,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), Errno> {
    /// `struct linux_dirent64` (getdents64(2)): inode, offset, then these at bytes 16 and 19.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut buffer = [0u64; 256];
    loop {
        let size = size_of_val(&buffer);
        // SAFETY: the kernel writes at most `size` bytes into the buffer.
        let returned = unsafe {
            syscall3(
                libc::SYS_getdents64,
                directory.as_raw() as usize,
                buffer.as_mut_ptr() as usize,
                size,
            )
        };
        let filled = Errno::check(returned)?;
        if filled == 0 {
            return Ok(());
        }
        // SAFETY: the buffer is initialised, `filled` is at most its size, and integers may be
        // read as bytes.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), filled) };
        let mut at = 0;
        while let Some(&[low, high]) = bytes.get(at + LENGTH..at + LENGTH + 2) {
            let len = usize::from(u16::from_ne_bytes([low, high]));
            let name = bytes.get(at + NAME..at + len).unwrap_or_default();
            let end = name.iter().take_while(|byte| **byte != 0).count();
            visit(&name[..end]);
            at += len.max(NAME);
        }
    }
}

/// Writes all of `bytes`, and continues after a signal.
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
pub(crate) fn write_all(fd: i32, bytes: &[u8]) -> Result<(), Errno> {
    let mut left = bytes;
    while !left.is_empty() {
        match write(fd, left) {
            Ok(count) => left = left.get(count..).unwrap_or(&[]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Writes text to a descriptor, up to 512 bytes in one call; gives up at the first error.
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
pub(crate) fn write_fmt(fd: i32, text: fmt::Arguments<'_>) {
    let mut lines = LineWriter {
        fd,
        len: 0,
        bytes: [0; 512],
    };
    if fmt::write(&mut lines, text).is_ok() {
        let _ = lines.flush();
    }
}

/// Buffered text for a descriptor.
#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
struct LineWriter {
    fd: i32,
    len: usize,
    bytes: [u8; 512],
}

#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
impl LineWriter {
    fn flush(&mut self) -> fmt::Result {
        let all = self.bytes.get(..self.len).unwrap_or(&[]);
        self.len = 0;
        write_all(self.fd, all).map_err(|_| fmt::Error)
    }
}

#[cfg(any(
    all(feature = "start", not(test)),
    feature = "panic-thread",
    feature = "hosted"
))]
impl fmt::Write for LineWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len == self.bytes.len() {
                self.flush()?;
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}
