//! The log of an experiment: what it saw, and whether that is what the answer says.

use std::fmt::Display;

/// Lines of an experiment, in order.
#[derive(Debug, Default)]
pub(crate) struct ExperimentLog(String);

/// One line, read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Seen, and as the answer has it.
    Pass(String),
    /// Seen, and against the answer.
    Fail(String),
    /// Seen; the answer does not stand on it.
    Note(String),
    /// The experiment could not go on: a right or a feature of the kernel is missing.
    Skipped(String),
    /// The experiment broke off or took too long.
    Unfinished(String),
}

impl ExperimentLog {
    fn line(&mut self, kind: &str, text: &str) {
        self.0 += &format!("{kind}\t{}\n", text.replace('\n', " "));
    }

    /// Something was seen; `right` says whether the answer stands.
    pub(crate) fn check(&mut self, right: bool, text: impl Display) {
        self.line(if right { "pass" } else { "fail" }, &text.to_string());
    }

    /// Something was seen on which the answer does not depend.
    pub(crate) fn note(&mut self, text: impl Display) {
        self.line("note", &text.to_string());
    }

    /// The experiment ends here: a right or a kernel feature is missing.
    pub(crate) fn skip(&mut self, why: impl Display) {
        self.line("skipped", &why.to_string());
    }

    /// The experiment broke off: no verdict.
    pub(crate) fn unfinished(&mut self, why: impl Display) {
        self.line("unfinished", &why.to_string());
    }

    /// For the way through a pipe.
    pub(crate) fn into_text(self) -> String {
        self.0 + "end\n"
    }
}

/// Reads what `into_text` wrote.
///
/// # Errors
/// One line: the text is not whole.
pub(crate) fn read(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
        let rest = rest.to_owned();
        lines.push(match kind {
            "pass" => Line::Pass(rest),
            "fail" => Line::Fail(rest),
            "note" => Line::Note(rest),
            "unfinished" => Line::Unfinished(rest),
            "skipped" => Line::Skipped(rest),
            "end" => return Ok(lines),
            _ => break,
        });
    }
    Err("the experiment broke off".into())
}

/// An errno by its name, or success.
pub(crate) fn answer(answer: Result<usize, i32>) -> String {
    match answer {
        Ok(value) => value.to_string(),
        Err(errno) => name_of(errno),
    }
}

/// The errnos that experiments meet.
pub(crate) fn name_of(errno: i32) -> String {
    match errno {
        libc::EINVAL => "EINVAL".into(),
        libc::EPERM => "EPERM".into(),
        libc::ECHILD => "ECHILD".into(),
        libc::EAGAIN => "EAGAIN".into(),
        libc::ENOMEM => "ENOMEM".into(),
        libc::ENOSPC => "ENOSPC".into(),
        libc::EBADF => "EBADF".into(),
        libc::EFAULT => "EFAULT".into(),
        libc::EACCES => "EACCES".into(),
        libc::ENOSYS => "ENOSYS".into(),
        libc::ESRCH => "ESRCH".into(),
        other => format!("errno {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_arrives_as_it_was_written() {
        let mut log = ExperimentLog::default();
        log.check(true, "a");
        log.check(false, "b\nc");
        log.skip("d");
        let text = log.into_text();
        let expected = [
            Line::Pass("a".into()),
            Line::Fail("b c".into()),
            Line::Skipped("d".into()),
        ];
        assert_eq!(read(&text).unwrap(), expected);
        assert!(read("pass\ta\n").is_err());
    }
}
