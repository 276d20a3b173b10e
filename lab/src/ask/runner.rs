//! Runs an experiment in a process of its own, judges what it logged, and shows it.

use std::process::ExitCode;
use std::time::Duration;

use super::log::{self, ExperimentLog, Line};
use crate::json::Json;
use crate::style::{Style, Styler};
use crate::subprocess;

/// For tests: turns what was seen into its opposite, so that one can see the lab notice.
const FALSIFY: &str = "RAWTHREAD_LAB_FALSIFY";
/// The longest an experiment may take. None is meant to: it bounds one that hangs.
const TIMEOUT: Duration = Duration::from_secs(180);
/// For tests: makes every experiment take too long.
const HURRY: &str = "RAWTHREAD_LAB_HURRY";
/// The exit status where nothing was refuted, but an experiment did not finish.
const STATUS_UNFINISHED: u8 = 3;

/// What came of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it was seen as expected.
    Confirmed,
    /// Something was seen that contradicts the answer.
    Refuted,
    /// A right or a feature of the kernel is missing: no verdict.
    Unavailable,
    /// It broke off or took too long: no verdict.
    Unfinished,
}

impl Outcome {
    /// The word for programs.
    const fn id(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Unavailable => "unavailable",
            Self::Unfinished => "unfinished",
        }
    }
}

/// An experiment that was run.
#[derive(Debug)]
pub(crate) struct Record {
    lines: Vec<Line>,
    pub(crate) outcome: Outcome,
}

/// Runs `experiment` in a fork of the lab. `command` is the word by which tests falsify it.
pub(crate) fn perform(command: &str, experiment: fn(&mut ExperimentLog)) -> Record {
    let timeout = if std::env::var_os(HURRY).is_some() {
        Duration::ZERO
    } else {
        TIMEOUT
    };
    let sent = subprocess::has_proc().and_then(|()| {
        subprocess::run_in_fork_timeout(timeout, || {
            let mut log = ExperimentLog::default();
            experiment(&mut log);
            log.into_text()
        })
    });
    let mut lines = match sent.and_then(|text| log::read(&text)) {
        Ok(lines) => lines,
        Err(why) => vec![Line::Unfinished(why)],
    };
    if std::env::var_os(FALSIFY).is_some_and(|what| what == command) {
        for line in &mut lines {
            if let Line::Pass(text) = line {
                *line = Line::Fail(std::mem::take(text));
            }
        }
    }
    let outcome = judge(&lines);
    Record { lines, outcome }
}

fn judge(lines: &[Line]) -> Outcome {
    let any = |wanted: fn(&Line) -> bool| lines.iter().any(wanted);
    if any(|line| matches!(line, Line::Fail(_))) {
        Outcome::Refuted
    } else if any(|line| matches!(line, Line::Unfinished(_))) {
        Outcome::Unfinished
    } else if any(|line| matches!(line, Line::Skipped(_))) {
        Outcome::Unavailable
    } else {
        Outcome::Confirmed
    }
}

impl Record {
    /// Prints what was seen, line by line, each with its mark.
    pub(crate) fn print(&self, styler: Styler) {
        for line in &self.lines {
            let (mark, style, text) = match line {
                Line::Pass(text) => ("✓", Style::Good, text.clone()),
                Line::Fail(text) => ("✗", Style::Bad, text.clone()),
                Line::Note(text) => ("·", Style::Quiet, text.clone()),
                Line::Skipped(text) => (
                    "-",
                    Style::Quiet,
                    format!("not shown here, which refutes nothing: {text}"),
                ),
                Line::Unfinished(text) => (
                    "?",
                    Style::Bad,
                    format!("the experiment did not finish, which refutes nothing: {text}"),
                ),
            };
            for (index, part) in styler.wrap(&text, 92).iter().enumerate() {
                let mark = if index == 0 { mark } else { " " };
                println!("    {} {part}", styler.apply(style, mark));
            }
        }
    }

    /// The fields `outcome` and `observations`.
    pub(crate) fn to_json(&self) -> [(&'static str, Json); 2] {
        let lines = self.lines.iter().map(|line| {
            let (kind, text) = match line {
                Line::Pass(text) => ("pass", text),
                Line::Fail(text) => ("fail", text),
                Line::Note(text) => ("note", text),
                Line::Skipped(text) => ("unavailable", text),
                Line::Unfinished(text) => ("unfinished", text),
            };
            Json::Object(vec![("kind", Json::text(kind)), ("text", Json::text(text))])
        });
        [
            ("outcome", Json::text(self.outcome.id())),
            ("observations", Json::list(lines)),
        ]
    }
}

/// Prints what many outcomes come to where that is not all good, and returns the exit status: 1 if
/// something was refuted, else 3 if an experiment did not finish, else 0.
pub(crate) fn conclude(outcomes: &[Outcome], quiet: bool, styler: Styler) -> ExitCode {
    let (line, status) = if outcomes.contains(&Outcome::Refuted) {
        let line = "What was seen is not what the answers say: see the lines with a cross.";
        (line, 1)
    } else if outcomes.contains(&Outcome::Unfinished) {
        let line = "Some experiments did not finish, and show nothing: see the lines with \"?\".";
        (line, STATUS_UNFINISHED)
    } else {
        return ExitCode::SUCCESS;
    };
    if !quiet {
        println!("{}", styler.apply(Style::Bad, line));
    }
    ExitCode::from(status)
}

/// What a command line of `ask` or `myths` asks for.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// `--list`: the titles alone.
    pub(crate) list: bool,
    pub(crate) json: bool,
    /// Indices, in the order of the command line; all if it names none.
    pub(crate) chosen: Vec<usize>,
}

/// Reads numbers, words to search for, `--list` and `--json`. `texts` is what a word may be found in.
///
/// # Errors
/// An option that there is not, a number out of range, or words that no text holds.
pub(crate) fn select(
    mut arguments: crate::cli::Arguments<'_>,
    what: &str,
    texts: &[String],
) -> Result<Selection, crate::cli::UsageError> {
    let mut selection = Selection::default();
    let mut words: Vec<String> = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument {
            "--list" => selection.list = true,
            "--json" => selection.json = true,
            option if option.starts_with('-') => return Err(arguments.unexpected(option)),
            word => match word.parse::<usize>() {
                Ok(number) if (1..=texts.len()).contains(&number) => {
                    selection.chosen.push(number - 1);
                }
                Ok(_) => {
                    return Err(crate::cli::UsageError(format!(
                        "there is no {what} {word}: they have the numbers 1 to {}",
                        texts.len()
                    )));
                }
                Err(_) if word.trim().is_empty() => {
                    return Err(crate::cli::UsageError(format!(
                        "a word to search for is empty: without words, all of the {what}s are run"
                    )));
                }
                Err(_) => words.extend(word.split_whitespace().map(str::to_lowercase)),
            },
        }
    }
    if !words.is_empty() {
        let found = texts.iter().enumerate().filter(|(_, text)| {
            let text = text.to_lowercase();
            words.iter().all(|word| text.contains(word))
        });
        let before = selection.chosen.len();
        selection.chosen.extend(found.map(|(index, _)| index));
        if selection.chosen.len() == before {
            return Err(crate::cli::UsageError(format!(
                "no {what} has \"{}\" in it: --list shows them all",
                words.join(" ")
            )));
        }
    } else if selection.chosen.is_empty() {
        selection.chosen.extend(0..texts.len());
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_to_run_refutes_nothing() {
        let pass = || Line::Pass(String::new());
        let skipped = || Line::Skipped(String::new());
        let unfinished = || Line::Unfinished(String::new());
        assert_eq!(judge(&[pass()]), Outcome::Confirmed);
        assert_eq!(judge(&[pass(), skipped()]), Outcome::Unavailable);
        assert_eq!(judge(&[skipped(), unfinished()]), Outcome::Unfinished);
        assert_eq!(
            judge(&[unfinished(), Line::Fail(String::new())]),
            Outcome::Refuted
        );
    }
}
