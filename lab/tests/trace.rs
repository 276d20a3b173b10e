//! `lab trace`, run as a user runs it.

use std::process::{Command, Output};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// The trace of a command; `None` where nobody may trace.
fn trace(command: &[&str]) -> Option<Output> {
    let output = Command::new(LAB)
        .args(["trace", "--"])
        .args(command)
        .output()
        .expect("it runs");
    if story(&output).contains("does not let the lab trace") {
        println!("SKIP: {}", story(&output));
        return None;
    }
    Some(output)
}

fn story(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_shell_forks_and_its_child_becomes_a_program() {
    let Some(output) = trace(&["sh", "-c", "/bin/true; echo hello; exit 3"]) else {
        return;
    };
    let story = story(&output);
    assert_eq!(output.status.code(), Some(3), "{story}");
    assert_eq!(output.stdout, b"hello\n", "the program's output is its own");
    let tree: Vec<_> = story
        .lines()
        .skip_while(|line| !line.contains("the command"))
        .collect();
    assert!(tree[0].contains("the command: sh"), "{story}");
    assert!(tree[1].starts_with("└─ process"), "{story}");
    assert!(tree[1].ends_with("became true"), "{story}");
    assert!(story.contains("0 threads and 1 process made"), "{story}");
}

/// The tour makes a task of every kind: the tracer must tell them apart from outside.
#[test]
fn every_kind_of_task_is_recognised() {
    let Some(output) = trace(&[LAB, "tour"]) else {
        return;
    };
    let story = story(&output);
    assert!(output.status.success(), "{story}");
    let told = |kind: &str, class: &str| {
        let wanted = format!("{class}, ");
        let found = story.lines().any(|line| {
            line.contains(&format!(" {kind} ")) && line.contains(&wanted) && line.ends_with(" µs")
        });
        assert!(found, "{kind} by {class}: {story}");
    };
    told("process", "fork");
    told("process", "clone vm");
    told("process", "Go exec.Command");
    told("process", "LinuxThreads (1996)");
    told("thread", "pthread_create");
    told("thread", "Go runtime thread");
    assert!(story.contains("VM|FS|FILES|SIGHAND, SIGUSR2"), "{story}");
}

#[test]
fn a_refused_clone_is_told_with_its_errno() {
    let Some(output) = trace(&[LAB, "probe", "sighand"]) else {
        return;
    };
    let story = story(&output);
    assert!(output.status.success(), "{story}");
    assert!(story.contains("Invalid argument"), "{story}");
}

#[test]
fn the_end_of_the_command_is_the_end_of_the_trace() {
    if let Some(output) = trace(&["sh", "-c", "kill -TERM $$"]) {
        assert_eq!(output.status.code(), Some(128 + 15), "{}", story(&output));
    }
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &["trace"][..],
        &["trace", "--"],
        &["trace", "--fast", "sh"],
        &["trace", "--", "/no/such/program"],
    ] {
        let output = Command::new(LAB).args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(story(&output).lines().count(), 1, "{}", story(&output));
    }
}
