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
const QUESTIONS: usize = 35;

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_question_is_answered_by_what_was_seen() {
    let output = ask(&[], false);
    let all = text(&output);
    // 3: a busy machine may keep an experiment from finishing, which refutes nothing.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{all}");
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
            .take_while(|line| line.starts_with("    "))
            .collect();
        if story
            .iter()
            .any(|line| line.contains("which refutes nothing"))
        {
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
    for bad in ["0", "99", "zebra", "-1", "--lits"] {
        let output = ask(&[bad], false);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(bad), "{error}");
    }
}

#[test]
fn the_list_and_the_search_run_nothing() {
    let all = ask(&["--list"], true);
    assert!(all.status.success());
    assert_eq!(text(&all).lines().count(), QUESTIONS);
    let some = ask(&["--list", "vfork"], true);
    let titles: Vec<_> = text(&some).lines().collect();
    assert!(titles.len() >= 2 && titles.len() < QUESTIONS, "{titles:?}");
    assert!(
        titles
            .iter()
            .any(|title| title.contains("Who is stopped by vfork?"))
    );
    let both = ask(&["--list", "vfork", "stopped"], true);
    assert_eq!(text(&both).lines().count(), 1, "{}", text(&both));
}

#[test]
fn programs_get_the_outcome_of_each_question() {
    let told = json(&ask(&["2", "13", "--json"], false));
    assert_eq!(told.as_array().map(Vec::len), Some(2));
    assert_eq!(told[0]["number"], 2);
    assert_eq!(told[0]["outcome"], "confirmed", "{told}");
    assert_eq!(told[0]["observations"][0]["kind"], "pass");
    assert!(told[0]["answer"].is_string());
    let output = ask(&["2", "--json"], true);
    assert_eq!(output.status.code(), Some(1));
    let told = json(&output);
    assert_eq!(told[0]["outcome"], "refuted");
    assert!(told[0]["answer"].is_null());
    let listed = json(&ask(&["--list", "--json"], false));
    assert_eq!(listed.as_array().map(Vec::len), Some(QUESTIONS));
}

#[test]
fn an_experiment_that_takes_too_long_refutes_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command
        .args(["ask", "2", "13"])
        .env("RAWTHREAD_LAB_HURRY", "1");
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("?"), "{shown}");
    assert!(
        shown.contains("did not finish, which refutes nothing"),
        "{shown}"
    );
    assert!(!shown.contains('✗') && !shown.contains('✓'), "{shown}");
    let told = json(&command.arg("--json").output().expect("it runs"));
    assert_eq!(told[0]["outcome"], "unfinished", "{told}");
    assert!(told[0]["answer"].is_null());
}

#[test]
fn a_missing_right_refutes_nothing() {
    // In a user namespace in which there may be no more of them.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["-r", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_lab")])
        .args(["ask", "12", "--json"])
        .output();
    let output = match output {
        Ok(output) if !output.stdout.is_empty() => output,
        other => return println!("SKIP: no user namespace can be made here: {other:?}"),
    };
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told = json(&output);
    assert_eq!(told[0]["outcome"], "unavailable", "{told}");
    assert!(told[0]["answer"].is_null());
}
