//! Runs the lab, and builds programs for it to trace.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// The trace of a command; `None` where a sandbox forbids tracing.
pub(crate) fn trace(command: &[&str]) -> Option<Output> {
    trace_with(&[], command)
}

/// The same, with options of the lab.
pub(crate) fn trace_with(options: &[&str], command: &[&str]) -> Option<Output> {
    let output = Command::new(LAB)
        .arg("trace")
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .expect("it runs");
    if report(&output).contains("does not let the lab trace") {
        println!("SKIP: {}", report(&output));
        return None;
    }
    Some(output)
}

/// What the lab wrote.
pub(crate) fn report(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of the tree at the end.
pub(crate) fn tree(report: &str) -> Vec<&str> {
    report
        .lines()
        .skip_while(|line| !line.contains("the command"))
        .collect()
}

/// A program built from C; `None` with a SKIP line where it cannot be.
pub(crate) fn c_program(name: &str, flags: &[&str], source: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = path.with_extension("c");
    std::fs::write(&file, source).expect("the source can be written");
    let built = Command::new("gcc")
        .args(["-O1", "-o"])
        .arg(&path)
        .args(flags)
        .arg(&file)
        .output();
    match built {
        Ok(output) if output.status.success() => Some(path),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            println!(
                "SKIP: gcc {flags:?}: {}",
                error.lines().next().unwrap_or("")
            );
            None
        }
        Err(error) => {
            println!("SKIP: no gcc: {error}");
            None
        }
    }
}

/// Builds and traces a program.
pub(crate) fn trace_c(
    name: &str,
    flags: &[&str],
    source: &str,
    arguments: &[&str],
) -> Option<Output> {
    let path = c_program(name, flags, source)?;
    let mut command = vec![path.to_str().expect("a path in UTF-8")];
    command.extend(arguments);
    trace(&command)
}
