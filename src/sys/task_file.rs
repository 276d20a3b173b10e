//! Files that the kernel keeps of one thread of this process: `/proc/self/task/TID/NAME` (proc(5)).

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::Errno;
use super::file;

/// Reads the beginning of a thread's file, as much as fits, by one `read(2)`.
///
/// # Errors
/// The kernel's, of openat(2) and read(2): ENOENT if the process has no such thread, or no `/proc`.
pub(crate) fn read<'a>(tid: i32, name: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let mut path = Path {
        bytes: [0; 64],
        len: 0,
    };
    // A name here is some bytes, and the path's last byte stays 0.
    write!(path, "/proc/self/task/{tid}/{name}").map_err(|_| Errno::new(libc::ENAMETOOLONG))?;
    let path = CStr::from_bytes_until_nul(&path.bytes).map_err(|_| Errno::new(libc::EINVAL))?;
    let file = file::open(path, libc::O_RDONLY)?;
    let len = file::read(file.as_raw(), buffer)?;
    Ok(&buffer[..len])
}

struct Path {
    bytes: [u8; 64],
    len: usize,
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes[..63].get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::task;

    #[test]
    fn the_calling_thread_has_files_and_no_thread_has_none() {
        let mut buffer = [0; 64];
        let comm = read(task::tid(), "comm", &mut buffer).unwrap();
        assert_eq!(comm.last(), Some(&b'\n'));
        assert_eq!(read(task::tid(), "stat", &mut [0; 3]).unwrap().len(), 3);
        assert_eq!(
            read(i32::MAX, "comm", &mut buffer),
            Err(Errno::new(libc::ENOENT))
        );
        let long = "x".repeat(64);
        assert_eq!(
            read(1, &long, &mut buffer),
            Err(Errno::new(libc::ENAMETOOLONG))
        );
    }
}
