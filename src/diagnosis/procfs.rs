//! Reading `/proc` piece by piece: no allocator, no limit on the length of a file.

use core::ffi::CStr;

use crate::sys::Errno;
use crate::sys::file::{self, OwnedFd};
use crate::sys::limits::parse_number;

/// The lines of a file. A line longer than the buffer is cut to the buffer's length.
pub(crate) struct LineReader {
    file: OwnedFd,
    buffer: [u8; 1024],
    /// `buffer[start..end]` was read and is not returned yet.
    start: usize,
    end: usize,
    /// Whether the rest of a long line is still to be skipped.
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

/// A path concatenated from pieces, of at most 1023 bytes and a NUL.
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

    /// Appends a piece; `None`, without a change, if the path would be too long.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<()> {
        let end = self.len + piece.len();
        // One byte stays zero.
        self.bytes[..1023]
            .get_mut(self.len..end)?
            .copy_from_slice(piece);
        self.len = end;
        Some(())
    }

    /// Shortens the path to `len` bytes.
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

/// Calls `visit` with the name of every entry of a directory that is a number, as those of the
/// processes in `/proc` are.
///
/// # Errors
/// The kernel's, of openat(2) and getdents64(2).
pub(crate) fn for_each_numeric_entry(
    path: &CStr,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), Errno> {
    let directory = file::open(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    file::for_each_entry(&directory, |name| {
        if !name.is_empty() && name.iter().all(u8::is_ascii_digit) {
            visit(name);
        }
    })
}

/// The first number after `key` in a line such as `Uid:\t0\t0\t0\t0`; `None` for other lines.
pub(crate) fn parse_field(key: &[u8], line: &[u8]) -> Option<u64> {
    parse_number(line.strip_prefix(key)?.trim_ascii_start())
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code, reason = "makes a file in memory")]
mod tests {
    use super::*;
    use crate::primitive::cases::{cases, mutated};
    use std::ffi::CString;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn lines_of_any_length_are_returned_once() {
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
                let read = lines.next().expect("a line for every line");
                assert_eq!(read, &line.as_bytes()[..line.len().min(1024)]);
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
    /// Lines of any bytes and lengths, as a plain reading of the whole has them.
    #[test]
    fn any_text_is_read_line_by_line() {
        use std::io::Write;
        use std::os::fd::{AsRawFd, FromRawFd};
        cases(200, |random| {
            let mut text: Vec<u8> = Vec::new();
            for _ in 0..random.below(12) {
                let len = match random.below(4) {
                    0 => random.below(4),
                    1 => 1020 + random.below(8),
                    2 => random.below(3000),
                    _ => 2046 + random.below(4),
                };
                text.extend((0..len).map(|_| random.of(&[b'a', 0, 255, b' ', b'9'])));
                if random.below(8) > 0 {
                    text.push(b'\n');
                }
            }
            let mut expected: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            expected.pop_if(|last| last.is_empty());
            // SAFETY: a descriptor of this test's own.
            let mut file = unsafe {
                let descriptor = libc::memfd_create(c"lines".as_ptr(), libc::MFD_CLOEXEC);
                assert!(descriptor >= 0);
                std::fs::File::from_raw_fd(descriptor)
            };
            file.write_all(&text).unwrap();
            let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
            let mut lines = LineReader::of(&path).unwrap();
            for line in &expected {
                assert_eq!(lines.next(), Some(&line[..line.len().min(1024)]));
            }
            assert_eq!(lines.next(), None);
            assert_eq!(
                LineReader::of(&path).unwrap().count(),
                expected.len() as u64
            );
        });
    }

    /// Numbers at the beginning of any text, and in fields.
    #[test]
    fn any_number_is_read_or_refused() {
        let lines = [
            "Uid:\t0\t0\t0\t0",
            "18446744073709551615",
            "18446744073709551616",
            "max",
            "42 7",
            "Threads:\t007",
        ];
        cases(5_000, |random| {
            let text = mutated(
                random,
                &lines,
                &["", "-", "+", "99999999999999999999", "\0"],
            );
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(
                parse_number(text.as_bytes()),
                digits.parse().ok(),
                "{text:?}"
            );
            let field = text.strip_prefix("Uid:");
            let field =
                field.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_whitespace()));
            let number = field.and_then(|rest| parse_number(rest.as_bytes()));
            assert_eq!(parse_field(b"Uid:", text.as_bytes()), number, "{text:?}");
        });
    }
}
