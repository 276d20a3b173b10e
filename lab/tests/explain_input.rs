//! `lab explain` of names and numbers that people have, and its table of arguments.

use std::process::{Command, Output};

use serde_json::Value;

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("explain").args(arguments);
    command.output().expect("it runs")
}

fn json(text: &str) -> Value {
    let output = explain(&[text, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn other_names_of_presets_are_understood() {
    let nptl = json("nptl");
    for name in [
        "pthread",
        "pthread_create",
        "pthread_create()",
        "PTHREAD",
        "std::thread",
    ] {
        assert_eq!(json(name), nptl, "{name}");
    }
    assert_eq!(json("rawthread::spawn")["flags"], nptl["flags"]);
    assert_eq!(json("exec.Command"), json("go-exec"));
}

#[test]
fn a_signal_alone_has_a_heading_in_words() {
    for text in ["0x11", "17", "SIGCHLD", "fork"] {
        let output = explain(&[text]);
        let shown = String::from_utf8(output.stdout).expect("UTF-8");
        let mut lines = shown.lines();
        assert_eq!(lines.next(), Some("No flags"), "{text}");
        assert_eq!(lines.next(), Some("0x11, exit signal SIGCHLD"), "{text}");
        assert!(shown.contains("The kernel's answer"));
    }
}

#[test]
fn every_field_of_the_structure_is_explained() {
    let told = json("0x3d0f00");
    let fields = told["clone_args"].as_array().expect("a list");
    let names: Vec<_> = fields.iter().map(|field| field["field"].as_str()).collect();
    // The order of include/uapi/linux/sched.h.
    let expected = [
        "flags",
        "pidfd",
        "child_tid",
        "parent_tid",
        "exit_signal",
        "stack",
        "stack_size",
        "tls",
        "set_tid",
        "set_tid_size",
        "cgroup",
    ]
    .map(Some);
    assert_eq!(names, expected);
    let value = |told: &Value, name: &str| {
        let fields = told["clone_args"].as_array().expect("a list");
        let field = fields.iter().find(|field| field["field"] == name);
        field.expect(name)["value"].as_str().expect(name).to_owned()
    };
    assert_eq!(value(&told, "flags"), "0x3d0f00");
    assert_eq!(value(&told, "exit_signal"), "none");
    assert_eq!(value(&told, "tls"), "read, for CLONE_SETTLS");
    assert_eq!(value(&told, "pidfd"), "not read");
    let fork = json("fork");
    assert_eq!(value(&fork, "tls"), "not read");
    assert_eq!(value(&fork, "exit_signal"), "SIGCHLD");
    assert!(value(&fork, "stack").starts_with('0'));
    let text = String::from_utf8(explain(&["fork"]).stdout).expect("UTF-8");
    assert!(
        text.contains("in clone(2): the low byte of the flags argument"),
        "{text}"
    );
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn the_exit_status_is_as_documented() {
    assert_eq!(
        explain(&["thread"]).status.code(),
        Some(0),
        "refused, but explained"
    );
    assert_eq!(explain(&["filse"]).status.code(), Some(2));
    assert_eq!(explain(&[]).status.code(), Some(2));
}
