//! `lab ask`, run as a user runs it.

use std::process::{Command, Output};

fn ask(arguments: &[&str], falsify: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("ask").args(arguments);
    if falsify {
        command.env("RAWTHREAD_LAB_FALSIFY", "ask");
    }
    command.output().expect("it runs")
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// The number of questions.
const QUESTIONS: usize = 16;

#[test]
fn every_question_is_answered_by_what_was_seen() {
    let output = ask(&[], false);
    let all = text(&output);
    assert!(output.status.success(), "{all}");
    assert!(!all.contains('✗'), "{all}");
    for number in 1..=QUESTIONS {
        let title = format!("{number:2}  ");
        let start = all
            .lines()
            .position(|line| line.starts_with(&title))
            .unwrap_or_else(|| panic!("question {number} is missing: {all}"));
        let story: Vec<_> = all
            .lines()
            .skip(start + 1)
            .take_while(|line| !line.is_empty())
            .collect();
        if story.iter().any(|line| line.contains("not shown here")) {
            println!("SKIP: question {number}: {story:?}");
            continue;
        }
        let proofs = story.iter().filter(|line| line.contains('✓')).count();
        assert!(proofs >= 1, "question {number} without proof: {story:?}");
        let last = story.last().expect("an answer");
        assert!(!last.trim_start().starts_with(['✓', '·', '✗']), "{last}");
    }
    for line in all.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn an_answer_against_what_was_seen_is_not_given() {
    for number in ["1", "7", "13"] {
        let output = ask(&[number], true);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains('✗'));
        assert!(text(&output).contains("not what the answers say"));
    }
}

#[test]
fn questions_are_chosen_by_their_numbers() {
    let output = ask(&["5", "1"], false);
    assert!(output.status.success(), "{}", text(&output));
    let titles: Vec<_> = text(&output)
        .lines()
        .filter(|line| line.contains('?') && !line.starts_with("    "))
        .collect();
    assert_eq!(titles.len(), 2);
    assert!(titles[0].starts_with(" 5"));
    assert!(titles[1].starts_with(" 1"));
}

#[test]
fn no_such_question_gets_one_line_and_status_2() {
    for bad in ["0", "17", "why", "-1"] {
        let output = ask(&[bad], false);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(bad), "{error}");
    }
}
