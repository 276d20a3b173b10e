//! Colours and columns, for people; neither colours nor anything else but text for programs.
#![allow(unsafe_code, reason = "asks the terminal how wide it is")]

use std::io::IsTerminal;
use std::os::fd::AsRawFd;

/// What every layout is made for.
const COLUMNS: usize = 100;

impl Style {
    /// The tone of a word in the tables.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "shared" | "joined" | "sleeps" => Self::Shared,
            _ => Self::Own,
        }
    }
}

/// How the output may look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styler {
    coloured: bool,
    /// `COLUMNS`, or what a narrower terminal has.
    columns: usize,
}

/// What a piece of text is, not how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// A heading.
    Title,
    /// Background to the rest.
    Quiet,
    /// Common to both tasks.
    Shared,
    /// Each its own.
    Own,
    /// As predicted.
    Good,
    /// Not as predicted.
    Bad,
}

impl Styler {
    /// Coloured on a terminal, unless `NO_COLOR` (no-color.org) says not to.
    pub(crate) fn for_stdout() -> Self {
        Self::on(&std::io::stdout())
    }

    /// The same for what is written to stderr.
    pub(crate) fn for_stderr() -> Self {
        Self::on(&std::io::stderr())
    }

    fn on(stream: &(impl IsTerminal + AsRawFd)) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            coloured: stream.is_terminal() && !refused,
            columns: width(stream).clamp(60, COLUMNS),
        }
    }

    /// Plain text, for a file.
    pub(crate) const fn plain() -> Self {
        Self {
            coloured: false,
            columns: COLUMNS,
        }
    }

    /// `text` in its tone.
    pub(crate) fn apply(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => "",
            Style::Title => "1",
            Style::Quiet => "2",
            Style::Shared => "33",
            Style::Own => "36",
            Style::Good => "32",
            Style::Bad => "1;31",
        };
        if self.coloured && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The lines of `text`, which may take `width` of 100 columns: less on a narrower terminal.
    pub(crate) fn wrap(self, text: &str, width: usize) -> Vec<String> {
        wrap(text, width.saturating_sub(COLUMNS - self.columns))
    }

    /// `text` in its tone, filled with blanks up to `width` characters.
    pub(crate) fn pad(self, style: Style, text: &str, width: usize) -> String {
        let blanks = width.saturating_sub(text.chars().count());
        format!("{}{:blanks$}", self.apply(style, text), "")
    }

    /// A heading with a line under it.
    pub(crate) fn heading(self, text: &str) -> String {
        let line = "─".repeat(text.chars().count());
        format!(
            "{}\n{}\n",
            self.apply(Style::Title, text),
            self.apply(Style::Quiet, &line)
        )
    }
}

/// The columns of the terminal that a stream goes to; `COLUMNS` if it goes elsewhere.
fn width(stream: &impl AsRawFd) -> usize {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel writes one winsize, or nothing where there is no terminal.
    let answer = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    match size.ws_col {
        columns @ 1.. if answer == 0 => columns.into(),
        _ => COLUMNS,
    }
}

/// The lines of `text`, none longer than `width` characters unless one word is.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        let needed = line.chars().count() + 1 + word.chars().count();
        if line.is_empty() {
            line.push_str(word);
        } else if needed <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_has_room_for_less() {
        let text = "a ".repeat(60);
        let longest = |styler: Styler| {
            let lines = styler.wrap(&text, 64);
            lines.iter().map(String::len).max().unwrap()
        };
        assert_eq!(longest(Styler::plain()), 63);
        let narrow = Styler {
            columns: 80,
            ..Styler::plain()
        };
        assert_eq!(longest(narrow), 43);
    }

    #[test]
    fn lines_are_not_longer_than_asked() {
        let lines = wrap("one two  three four", 9);
        assert_eq!(lines, ["one two", "three", "four"]);
        assert_eq!(wrap("incomprehensible", 5), ["incomprehensible"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn cells_have_the_width_that_is_seen() {
        assert_eq!(Styler::plain().pad(Style::Bad, "é", 3), "é  ");
        let coloured = Styler {
            coloured: true,
            ..Styler::plain()
        };
        assert_eq!(coloured.pad(Style::Good, "ok", 4), "\x1b[32mok\x1b[0m  ");
    }
}
