//! Writes to standard output and standard error: `print!` and `println!`, which do not panic where a
//! write fails, and [`complain`], which stands for `eprintln!`.

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

/// Says on standard error what went wrong, on one line.
pub(crate) fn complain(text: &str) {
    stderr(format_args!("lab: {}\n", one_line(text)));
}

/// The longest word that is shown whole, and how much is shown of a longer one.
const LONGEST_WORD: usize = 120;
const WORD_BEGIN: usize = 60;
/// The longest line that is shown whole, and how much is shown of a longer one: its begin and its end.
const LONGEST_LINE: usize = 1000;
const LINE_BEGIN: usize = 400;
const LINE_END: usize = 200;

/// The text on one line that a terminal can show: input may hold anything, in any length.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_inclusive(' ') {
        if word.chars().count() <= LONGEST_WORD {
            line += word;
        } else {
            line.extend(word.chars().take(WORD_BEGIN));
            line += "... ";
        }
    }
    let length = line.chars().count();
    if length > LONGEST_LINE {
        let begin: String = line.chars().take(LINE_BEGIN).collect();
        let end: String = line.chars().skip(length - LINE_END).collect();
        line = format!("{begin} ... {end}");
    }
    let mut shown = String::new();
    for character in line.trim_end().chars() {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    shown
}

macro_rules! print {
    ($($text:tt)*) => { $crate::output::stdout(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::output::stdout(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_given_fits_on_a_line() {
        assert_eq!(
            one_line("no use for \"a\": see x"),
            "no use for \"a\": see x"
        );
        assert_eq!(one_line("a\nb\x1b[31mc"), "a\\nb\\u{1b}[31mc");
        let long = one_line(&format!("no \"{}\": see x", "é".repeat(100_000)));
        assert!(
            long.starts_with("no \"éé") && long.ends_with("é... see x"),
            "{long}"
        );
        assert!(long.chars().count() < 100, "{long}");
        let many = one_line(&format!("no \"{}\": see x", "word ".repeat(100_000)));
        assert!(
            many.ends_with("\": see x") && many.chars().count() < 700,
            "{many}"
        );
    }
}
