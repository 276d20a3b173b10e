//! `lab tour`: one row for each way to make a task, predicted beside observed.

mod result;
mod rows;
mod table;

use std::io::Write;
use std::process::ExitCode;

use crate::cli::{Arguments, UsageError};
use crate::json::Json;
use crate::probe::{self, Outcome};
use crate::style::Styler;
use result::RowResult;
use rows::ROWS;

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut json = false;
    while let Some(argument) = arguments.next() {
        match argument {
            "--json" => json = true,
            other => return Err(arguments.unexpected(other)),
        }
    }
    let results = if json {
        let results: Vec<_> = ROWS.iter().map(RowResult::of).collect();
        println!("{}", to_json(&results));
        results
    } else {
        show()
    };
    let wrong = results.iter().any(RowResult::is_wrong);
    Ok(ExitCode::from(u8::from(wrong)))
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
