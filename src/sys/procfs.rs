//! The kernel's text files and directories, read piece by piece: no allocator, no limit on length.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ffi::CStr;

use super::arch::syscall3;
use super::errno::Errno;
use super::file::{self, OwnedFd};
use super::limits::parse_number;

/// The lines of a file. Of a line longer than the buffer only its beginning is told.
pub(crate) struct LineReader {
    file: OwnedFd,
    buffer: [u8; 1024],
    /// What was read and not told yet: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Whether the rest of a long line is still to be passed over.
    skip_rest: bool,
}

impl LineReader {
    /// `None` if the file cannot be opened.
    pub(crate) fn of(path: &CStr) -> Option<Self> {
        Some(Self {
            file: file::open(path, libc::O_RDONLY).ok()?,
            buffer: [0; 1024],
            start: 0,
            end: 0,
            skip_rest: false,
        })
    }

    /// The next line without its end; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(len) = unread.iter().position(|byte| *byte == b'\n') {
                let line = self.start..self.start + len;
                self.start = line.end + 1;
                if core::mem::take(&mut self.skip_rest) {
                    continue;
                }
                return Some(&self.buffer[line]);
            }
            if self.skip_rest {
                self.end = self.start;
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                (self.end, self.skip_rest) = (0, true);
                return Some(&self.buffer);
            }
            match file::read(self.file.as_raw(), &mut self.buffer[self.end..]) {
                Ok(len @ 1..) => self.end += len,
                // A last line without an end.
                _ if self.end > 0 => {
                    let line = core::mem::take(&mut self.end);
                    return Some(&self.buffer[..line]);
                }
                _ => return None,
            }
        }
    }

    /// How many lines are left.
    pub(crate) fn count(mut self) -> u64 {
        let mut count = 0;
        while self.next().is_some() {
            count += 1;
        }
        count
    }
}

/// A path put together from pieces, with room for a NUL behind it.
pub(crate) struct FixedPath {
    bytes: [u8; 1024],
    len: usize,
}

impl FixedPath {
    /// `None` if it is too long.
    pub(crate) fn new(pieces: &[&[u8]]) -> Option<Self> {
        let mut path = Self {
            bytes: [0; 1024],
            len: 0,
        };
        for piece in pieces {
            path.push(piece)?;
        }
        Some(path)
    }

    /// Adds a piece; `None` if that is too long, and then nothing was added.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<()> {
        let end = self.len + piece.len();
        // One byte stays zero.
        self.bytes[..1023]
            .get_mut(self.len..end)?
            .copy_from_slice(piece);
        self.len = end;
        Some(())
    }

    /// Takes the end away again.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes[len..self.len].fill(0);
        self.len = len;
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// `None` if a piece held a NUL.
    pub(crate) fn as_c_str(&self) -> Option<&CStr> {
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).ok()
    }
}

/// Calls `visit` with every entry of a directory whose name is a number, as `/proc` has them.
pub(crate) fn for_each_numeric_entry(
    path: &CStr,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), Errno> {
    /// `struct linux_dirent64` (getdents64(2)): inode, offset, then these at bytes 16 and 19.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let directory = file::open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut buffer = [0u64; 256];
    loop {
        let size = size_of_val(&buffer);
        // SAFETY: the kernel writes at most that many bytes.
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
        // SAFETY: plain integers may be read as bytes.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), filled) };
        let mut at = 0;
        while let Some(&[low, high]) = bytes.get(at + LENGTH..at + LENGTH + 2) {
            let len = usize::from(u16::from_ne_bytes([low, high]));
            let name = bytes.get(at + NAME..at + len).unwrap_or_default();
            let digits = name.iter().take_while(|byte| **byte != 0).count();
            if digits > 0 && name[..digits].iter().all(u8::is_ascii_digit) {
                visit(&name[..digits]);
            }
            at += len.max(NAME);
        }
    }
}

/// The numbers behind `key` in a line such as `Uid:\t0\t0\t0\t0`; `None` for another line.
pub(crate) fn parse_field(key: &[u8], line: &[u8]) -> Option<u64> {
    parse_number(line.strip_prefix(key)?.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn lines_of_any_length_are_told_once() {
        let lengths = [
            0, 1, 1022, 1023, 1024, 1025, 2047, 2048, 5000, 3, 0, 1024, 7,
        ];
        for ended in [true, false] {
            let mut text: Vec<String> = Vec::new();
            for (index, len) in lengths.iter().enumerate() {
                let letter = char::from(b'a' + index as u8);
                text.push(String::from(letter).repeat(*len));
            }
            let path = std::env::temp_dir().join(format!("lines-{}-{ended}", std::process::id()));
            std::fs::write(&path, text.join("\n") + if ended { "\n" } else { "" }).unwrap();
            let c_path = CString::new(path.to_str().unwrap()).unwrap();
            let mut lines = LineReader::of(&c_path).unwrap();
            for line in &text {
                let told = lines.next().expect("a line for every line");
                assert_eq!(told, &line.as_bytes()[..line.len().min(1024)]);
            }
            assert_eq!(lines.next(), None);
            assert_eq!(
                LineReader::of(&c_path).unwrap().count(),
                lengths.len() as u64,
                "ended: {ended}"
            );
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let mut path = FixedPath::new(&[b"/", &[b'x'; 1000]]).unwrap();
        assert!(path.push(&[b'y'; 22]).is_some());
        assert!(path.push(b"z").is_none());
        assert_eq!(path.as_c_str().unwrap().count_bytes(), 1023);
        path.truncate(1);
        assert_eq!(path.as_c_str(), Some(c"/"));
        assert!(FixedPath::new(&[b"/a\0b"]).unwrap().as_c_str().is_none());
    }

    #[test]
    fn this_process_is_in_proc() {
        let mut found = false;
        let own = format!("{}", std::process::id());
        for_each_numeric_entry(c"/proc", |name| found |= name == own.as_bytes()).unwrap();
        assert!(found);
        assert!(for_each_numeric_entry(c"/proc/self/status", |_| ()).is_err());
    }
}
