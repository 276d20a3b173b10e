//! The command line: options, and what is said about bad ones.

use std::ffi::OsString;
use std::path::Path;

/// Input that cannot be used: one line that says what was wrong and what would be right. The lab
/// then ends with status 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError(pub(crate) String);

impl<E: std::error::Error> From<E> for UsageError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// One argument of the command line.
#[derive(Debug)]
pub(crate) struct Word {
    /// As text: what is not UTF-8 is replaced.
    pub(crate) text: String,
    /// As it was given.
    pub(crate) raw: OsString,
}

impl From<OsString> for Word {
    fn from(raw: OsString) -> Self {
        let text = raw.to_string_lossy().into_owned();
        Self { text, raw }
    }
}

/// The arguments of one command, taken one by one.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    command: &'static str,
    rest: &'a [Word],
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(command: &'static str, rest: &'a [Word]) -> Self {
        Self { command, rest }
    }

    /// The next argument.
    pub(crate) fn next(&mut self) -> Option<&'a str> {
        Some(&self.next_word()?.text)
    }

    fn next_word(&mut self) -> Option<&'a Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// What is left, unread.
    pub(crate) fn rest(&self) -> &'a [Word] {
        self.rest
    }

    /// The argument after the option `option`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn value(&mut self, option: &str, what: &str) -> Result<&'a str, UsageError> {
        self.next()
            .ok_or_else(|| UsageError(format!("{option} needs {what} after it")))
    }

    /// The path after the option `option`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn path(&mut self, option: &str, what: &str) -> Result<&'a Path, UsageError> {
        let word = self.next_word();
        word.map(|word| Path::new(&word.raw))
            .ok_or_else(|| UsageError(format!("{option} needs {what} after it")))
    }

    /// What to say of an argument that fits nowhere.
    pub(crate) fn unexpected(&self, argument: &str) -> UsageError {
        let command = self.command;
        UsageError(format!(
            "{command} has no use for \"{argument}\": see lab help {command}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_fits_on_a_line() {
        let given = [Word::from(OsString::from("now"))];
        let mut arguments = Arguments::new("tour", &given);
        assert_eq!(arguments.next(), Some("now"));
        assert_eq!(arguments.next(), None);
        let UsageError(line) = arguments.unexpected("now");
        assert_eq!(line, "tour has no use for \"now\": see lab help tour");
    }
}
