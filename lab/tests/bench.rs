//! `lab bench`, run as a user runs it. What it measures is not judged here: that would be a test
//! of the machine.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("bench").args(arguments);
    command.output().expect("it runs")
}

#[test]
fn every_contender_has_a_bar_in_both_scenes() {
    let output = bench(&["--rounds", "3"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for contender in ["bare clone", "rawthread::spawn", "std::thread::spawn"] {
        let bars: Vec<_> = text
            .lines()
            .filter(|line| line.trim_start().starts_with(contender) && line.contains('█'))
            .collect();
        assert_eq!(bars.len(), 2, "{contender}: {text}");
        for bar in bars {
            assert!(bar.chars().count() <= 100, "{bar}");
            let micros = bar
                .split(" µs")
                .next()
                .and_then(|part| part.split(' ').next_back());
            let micros: f64 = micros.expect("a number").parse().expect("a number");
            assert!(micros > 0.0, "{bar}");
        }
    }
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &["--rounds"][..],
        &["--rounds", "0"],
        &["--rounds", "many"],
        &["fast"],
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
