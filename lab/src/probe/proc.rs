//! Reads of /proc through a descriptor of it, so that a changed root or directory does not matter.
#![allow(unsafe_code, reason = "openat and readlinkat on a descriptor")]

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, RawFd};

/// The text of `/proc/PATH`.
pub(super) fn read(proc: RawFd, path: &str) -> Option<String> {
    let path = CString::new(path).ok()?;
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::openat(proc, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    // SAFETY: just opened, owned here alone.
    let mut file = unsafe { File::from_raw_fd(fd) };
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Where the link `/proc/PATH` leads.
pub(super) fn link(proc: RawFd, path: &str) -> Option<String> {
    let path = CString::new(path).ok()?;
    let mut target = [0u8; 256];
    // SAFETY: the path ends in NUL, and the kernel writes at most 256 bytes.
    let length = unsafe {
        libc::readlinkat(
            proc,
            path.as_ptr(),
            target.as_mut_ptr().cast(),
            target.len(),
        )
    };
    let length = usize::try_from(length).ok()?;
    Some(String::from_utf8_lossy(&target[..length]).into_owned())
}

/// The value of a field of `/proc/TID/status`.
pub(super) fn status(proc: RawFd, tid: i32, field: &str) -> Option<String> {
    let text = read(proc, &format!("{tid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.strip_prefix(':')?.trim().to_owned())
}

/// A field of `/proc/TID/stat` by its number in proc(5), from 3 (the state) on.
pub(super) fn stat(proc: RawFd, tid: i32, number: usize) -> Option<String> {
    let text = read(proc, &format!("{tid}/stat"))?;
    // The name in parentheses may hold anything; the fields begin after the last one.
    let fields = &text[text.rfind(')')? + 1..];
    fields.split_whitespace().nth(number - 3).map(str::to_owned)
}
