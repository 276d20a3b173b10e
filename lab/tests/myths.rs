//! `lab myths`, run as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn myths(arguments: &[&str], falsify: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("myths").args(arguments);
    if falsify {
        command.env("RAWTHREAD_LAB_FALSIFY", "myths");
    }
    command.output().expect("it runs")
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// Whether each claim is true, in the order of the list.
const TRUTHS: [&str; 14] = [
    "false",
    "true",
    "true",
    "half true",
    "half true",
    "false",
    "half true",
    "false",
    "false",
    "false",
    "false",
    "false",
    "false",
    "half true",
];

#[test]
fn every_claim_is_judged_by_what_was_seen() {
    let output = myths(&["--json"], false);
    // 3: a busy machine may keep an experiment from finishing, which refutes nothing.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{}",
        text(&output)
    );
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let told = told.as_array().expect("a list");
    assert_eq!(told.len(), TRUTHS.len());
    for (claim, truth) in told.iter().zip(TRUTHS) {
        if claim["outcome"] == "confirmed" {
            assert_eq!(claim["claim_is"], truth, "{claim}");
            assert!(claim["fact"].is_string(), "{claim}");
        } else {
            assert_ne!(claim["outcome"], "refuted", "{claim}");
            assert!(claim["claim_is"].is_null(), "{claim}");
            println!("SKIP: {claim}");
        }
    }
}

#[test]
fn the_programs_of_the_books_print_what_they_say() {
    let output = myths(&["2", "3"], false);
    assert!(output.status.success(), "{}", text(&output));
    let all = text(&output);
    assert!(all.contains("fork; the child sets both to 10; the parent adds: 13"));
    assert!(all.contains("vfork; the child sets both to 10; the parent adds: 20"));
    assert!(
        all.contains(
            "clone: the child writes its text, and the parent reads \"hello from parent\""
        )
    );
    assert!(all.contains(
        "clone vm: the child writes its text, and the parent reads \"hello from child\""
    ));
    for line in all.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn a_judgement_against_what_was_seen_is_not_given() {
    let output = myths(&["1"], true);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains('✗'));
    assert!(!text(&output).contains("false:"), "{}", text(&output));
}

#[test]
fn claims_are_listed_and_found_by_words() {
    let all = myths(&["--list"], true);
    assert_eq!(text(&all).lines().count(), TRUTHS.len());
    let some = myths(&["--list", "forkall"], true);
    assert_eq!(text(&some).lines().count(), 1, "{}", text(&some));
    for bad in ["0", "15", "zebra", "-1"] {
        let output = myths(&[bad], false);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(bad), "{error}");
    }
}
