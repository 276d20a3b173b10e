//! How many system calls a warm spawn and join make, both sides together: counted by strace.

use std::process::{Command, Stdio};

use super::per_thread;

/// Counts by running this program under strace twice with different numbers of threads, so that
/// what the process does anyway cancels out; `None` without a strace that may trace.
///
/// `arguments` makes this program spawn and join as many threads as its last argument says.
pub(crate) fn per_thread(arguments: &[&str]) -> Option<f64> {
    per_thread::difference(|threads| total(arguments, threads))
}

fn total(arguments: &[&str], threads: u32) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-c", "-U", "calls,name"])
        .arg(program)
        .args(arguments)
        .arg(threads.to_string())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if !traced.status.success() {
        return None;
    }
    // The last line of the summary: "<calls> total".
    let report = String::from_utf8(traced.stderr).ok()?;
    let last = report.lines().rev().find(|line| line.contains("total"))?;
    last.split_whitespace().next()?.parse().ok()
}
