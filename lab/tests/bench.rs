//! `lab bench`, run as a user runs it. What it measures is not judged here: that would be a test
//! of the machine.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("bench").args(arguments);
    command.output().expect("it runs")
}

const THREADS: [&str; 5] = [
    "bare clone",
    "rawthread::spawn",
    "rawthread::warm",
    "pthread_create",
    "std::thread::spawn",
];
const PROCESSES: [&str; 4] = ["fork", "vfork", "clone VM", "posix_spawn + exec"];

#[test]
fn every_contender_has_a_bar_wherever_it_competes() {
    let output = bench(&["--rounds", "3"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let threads = THREADS.iter().map(|name| (name, 2));
    for (contender, scenarios) in threads.chain(PROCESSES.iter().map(|name| (name, 1))) {
        let bars: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with(&format!("  {contender:<20}")) && line.contains('█'))
            .collect();
        assert_eq!(bars.len(), scenarios, "{contender}: {text}");
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
fn the_parent_s_size_is_a_parameter() {
    let output = bench(&["--rounds", "1", "--size", "1M,4M", "--json"]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    let outcomes: Value = serde_json::from_str(&text).expect("JSON");
    let outcomes = outcomes.as_array().expect("a list");
    let sizes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome["parent_bytes"].as_u64().expect("a number"))
        .collect();
    assert_eq!(sizes, [1 << 20, 1 << 20, 4 << 20, 4 << 20]);
    for outcome in outcomes {
        let contenders = outcome["contenders"].as_array().expect("a list");
        let all = THREADS.len() + PROCESSES.len();
        let expected = if outcome["scenario"] == "one" {
            all
        } else {
            THREADS.len()
        };
        assert_eq!(contenders.len(), expected, "{text}");
        assert_eq!(contenders[0]["name"], "bare clone", "it comes first");
        assert!(outcome["failed"].is_null(), "{text}");
        for contender in contenders {
            let number = |field: &str| contender[field].as_f64().expect("a number");
            assert!(number("median_ns") > 0.0);
            assert!(number("slowest_tenth_ns") >= number("median_ns"));
        }
    }
}

#[test]
fn results_can_be_csv() {
    let output = bench(&["--rounds", "1", "--csv"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().expect("a line");
    assert_eq!(
        header,
        "scenario,parent_bytes,contender,median_ns,slowest_tenth_ns"
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 2 * THREADS.len() + PROCESSES.len());
    for row in rows {
        assert_eq!(row.len(), 5, "{text}");
        assert!(row[3].parse::<f64>().expect("a number") > 0.0);
    }
}

#[test]
fn results_can_be_a_picture() {
    let output = bench(&["--rounds", "1", "--svg"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("<svg ") && text.ends_with("</svg>\n"),
        "{text}"
    );
    let bars = text.matches("<rect ").count();
    assert_eq!(bars, 2 * THREADS.len() + PROCESSES.len(), "{text}");
    for name in THREADS.iter().chain(&PROCESSES) {
        assert!(text.contains(&format!(">{name}</text>")), "{name}: {text}");
    }
    // Every element that is opened is closed: no parser is at hand.
    let opened = text.matches('<').count();
    assert_eq!(opened, text.matches('>').count(), "{text}");
    assert_eq!(
        text.matches("<text ").count(),
        text.matches("</text>").count()
    );
}

#[test]
fn a_parent_that_does_not_fit_is_one_line_and_status_1() {
    let output = bench(&["--rounds", "1", "--size", "900000G", "--csv"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("MiB to spare"), "{error}");
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &["--rounds"][..],
        &["--rounds", "0"],
        &["--rounds", "many"],
        &["--size"],
        &["--size", "big"],
        &["--json", "--csv"],
        &["fast"],
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
