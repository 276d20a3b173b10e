//! What is written, where, and with which exit status.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{LAB, report, trace, trace_with};

#[test]
fn the_columns_have_names_and_repeats_are_counted() {
    let script = "for i in 1 2 3 4 5; do (exit 4); done";
    let Some(output) = trace(&["sh", "-c", script]) else {
        return;
    };
    let report = report(&output);
    let header = report.lines().next().expect("a line");
    assert!(
        header.starts_with("maker") && header.ends_with("call took"),
        "{report}"
    );
    assert!(report.contains("    x 4 more: "), "{report}");
    assert!(report.contains(" x 5 fork; exit 4"), "{report}");
    assert!(
        report.contains("0 threads and 5 processes made."),
        "{report}"
    );
}

#[test]
fn the_trace_can_go_to_a_file() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trace.txt");
    let name = file.to_str().expect("UTF-8");
    let command = ["sh", "-c", "/bin/true; echo err >&2"];
    let Some(output) = trace_with(&["-o", name], &command) else {
        return;
    };
    assert_eq!(report(&output), "err\n", "stderr is the program's");
    let written = std::fs::read_to_string(&file).expect("it was written");
    assert!(written.contains("became /bin/true; exit 0"), "{written}");
    assert!(!written.contains('\x1b'), "{written}");
    let full = trace_with(&["-o", "/dev/full"], &command).expect("it traced before");
    assert_eq!(full.status.code(), Some(1));
    assert!(
        report(&full).contains("-o /dev/full: "),
        "{}",
        report(&full)
    );
}

#[test]
fn json_holds_what_the_tree_shows() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trace.json");
    let name = file.to_str().expect("UTF-8");
    let command = ["sh", "-c", "/bin/echo 'a b' >&2; kill -9 $$"];
    let Some(output) = trace_with(&["--json", "-o", name], &command) else {
        return;
    };
    assert_eq!(output.status.code(), Some(128 + 9));
    let text = std::fs::read_to_string(&file).expect("it was written");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(trace["killed_by"], "SIGKILL");
    assert_eq!(trace["threads"], 0);
    assert_eq!(trace["processes"], 1);
    assert_eq!(trace["calls_not_seen"], 0);
    let tasks = trace["tasks"].as_array().expect("a list");
    assert_eq!(tasks.len(), 2);
    let child = &tasks[1];
    assert_eq!(child["maker"], 0);
    assert_eq!(child["kind"], "process");
    assert_eq!(child["exit_status"], 0);
    assert_eq!(child["exit_signal"], 17);
    assert_eq!(child["programs"][1]["command_line"], "/bin/echo 'a b'");
    assert!(child["took_us"].is_u64());
    assert!(child["flags"].is_string());
}

#[test]
fn what_cannot_be_run_has_the_status_that_a_shell_gives() {
    for (program, status) in [
        ("/no/such/program", 127),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
        ("/", 126),
    ] {
        let Some(output) = trace(&[program]) else {
            return;
        };
        let report = report(&output);
        assert_eq!(output.status.code(), Some(status), "{report}");
        assert_eq!(report.lines().count(), 1, "{report}");
        assert!(report.contains("cannot be run"), "{report}");
    }
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &["trace"][..],
        &["trace", "--"],
        &["trace", "--fast", "sh"],
        &["trace", "-o"],
        &["trace", "-o", "/no/such/folder/file", "--", "true"],
        &["trace", "--attach"],
        &["trace", "--attach", "x"],
        &["trace", "--attach", "0"],
        &["trace", "--attach", "1", "--", "true"],
        &["trace", "--json"],
    ] {
        let output = Command::new(LAB).args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(report(&output).lines().count(), 1, "{}", report(&output));
    }
}

#[test]
fn arguments_reach_the_program_as_they_were_given() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let given = OsStr::from_bytes(b"caf\xe9 \xff");
    let name = Path::new(env!("CARGO_TARGET_TMPDIR")).join(OsStr::from_bytes(b"\xfe.txt"));
    let output = Command::new(LAB)
        .args(["trace", "-o"])
        .arg(&name)
        .args(["--", "printf", "%s"])
        .arg(given)
        .output()
        .expect("it runs");
    if report(&output).contains("does not let the lab trace") {
        println!("SKIP: {}", report(&output));
        return;
    }
    assert_eq!(output.stdout, given.as_bytes());
    let written = std::fs::read_to_string(&name).expect("the file has the name that was given");
    assert!(written.contains("exit 0"), "{written}");
    std::fs::remove_file(name).expect("it can be removed");
}
