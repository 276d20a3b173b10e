//! `lab explore`: one web page that works from disk, with the library's tables in it.

mod data;

use std::fs;
use std::process::ExitCode;

use crate::cli::{Arguments, UsageError};
use crate::output;

pub(crate) fn run(mut arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let mut file = None;
    while let Some(argument) = arguments.next() {
        match argument {
            "--html" => file = Some(arguments.path("--html", "the name of a file to write")?),
            other => return Err(arguments.unexpected(other)),
        }
    }
    let file = file.ok_or_else(|| {
        UsageError("say where to: lab explore --html FILE, or - for standard output".into())
    })?;
    if file.as_os_str() == "-" {
        print!("{}", page());
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(error) = fs::write(file, page()) {
        output::complain(&format!("{} cannot be written: {error}", file.display()));
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "Written: {}. Open it in a browser; it needs no network.",
        file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// The page, whole.
fn page() -> String {
    // The data come last: what they hold is not searched for places to fill.
    include_str!("page.html")
        .replace("/*STYLE*/", include_str!("page.css").trim_end())
        .replace("/*LOGIC*/", include_str!("logic.js").trim_end())
        .replace("/*CODE*/", include_str!("code.js").trim_end())
        .replace("/*VIEW*/", include_str!("view.js").trim_end())
        .replacen("/*DATA*/", &data::tables().to_string(), 1)
}
