//! Figures that do not depend on how busy the machine is: system calls, page faults, map entries and
//! bytes. Each is compared with a committed number; a difference in either direction fails.
//!
//! The failure names both numbers. If the change is meant, the measured ones go into `committed.rs` with
//! the commit that explains them.
//!
//! Each figure comes from a child process that has done nothing else, so this crate has a `main` of
//! its own: with libtest the child would already have threads.
#![allow(unsafe_code, reason = "traces a process and reads its usage")]

mod calls;
mod child;
mod committed;
mod tracer;

use std::os::unix::process::CommandExt;
use std::process::Command;

use committed::Number;

/// A test: what it compares, or why it cannot.
type Outcome = Result<(), String>;

/// Why a figure has no committed number here.
fn not_comparable() -> Option<String> {
    let host = match rawthread::host() {
        Ok(host) => host,
        Err(error) => return Some(error.to_string()),
    };
    if host.support() != rawthread::Support::Full {
        return Some(host.to_string());
    }
    let here = format!(
        "{} {} {}",
        std::env::consts::ARCH,
        host.libc(),
        host.version().unwrap_or("?")
    );
    if here != committed::PLATFORM {
        return Some(format!(
            "the committed numbers are of {}, this is {here}",
            committed::PLATFORM
        ));
    }
    (!has_lightweight_guards()).then(|| "MADV_GUARD_INSTALL needs Linux 6.13".to_owned())
}

/// Whether the kernel knows `MADV_GUARD_INSTALL`; without it a stack has more map entries and calls.
fn has_lightweight_guards() -> bool {
    const MADV_GUARD_INSTALL: i32 = 102;
    // SAFETY: maps one page, advises it, and unmaps it.
    unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        let advised = libc::madvise(page, 4096, MADV_GUARD_INSTALL);
        libc::munmap(page, 4096);
        advised == 0
    }
}

/// A command that runs one scenario of `child.rs`.
fn child_command(scenario: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["child", scenario]);
    // Where mappings begin decides how many pages one fault maps. A sandbox may refuse this call; the
    // slack of the committed numbers covers the difference.
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(|| {
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            Ok(())
        })
    };
    command
}

/// The number that a scenario prints.
fn number(scenario: &str) -> i64 {
    let output = child_command(scenario).output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{scenario}: {output:?}");
    text.trim().parse().expect("a number")
}

/// Compares a measured number with the committed one.
fn compare(figure: &Number) -> Outcome {
    let (measured, committed) = (number(figure.scenario), figure.committed);
    if measured.abs_diff(committed) <= figure.slack {
        return Ok(());
    }
    let (what, slack) = (figure.what, figure.slack);
    Err(format!(
        "{what}: measured {measured}, committed {committed} (slack {slack})"
    ))
}

/// Why warm threads cannot be counted here: under a filter each task has a new thread.
fn confinement() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let confined = ["NoNewPrivs:\t1", "Seccomp:\t1", "Seccomp:\t2"];
    let found = confined.iter().find(|line| status.contains(**line))?;
    let found = found.replace('\t', " ");
    Some(format!("warm threads are not reused with {found}"))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", scenario] = words[..] {
        child::run(scenario);
        return;
    }
    if words.contains(&"--list") {
        return;
    }
    // SAFETY: ends this process, and with it a child that hangs, after ten minutes.
    unsafe { libc::alarm(600) };
    let filter: Vec<&&str> = words.iter().filter(|word| !word.starts_with('-')).collect();
    if let Some(reason) = not_comparable() {
        println!("SKIP: {reason}");
        return;
    }
    let mut failed = 0;
    for figure in committed::NUMBERS {
        if !filter.is_empty() && !filter.iter().any(|word| figure.scenario.contains(**word)) {
            continue;
        }
        let outcome = compare(figure);
        failed += report(figure.scenario, outcome);
    }
    for figure in committed::CALLS {
        if !filter.is_empty() && !filter.iter().any(|word| figure.scenario.contains(**word)) {
            continue;
        }
        let confined = figure.scenario.contains("warm").then(confinement).flatten();
        let counts = confined.map_or_else(|| tracer::count(figure.scenario), Err);
        let outcome = match counts {
            Ok(counts) => calls::compare(figure, &counts),
            Err(reason) => {
                println!("SKIP: {}: {reason}", figure.scenario);
                continue;
            }
        };
        failed += report(figure.scenario, outcome);
    }
    assert!(
        failed == 0,
        "{failed} figures differ from those in tests/figures/committed.rs"
    );
}

/// Prints the outcome of one figure; returns 1 if it failed.
fn report(scenario: &str, outcome: Outcome) -> usize {
    match outcome {
        Ok(()) => {
            println!("figure {scenario} ... ok");
            0
        }
        Err(difference) => {
            println!("figure {scenario} ... FAILED\n{difference}");
            1
        }
    }
}
