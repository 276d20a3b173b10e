//! Counts the words of files, each in a thread of its own, in a static program without libc: files by
//! rustix, memory by an allocator crate, the count by a C function.
//!
//! `cargo run --release -- FILE...`
#![no_std]
#![no_main]

extern crate alloc;

mod memory;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;

use rawthread::start::{self, Stream};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

rawthread::entry!(main);

unsafe extern "C" {
    /// In `words.c`. The text has `length` bytes.
    fn count_words(text: *const u8, length: usize) -> usize;
}

fn main() -> i32 {
    let names: Vec<&CStr> = start::args().skip(1).collect();
    if names.is_empty() {
        let _ = start::write(Stream::Stderr, b"usage: no-libc-words FILE...\n");
        return 2;
    }
    let counted: Vec<_> = rawthread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || read(name).map(|text| count(&text))))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let (mut lines, mut total, mut failed) = (String::new(), 0, false);
    for (name, counted) in names.iter().zip(counted) {
        let name = name.to_string_lossy();
        match counted {
            Ok(Ok(words)) => {
                total += words;
                lines += &format!("{words:8} {name}\n");
            }
            Ok(Err(error)) => {
                failed = true;
                let _ = start::write(Stream::Stderr, format!("{name}: {error}\n").as_bytes());
            }
            // With the feature `panic-thread`, a thread that panicked.
            Err(_) => failed = true,
        }
    }
    lines += &format!("{total:8} total\n");
    i32::from(start::write(Stream::Stdout, lines.as_bytes()).is_err() || failed)
}

/// The bytes of a file.
fn read(name: &CStr) -> Result<Vec<u8>, Errno> {
    let file = rustix::fs::open(name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    loop {
        let len = text.len();
        text.resize(len + 64 * 1024, 0);
        let read = rustix::io::read(&file, &mut text[len..]);
        text.truncate(len + read.unwrap_or(0));
        match read {
            Ok(0) => return Ok(text),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn count(text: &[u8]) -> usize {
    // SAFETY: the bytes of one slice.
    unsafe { count_words(text.as_ptr(), text.len()) }
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    start::eprint(format_args!("{info}\n"));
    start::exit(101)
}
