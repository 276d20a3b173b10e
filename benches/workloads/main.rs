//! What programs do with threads: time, processor time and memory.
//!
//! ```sh
//! cargo bench --bench workloads -- table                # the table, and JSON and SVG files
//! cargo bench --bench workloads -- table --output DIR   # the files in DIR
//! cargo bench --bench workloads -- table fork-join      # the rows whose names contain a word
//! cargo bench --bench workloads -- --quick              # only shows that everything runs
//! RAWTHREAD_BENCH_ROUNDS=3 cargo bench ...              # fewer rounds than 11
//! ```
//!
//! Each contender has a process of its own in each round, so that no contender sees another's pools
//! and caches and the peak of resident memory is its own. In a round the contenders take turns, each
//! going first in some rounds. Ratios are medians of the rounds' ratios. Processor time is that of all
//! threads of the process; it counts the rest of the work too, which is the same for all contenders.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the other benches use the rest")]
mod common;
mod measure;
mod pools;
mod scopes;
mod server;
mod spawning;
mod work;

use common::report::{Measured, Report, Row};
use common::{machine, rounds};
use work::Work;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", work, contender, batches] = words[..] {
        let works = works();
        let work = works.iter().find(|found| found.name == work);
        let batches = batches.parse().expect("a number");
        measure::child(work.expect("a work of that name"), contender, batches);
        return;
    }
    // Cargo passes --bench when it benches, and nothing when it tests.
    let quick = words.contains(&"--quick") || !words.contains(&"--bench");
    let (rounds, divisor) = if quick {
        (1, 100)
    } else {
        (rounds::count(11), 1)
    };
    let mut works = works();
    if let Some(at) = words.iter().position(|word| *word == "table") {
        let mut filter = words[at + 1..].iter().filter(|word| !word.starts_with('-'));
        if let Some(word) = filter.next().filter(|_| words[at + 1] != "--output") {
            works.retain(|work| work.name.contains(word));
        }
    }
    println!("{}\n", machine::describe());
    if quick {
        println!("Quick: these figures mean nothing.\n");
    }
    println!(
        "| work | contender | time, µs | processor time, µs | peak memory, MiB | time ÷ std | processor time ÷ std |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for work in &works {
        let contenders = measure::rounds(work, rounds, divisor);
        let row = Row {
            work: format!("{}, {}", work.name, work.unit),
            contenders,
        };
        print(&row);
        rows.push(row);
    }
    println!();
    let report = Report {
        bench: "workloads",
        reference: work::STD,
        rows,
    };
    report.write(&words);
}

fn works() -> Vec<Work> {
    let mut works = vec![
        scopes::burst(),
        pools::pool(),
        server::connections(),
        spawning::named(),
        spawning::first(),
        scopes::fork_join(),
        pools::task(),
        pools::tasks(),
    ];
    works.extend(spawning::spawners());
    works
}

fn print(row: &Row) {
    for (index, measured) in row.contenders.iter().enumerate() {
        let middle = |values: &[f64]| rounds::median(values.iter().copied());
        let ratio = |value: fn(&Measured) -> &[f64]| row.ratio(&measured.name, work::STD, value);
        println!(
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} |",
            if index == 0 { &row.work } else { "" },
            measured.name,
            middle(&measured.wall),
            middle(&measured.cpu),
            middle(&measured.peak) / 1024.0,
            ratio(|measured| &measured.wall),
            ratio(|measured| &measured.cpu),
        );
    }
}
