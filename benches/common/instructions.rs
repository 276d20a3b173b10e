//! How many instructions a spawn and join take in user space, both sides together: counted by valgrind.

use std::process::{Command, Stdio};

use super::per_thread;

/// Counts by running this program under valgrind twice with different numbers of threads, so that what the
/// process does anyway cancels out; `None` without a valgrind.
///
/// `arguments` makes this program spawn and join as many threads as its last argument says.
pub(crate) fn per_thread(arguments: &[&str]) -> Option<f64> {
    per_thread::difference(|threads| total(arguments, threads))
}

fn total(arguments: &[&str], threads: u32) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .arg(threads.to_string())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if !counted.status.success() {
        return None;
    }
    // `==12345== Collected : 8268210`
    let report = String::from_utf8(counted.stderr).ok()?;
    let line = report.lines().find(|line| line.contains("Collected : "))?;
    line.rsplit(' ').next()?.parse().ok()
}
