//! The lab's words on their way out: std's macros of these names, but for what happens where nobody
//! can write them.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// To standard output; where that fails, the lab ends with one line and status 1.
///
/// A closed pipe ends it before, by SIGPIPE.
pub(crate) fn out(text: Arguments<'_>) {
    if let Err(error) = std::io::stdout().write_fmt(text) {
        if error.kind() != ErrorKind::BrokenPipe {
            err(format_args!("lab: standard output: {error}\n"));
        }
        std::process::exit(1);
    }
}

/// To standard error; where that fails, there is nobody to tell.
pub(crate) fn err(text: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

macro_rules! print {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::say::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::say::err(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::say::err(format_args!("{}\n", format_args!($($text)*))) };
}
