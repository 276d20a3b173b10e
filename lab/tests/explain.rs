//! `lab explain` of lines of strace, run as a user runs it.

use std::process::Command;

/// Exit status, standard output and standard error of `lab explain --json LINE`.
fn explain(line: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["explain", "--json", line])
        .output()
        .expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_line_without_flags_is_refused_with_what_it_lacks() {
    for (line, word) in [
        ("clone3(0x7ffe6a0b6d50, 88) = 4242", "flags are missing"),
        (
            "[pid 7] <... clone3 resumed> => {parent_tid=[8]}, 88) = 8",
            "flags are missing",
        ),
        ("clone3( <unfinished ...>", "flags are missing"),
        ("execve(\"/usr/bin/fork(x)\", [\"x\"], []) = 0", "execve"),
    ] {
        let (status, out, error) = explain(line);
        assert_eq!(status, Some(2), "{line}: {out}");
        assert_eq!(out, "", "{line}");
        assert!(error.contains(word), "{line}: {error}");
    }
}

#[test]
fn a_line_with_flags_is_read_whole_or_cut() {
    for (line, flags, signal) in [
        (
            "clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGRT_2, stack=0x7f, stack_size=0x9000} <unfinished ...>",
            "CLONE_VM|CLONE_VFORK",
            34,
        ),
        (
            "clone(child_stack=0x55, flags=CLONE_VM|SIGRTMIN) = 9",
            "CLONE_VM",
            32,
        ),
        ("CLONE_VM|  CLONE_FS", "CLONE_VM|CLONE_FS", 17),
    ] {
        let (status, out, error) = explain(line);
        assert_eq!(status, Some(0), "{line}: {error}");
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(json["flags"], flags, "{line}");
        assert_eq!(json["exit_signal"], signal, "{line}");
    }
}
