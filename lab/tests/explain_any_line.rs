//! `lab explain` of lines that are nearly those of strace: an explanation, or an error that says what is
//! missing. More by `ci/fuzz.sh`.

use std::process::Command;

#[path = "../../tests/common/cases.rs"]
mod cases;

use cases::{cases, mutated};

#[test]
fn any_line_of_strace_is_explained_or_refused() {
    let lines: Vec<&str> = include_str!("../../tests/fuzz/corpus/strace.txt")
        .lines()
        .collect();
    let odd = [
        "",
        "(",
        ")",
        "{",
        "}",
        "=",
        "flags=",
        "exit_signal=",
        "<... ",
        " resumed>",
        "strace: ",
        "|",
        "ä",
        "0x",
        ",",
    ];
    cases(60, |random| {
        let text = mutated(random, &lines, &odd).replace('\0', "");
        let output = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["explain", "--json", "--", &text])
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON");
            }
            Some(code) if !told.contains("panicked") && code != 101 => {
                assert!(!told.trim().is_empty(), "{text:?}: {code} without a word");
            }
            code => panic!("{text:?}: {code:?}: {told}"),
        }
    });
}
