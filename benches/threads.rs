//! Spawning and joining threads: the bare clone (their lower bound), this crate, `pthread_create`, std, and this
//! crate's warm threads.
//!
//! ```sh
//! cargo bench --bench threads              # criterion's statistics, then the table of ratios
//! cargo bench --bench threads -- table     # the table, and JSON and SVG files (--output DIR: there)
//! cargo bench --bench threads -- libc      # ratios and counts where libc makes this crate's threads
//! cargo bench --bench threads -- --quick   # only shows that everything runs
//! RAWTHREAD_BENCH_ROUNDS=3 cargo bench ... # fewer rounds than 15
//! ```
//!
//! A time measured on a busy machine means little alone. The table has ratios of contenders that take
//! turns in one process; a ratio is the median of the rounds' ratios. One child process measures on one
//! processor, another on all. For first spawns each contender has a process of its own in each round,
//! and these processes take turns.

#![allow(unsafe_code, reason = "sets a variable for its children")]

#[allow(dead_code, reason = "the other benches use the rest")]
mod common;

use std::process::Command;
use std::time::Duration;

use common::all;
use common::contender::Contender;
use common::report::{self, Measured, Report};
use common::rounds::{self, Workload};
use common::{instructions, machine, syscalls};
use criterion::Criterion;

/// Set for children in which libc makes this crate's threads (`Support::Libc`).
const BY_LIBC: &str = "RAWTHREAD_BENCH_BY_LIBC";

fn main() {
    if std::env::var_os(BY_LIBC).is_some() {
        rawthread::serve_by_libc().expect("no thread was made yet");
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // The children; see `Effort::flag`.
        ["child", "warm", processors, effort] => warm_child(processors, effort.into()),
        ["child", "cold", name, count] => cold_child(name, count.parse().expect("a number")),
        ["child", "count", name, count] => count_child(name, count.parse().expect("a number")),
        _ => {
            // Cargo passes --bench when it benches, and nothing when it tests.
            let quick = words.contains(&"--quick") || !words.contains(&"--bench");
            let effort = if quick { Effort::Quick } else { Effort::Full };
            if words.contains(&"libc") {
                return libc_table(effort);
            }
            if !words.contains(&"table") {
                statistics();
            }
            table(effort, &words);
        }
    }
}

/// How much to measure.
#[derive(Clone, Copy)]
enum Effort {
    Full,
    /// Only shows that everything runs: the figures mean nothing.
    Quick,
}

impl Effort {
    fn flag(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }

    fn rounds(self) -> usize {
        match self {
            Self::Full => rounds::count(15),
            Self::Quick => 1,
        }
    }

    fn turns(self) -> u32 {
        match self {
            Self::Full => 30,
            Self::Quick => 1,
        }
    }

    fn cold_threads(self) -> u32 {
        match self {
            Self::Full => 2000,
            Self::Quick => 20,
        }
    }
}

impl From<&str> for Effort {
    fn from(flag: &str) -> Self {
        if flag == "full" {
            Self::Full
        } else {
            Self::Quick
        }
    }
}

/// Criterion's statistics of each contender alone, compared with the previous run.
fn statistics() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (name, workload) in WARM {
        let mut group = criterion.benchmark_group(format!("{name}, batch of {}", workload.batch()));
        for mut contender in all::all() {
            group.bench_function(contender.name(), |bencher| {
                bencher.iter(|| workload.run(&mut *contender));
            });
        }
    }
    criterion.final_summary();
}

const WARM: [(&str, Workload); 2] = [
    ("spawn+join", Workload::SpawnJoin),
    ("spawn 64, join 64", Workload::Spawn64Join64),
];

/// The table of ratios.
fn table(effort: Effort, words: &[&str]) {
    machine::describe();
    let mut rows = Vec::new();
    for (processors, label) in [("one", "one CPU"), ("all", "all CPUs")] {
        let output = child(&["warm", processors, effort.flag()]);
        rows.extend(output.lines().map(|line| Row::parse(line, label)));
    }
    rows.push(cold(effort));
    println!("\n{}\n", machine::describe());
    if matches!(effort, Effort::Quick) {
        println!("Quick: these figures mean nothing.\n");
    }
    println!("µs per thread (median of rounds) and ratios (median of the rounds' ratios):\n");
    println!(
        "| work | bare clone | rawthread | pthread | std::thread | warm | warm unverified \
         | rawthread ÷ bare clone | std ÷ rawthread | warm ÷ bare clone \
         | warm unverified ÷ bare clone | rawthread ÷ bare clone, processor time \
         | std ÷ rawthread, processor time |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(Row::print);
    println!("\nSystem calls of a warm spawn and join, both sides together:\n");
    for contender in all::all() {
        match syscalls::per_thread(&["child", "count", contender.name()]) {
            Some(calls) => println!("* {}: {calls:.1}", contender.name()),
            None => {
                println!("* skipped: no strace that may trace");
                break;
            }
        }
    }
    println!();
    let report = Report {
        bench: "threads",
        reference: "std",
        rows: rows.into_iter().map(Row::into_report).collect(),
    };
    report.write(words);
}

/// The table of this crate with libc's own threads, beside libc's `pthread_create` and std.
fn libc_table(effort: Effort) {
    // SAFETY: no other thread reads the environment.
    unsafe { std::env::set_var(BY_LIBC, "1") };
    println!("\n{}\n", machine::describe());
    println!("| work | rawthread by libc ÷ pthread | std ÷ rawthread by libc |");
    println!("|---|---|---|");
    for (processors, label) in [("one", "one CPU"), ("all", "all CPUs")] {
        for line in child(&["warm", processors, effort.flag()]).lines() {
            let row = Row::parse(line, label);
            let [_, raw, pthread, std, ..] = &row.times;
            let (to_pthread, to_std) = (rounds::ratio(raw, pthread), rounds::ratio(std, raw));
            println!("| {} | {to_pthread:.2} | {to_std:.2} |", row.work);
        }
    }
    println!("\nSystem calls of a spawn and join, both sides together:\n");
    for contender in all::spawning() {
        match syscalls::per_thread(&["child", "count", contender.name()]) {
            Some(calls) => println!("* {}: {calls:.1}", contender.name()),
            None => {
                println!("* skipped: no strace that may trace");
                break;
            }
        }
    }
    println!("\nInstructions in user space, both sides together:\n");
    for contender in all::spawning() {
        match instructions::per_thread(&["child", "count", contender.name()]) {
            Some(count) => println!("* {}: {count:.0}", contender.name()),
            None => {
                println!("* skipped: no valgrind");
                break;
            }
        }
    }
}

/// One row of the table: each contender's times, by round.
struct Row {
    work: String,
    /// Floor, rawthread, pthread, std, warm, warm unverified; the first and the last two may be empty.
    times: [Vec<f64>; 6],
    /// The same in processor time.
    cpu: [Vec<f64>; 6],
}

impl Row {
    /// Reads `work;time,time,...:time,...;...` as `warm_child` prints it: by the clock, and processor time.
    fn parse(line: &str, processors: &str) -> Self {
        let mut fields = line.split(';');
        let work = fields.next().expect("the name of the work");
        let parse = |times: &str| -> Vec<f64> {
            let times = times.split(',').map(|time| time.parse().expect("a time"));
            times.collect()
        };
        let (mut times, mut cpu): ([Vec<f64>; 6], [Vec<f64>; 6]) = Default::default();
        for (times, cpu) in times.iter_mut().zip(&mut cpu) {
            let field = fields.next().expect("six contenders");
            let (wall, processor) = field.split_once(':').expect("two lists");
            (*times, *cpu) = (parse(wall), parse(processor));
        }
        Self {
            work: format!("{work}, {processors}"),
            times,
            cpu,
        }
    }

    fn into_report(self) -> report::Row {
        let names = [
            "bare clone",
            "rawthread",
            "pthread",
            "std",
            "warm",
            "warm unverified",
        ];
        let measured = self.times.into_iter().zip(self.cpu).zip(names);
        let measured = measured.filter(|((times, _), _)| !times.is_empty());
        report::Row {
            work: self.work,
            contenders: measured
                .map(|((wall, cpu), name)| Measured {
                    name: name.to_owned(),
                    wall,
                    cpu,
                    ..Measured::default()
                })
                .collect(),
        }
    }

    fn print(&self) {
        let show = |value: f64| match value.is_nan() {
            true => "–".to_owned(),
            false => format!("{value:.2}"),
        };
        let [bare, raw, _, std, warm, unverified] = &self.times;
        let times = self.times.each_ref().map(|times| {
            let median = rounds::median(times.iter().copied());
            if median.is_nan() {
                "–".to_owned()
            } else {
                format!("{median:.1}")
            }
        });
        let [bare_cpu, raw_cpu, _, std_cpu, ..] = &self.cpu;
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.work,
            times.join(" | "),
            show(rounds::ratio(raw, bare)),
            show(rounds::ratio(std, raw)),
            show(rounds::ratio(warm, bare)),
            show(rounds::ratio(unverified, bare)),
            show(rounds::ratio(raw_cpu, bare_cpu)),
            show(rounds::ratio(std_cpu, raw_cpu)),
        );
    }
}

/// First spawns: a process for each contender and round.
fn cold(effort: Effort) -> Row {
    let count = effort.cold_threads().to_string();
    let (mut times, mut cpu): ([Vec<f64>; 6], [Vec<f64>; 6]) = Default::default();
    for _ in 0..effort.rounds() {
        let lists = times[1..].iter_mut().zip(&mut cpu[1..]);
        for (contender, (times, cpu)) in all::spawning().iter().zip(lists) {
            let output = child(&["cold", contender.name(), &count]);
            let mut took = output.split_whitespace().map(str::parse);
            times.push(took.next().expect("two times").expect("a time"));
            cpu.push(took.next().expect("two times").expect("a time"));
        }
    }
    Row {
        work: format!("first spawn of each of {count} live threads, all CPUs"),
        times,
        cpu,
    }
}

/// Runs this program as a child; returns what it prints.
fn child(arguments: &[&str]) -> String {
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .arg("child")
        .args(arguments)
        .output()
        .expect("this program can be run again");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn warm_child(processors: &str, effort: Effort) {
    if processors == "one" {
        machine::use_one_processor();
    }
    let mut contenders = all::all();
    for (name, workload) in WARM {
        let times = workload.measure(&mut contenders, effort.rounds(), effort.turns());
        let times = times.iter().map(|both| {
            let both = both.each_ref().map(|times| {
                let times: Vec<String> = times.iter().map(f64::to_string).collect();
                times.join(",")
            });
            both.join(":")
        });
        println!("{name};{}", times.collect::<Vec<_>>().join(";"));
    }
}

fn cold_child(name: &str, count: u32) {
    let [wall, cpu] = rounds::cold(&mut *by_name(name), count);
    println!("{wall} {cpu}");
}

/// Spawns and joins `count` threads; strace counts the system calls.
fn count_child(name: &str, count: u32) {
    machine::use_one_processor();
    let mut contender = by_name(name);
    for _ in 0..count {
        contender.spawn(|| ());
        contender.join();
    }
}

fn by_name(name: &str) -> Box<dyn Contender> {
    let mut all = all::all().into_iter();
    all.find(|contender| contender.name() == name)
        .expect("a contender of that name")
}
