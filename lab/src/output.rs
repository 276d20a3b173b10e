//! The lab's words on their way out: std's macros of these names, but for what happens where nobody
//! can write them.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// To standard output; where that fails, the lab ends with one line and status 1.
///
/// A closed pipe ends it before, by SIGPIPE.
pub(crate) fn stdout(text: Arguments<'_>) {
    if let Err(error) = std::io::stdout().write_fmt(text) {
        if error.kind() != ErrorKind::BrokenPipe {
            stderr(format_args!("lab: standard output: {error}\n"));
        }
        std::process::exit(1);
    }
}

/// To standard error; where that fails, there is nobody to tell.
pub(crate) fn stderr(text: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

macro_rules! print {
    ($($text:tt)*) => { $crate::output::stdout(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::output::stdout(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::stderr(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::stderr(format_args!("{}\n", format_args!($($text)*))) };
}
