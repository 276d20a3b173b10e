//! `lab tour`: one row for each way to make a task, predicted beside observed.

mod rows;
mod table;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Arguments, Misuse};
use crate::json::Json;
use crate::paint::Paint;
use crate::probe::{self, Aspect, Finding, Outcome};
use rows::{ROWS, Row};

/// The columns of the table: what is looked at in every row.
const COLUMNS: [Aspect; 8] = [
    Aspect::Memory,
    Aspect::Descriptors,
    Aspect::Directory,
    Aspect::Handlers,
    Aspect::Group,
    Aspect::Undo,
    Aspect::Wait,
    Aspect::Maker,
];

/// One row, made and looked at; or one line why it was not.
struct Visit {
    row: &'static Row,
    outcome: Result<Outcome, String>,
}

impl Visit {
    fn of(row: &'static Row) -> Self {
        Self {
            row,
            outcome: probe::run(row.plan()),
        }
    }

    fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Ok(Outcome::Made { findings, .. }) => findings,
            _ => &[],
        }
    }

    fn finding(&self, aspect: Aspect) -> Option<&Finding> {
        self.findings()
            .iter()
            .find(|finding| finding.fact.aspect == aspect)
    }

    /// Why the row was not made, if it was not.
    fn trouble(&self) -> Option<&str> {
        match &self.outcome {
            Ok(Outcome::Made { .. }) => None,
            Ok(Outcome::Refused(refusal)) => Some(&refusal.why),
            Err(why) => Some(why),
        }
    }

    /// Whether the row is not as it should be: something was foretold wrongly, or it could not be
    /// made though no right is missing.
    fn is_wrong(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Refused(refusal)) => !refusal.is_for_want_of_a_right(),
            Ok(outcome) => outcome.differs(),
            Err(_) => true,
        }
    }
}

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, Misuse> {
    let mut json = false;
    while let Some(argument) = arguments.next() {
        match argument {
            "--json" => json = true,
            other => return Err(arguments.unexpected(other)),
        }
    }
    let visits = if json {
        let visits: Vec<_> = ROWS.iter().map(Visit::of).collect();
        println!("{}", to_json(&visits));
        visits
    } else {
        show()
    };
    let wrong = visits.iter().any(Visit::is_wrong);
    Ok(ExitCode::from(u8::from(wrong)))
}

/// Row by row, as they are made.
fn show() -> Vec<Visit> {
    let table = table::Table::new(Paint::for_stdout());
    print!("{}", table.head());
    let mut visits = Vec::new();
    for row in &ROWS {
        let _ = std::io::stdout().flush();
        let visit = Visit::of(row);
        print!("{}", table.row(&visit));
        visits.push(visit);
    }
    print!("{}", table.foot(&visits));
    visits
}

fn to_json(visits: &[Visit]) -> Json {
    Json::list(visits.iter().map(|visit| {
        let buffer = match &visit.outcome {
            Ok(Outcome::Made { buffer, .. }) => Some(buffer.as_str()),
            _ => None,
        };
        Json::Object(vec![
            ("id", Json::text(visit.row.id)),
            ("name", Json::text(visit.row.name)),
            ("flags", Json::text(visit.row.flags.to_string())),
            ("exit_signal", Json::from(u64::from(visit.row.exit_signal))),
            ("not_made", Json::maybe(visit.trouble())),
            ("buffer", Json::maybe(buffer)),
            ("as_predicted", Json::Bool(!visit.is_wrong())),
            ("cells", probe::to_json(visit.findings())),
        ])
    }))
}
