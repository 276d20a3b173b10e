//! Writes to standard output and standard error: std's macros of these names, which do not panic where
//! a write fails.

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

/// To standard error; a failure to write there is ignored, as there is no place to report it.
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
