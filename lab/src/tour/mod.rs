//! `lab tour`: one row for each way to make a task, predicted beside observed.

mod result;
mod rows;
mod table;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Arguments, UsageError};
use crate::json::Json;
use crate::output;
use crate::probe::{self, Outcome};
use crate::style::Styler;
use crate::subprocess;
use result::RowResult;
use rows::ROWS;

/// The exit status where nothing was observed against its prediction, but an experiment broke off.
const STATUS_UNFINISHED: u8 = 3;

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut json = false;
    while let Some(argument) = arguments.next() {
        match argument {
            "--json" => json = true,
            other => return Err(arguments.unexpected(other)),
        }
    }
    if let Err(why) = subprocess::has_proc() {
        output::complain(&why);
        return Ok(ExitCode::from(STATUS_UNFINISHED));
    }
    let results = if json {
        let results: Vec<_> = ROWS.iter().map(RowResult::of).collect();
        println!("{}", to_json(&results));
        results
    } else {
        show()
    };
    let any = |what: fn(&RowResult) -> bool| results.iter().any(what);
    let status = if any(|result| result.is_wrong() && !result.is_unfinished()) {
        1
    } else if any(RowResult::is_unfinished) {
        STATUS_UNFINISHED
    } else {
        0
    };
    Ok(ExitCode::from(status))
}

/// Row by row, as they are made.
fn show() -> Vec<RowResult> {
    let table = table::Table::new(Styler::for_stdout());
    print!("{}", table.header());
    let mut results = Vec::new();
    for row in &ROWS {
        let _ = std::io::stdout().flush();
        let result = RowResult::of(row);
        print!("{}", table.row(&result));
        results.push(result);
    }
    print!("{}", table.footer(&results));
    results
}

fn to_json(results: &[RowResult]) -> Json {
    Json::list(results.iter().map(|result| {
        let buffer = match &result.outcome {
            Ok(Outcome::Made { buffer, .. }) => Some(buffer.as_str()),
            _ => None,
        };
        Json::Object(vec![
            ("id", Json::text(result.row.id)),
            ("name", Json::text(result.row.name)),
            ("flags", Json::text(result.row.flags.to_string())),
            ("exit_signal", Json::from(u64::from(result.row.exit_signal))),
            ("not_made", Json::maybe(result.failure())),
            ("buffer", Json::maybe(buffer)),
            ("as_predicted", Json::Bool(!result.is_wrong())),
            ("cells", probe::to_json(result.comparisons())),
        ])
    }))
}
