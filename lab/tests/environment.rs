//! The lab where something is missing: descriptors, /proc, calls. It says so, and claims nothing else.
#![allow(
    unsafe_code,
    reason = "takes things away from the lab before it starts"
)]

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments);
    command
}

/// Both streams, for people.
fn text(output: &Output) -> String {
    let mut all = output.stdout.clone();
    all.extend_from_slice(&output.stderr);
    String::from_utf8(all).expect("UTF-8")
}

/// Runs the lab after `take` took something from it; `None` if that failed.
fn without(
    arguments: &[&str],
    take: impl Fn() -> std::io::Result<()> + Send + Sync + 'static,
) -> Option<Output> {
    let mut command = lab(arguments);
    // SAFETY: each `take` makes system calls only.
    unsafe { command.pre_exec(take) };
    command.output().ok()
}

fn check(returned: i32) -> std::io::Result<()> {
    match returned {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// No table of descriptors is too small for a sentence.
#[test]
fn without_descriptors_an_experiment_is_unfinished_and_never_refuted() {
    for arguments in [
        &["tour"][..],
        &["probe", "vm"],
        &["ask", "5"],
        &["ask", "32"],
        &["myths", "9"],
        &["trace", "true"],
        &["bench", "--rounds", "1"],
    ] {
        for most in [4, 5, 8] {
            let output = without(arguments, move || {
                let limit = libc::rlimit {
                    rlim_cur: most,
                    rlim_max: most,
                };
                // SAFETY: reads one structure.
                check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })
            });
            let output = output.expect("it runs");
            let shown = text(&output);
            let what = format!("{arguments:?} with {most}: {shown}");
            assert!(
                !shown.contains("panicked") && !shown.contains('✗'),
                "{what}"
            );
            assert!(!shown.contains("0 observations"), "{what}");
            let expected: &[i32] = match arguments[0] {
                "trace" | "bench" => &[0, 1],
                _ => &[0, 3],
            };
            assert!(
                expected.contains(&output.status.code().expect("an exit")),
                "{what}"
            );
            if output.status.code() != Some(0) {
                let names_it =
                    shown.contains("descriptor") || shown.contains("Too many open files");
                assert!(names_it, "{what}");
            }
        }
    }
}

/// What is not seen in /proc is not taken for an answer.
#[test]
fn without_proc_the_lab_shows_nothing_and_says_why() {
    let hide = || {
        // SAFETY: constant strings.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS))?;
            let (none, proc) = (c"none".as_ptr(), c"/proc".as_ptr());
            check(libc::mount(
                none,
                proc,
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            ))
        }
    };
    for (arguments, status) in [
        (&["tour"][..], 3),
        (&["tour", "--json"], 3),
        (&["probe", "vm"], 3),
        (&["ask", "5", "6"], 3),
        (&["myths", "9"], 3),
        (&["explain", "vm"], 0),
        (&["ask", "--list"], 0),
    ] {
        let Some(output) = without(arguments, hide) else {
            return println!("SKIP: no right to a mount namespace");
        };
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {shown}");
        assert!(!shown.contains('✗'), "{arguments:?}: {shown}");
        assert_eq!(
            shown.contains("mount -t proc"),
            status == 3,
            "{arguments:?}: {shown}"
        );
    }
}

#[test]
fn whatever_was_given_is_refused_on_one_short_line() {
    let long = "a".repeat(100_000);
    let words = "zqxj ".repeat(20_000);
    for given in [&long, &words, "a\nb\x1b[31m"] {
        for command in [
            "tour", "explain", "probe", "ask", "myths", "bench", "explore", "help", given,
        ] {
            let output = lab(&[command, given]).output().expect("it runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(error.len() < 1500 && error.lines().count() == 1, "{error}");
            assert!(!error.contains('\x1b'), "{error}");
            assert!(output.stdout.is_empty());
        }
    }
    for command in ["ask", "myths"] {
        let output = lab(&[command, ""]).output().expect("it runs");
        assert_eq!(
            output.status.code(),
            Some(2),
            "an empty word does not mean all"
        );
    }
}
