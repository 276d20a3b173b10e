//! Locks: this crate's, std's, parking_lot's, and a spin lock.
//!
//! ```sh
//! cargo bench --bench locks                       # criterion's statistics, then the table
//! cargo bench --bench locks -- table              # the table, and JSON and SVG files
//! cargo bench --bench locks -- table --output DIR # the files in DIR
//! RAWTHREAD_BENCH_ROUNDS=3 cargo bench ...        # fewer rounds than 15 in each of three runs
//! ```
//!
//! The table comes from three runs, each a process. In a run the contenders take turns in rounds; the
//! run's figure is the median of its rounds' ratios, and the table has the median of the three runs'
//! figures, with all three behind it: their distance shows what the machine adds.

#[path = "common/mod.rs"]
#[allow(dead_code, reason = "the other benches use the rest")]
mod common;

use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::report::{Measured, Report, Row};
use common::{machine, rounds};
use criterion::Criterion;

const RUNS: usize = 3;
const ROUNDS: usize = 15;
const ALONE: u64 = 2_000_000;
const TOGETHER: u64 = 300_000;

/// A lock around a number.
trait Contender: Sync + Default {
    /// Adds one, and takes `steps` of other work under the lock.
    fn add(&self, steps: u32);
    fn total(&self) -> u64;
}

#[derive(Default)]
struct Ours(rawthread::sync::Mutex<u64>);

#[derive(Default)]
struct Std(std::sync::Mutex<u64>);

#[derive(Default)]
struct ParkingLot(parking_lot::Mutex<u64>);

/// A spin lock that yields the processor after 100 failed attempts.
#[derive(Default)]
struct Spin {
    held: AtomicBool,
    number: AtomicU64,
}

impl Contender for Ours {
    #[inline]
    fn add(&self, steps: u32) {
        let mut number = self.0.lock();
        *number += 1;
        work(steps);
    }
    fn total(&self) -> u64 {
        *self.0.lock()
    }
}

impl Contender for Std {
    #[inline]
    fn add(&self, steps: u32) {
        let mut number = self.0.lock().unwrap();
        *number += 1;
        work(steps);
    }
    fn total(&self) -> u64 {
        *self.0.lock().unwrap()
    }
}

impl Contender for ParkingLot {
    #[inline]
    fn add(&self, steps: u32) {
        let mut number = self.0.lock();
        *number += 1;
        work(steps);
    }
    fn total(&self) -> u64 {
        *self.0.lock()
    }
}

impl Contender for Spin {
    #[inline]
    fn add(&self, steps: u32) {
        let mut attempts = 0;
        // Acquire pairs with the release below: the previous holder's number is seen.
        while self.held.swap(true, Ordering::Acquire) {
            attempts += 1;
            if attempts % 100 == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        // Not one atomic addition: the lock makes it exact, or `total` is wrong.
        let number = self.number.load(Ordering::Relaxed);
        self.number.store(number + 1, Ordering::Relaxed);
        work(steps);
        self.held.store(false, Ordering::Release);
    }
    fn total(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }
}

fn work(steps: u32) {
    for step in 0..steps {
        black_box(step);
    }
}

/// Locks and unlocks on one thread.
fn alone<C: Contender>(times: u64) -> Duration {
    let lock = C::default();
    let start = Instant::now();
    for _ in 0..times {
        black_box(&lock).add(0);
    }
    start.elapsed()
}

/// `threads` threads lock, add and unlock, with other work under the lock and between two turns.
/// From the start of the first to the end of the last.
fn together<C: Contender>(threads: u64, times: u64, (inside, outside): (u32, u32)) -> Duration {
    let lock = C::default();
    let start_line = Barrier::new(threads as usize);
    let work_through = || {
        start_line.wait();
        let start = Instant::now();
        for _ in 0..times / threads {
            lock.add(inside);
            work(outside);
        }
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work_through)).collect();
        let ended = running.into_iter().map(|thread| thread.join());
        ended.map(|span| span.expect("no panic")).collect()
    });
    assert_eq!(lock.total(), times / threads * threads);
    let first = spans.iter().map(|span| span.0).min();
    let last = spans.iter().map(|span| span.1).max();
    last.zip(first)
        .map(|(last, first)| last - first)
        .expect("threads")
}

const NAMES: [&str; 4] = ["rawthread", "std", "parking_lot", "spin lock"];

/// One row of the table: a work, done by each contender.
struct Work {
    name: String,
    times: u64,
    by: [Box<dyn Fn() -> Duration>; 4],
}

fn works(divisor: u64) -> Vec<Work> {
    let times = ALONE / divisor;
    let mut works = vec![Work {
        name: "uncontended lock+unlock".to_string(),
        times,
        by: [
            Box::new(move || alone::<Ours>(times)),
            Box::new(move || alone::<Std>(times)),
            Box::new(move || alone::<ParkingLot>(times)),
            Box::new(move || alone::<Spin>(times)),
        ],
    }];
    let times = TOGETHER / divisor;
    for threads in [2, 3, 4] {
        for steps @ (inside, outside) in [(0, 0), (0, 50), (0, 500), (200, 200)] {
            works.push(Work {
                name: format!("{threads} threads, work {inside} in, {outside} out"),
                times,
                by: [
                    Box::new(move || together::<Ours>(threads, times, steps)),
                    Box::new(move || together::<Std>(threads, times, steps)),
                    Box::new(move || together::<ParkingLot>(threads, times, steps)),
                    Box::new(move || together::<Spin>(threads, times, steps)),
                ],
            });
        }
    }
    works
}

/// One run: for each work a line of microseconds per lock and unlock, `time,time,...;...`, a list for
/// each contender.
fn run(rounds: usize, divisor: u64) {
    for work in works(divisor) {
        let mut times: [Vec<String>; 4] = Default::default();
        for round in 0..rounds {
            for turn in 0..times.len() {
                let index = (round + turn) % times.len();
                let took = work.by[index]().as_secs_f64() * 1e6 / work.times as f64;
                times[index].push(took.to_string());
            }
        }
        println!("{}", times.map(|times| times.join(",")).join(";"));
    }
}

/// Runs this program as a child for one run; returns each work's times by contender.
fn run_in_child(effort: &str) -> Vec<[Vec<f64>; 4]> {
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["child", effort])
        .output()
        .expect("this program can be run again");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let parse = |line: &str| {
        let mut fields = line.split(';');
        std::array::from_fn(|_| {
            let times = fields.next().expect("four contenders").split(',');
            times.map(|time| time.parse().expect("a time")).collect()
        })
    };
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(parse).collect()
}

fn table(words: &[&str], quick: bool) {
    println!("\n{}", machine::describe());
    let (runs, effort) = if quick {
        println!("Quick: these figures mean nothing.");
        (1, "quick")
    } else {
        (RUNS, "full")
    };
    let runs: Vec<_> = (0..runs).map(|_| run_in_child(effort)).collect();
    println!(
        "\nTime of rawthread's lock as a ratio, median of {} runs (and each run's), below 1 rawthread is faster:\n",
        runs.len()
    );
    println!("| work | ÷ std | ÷ parking_lot | ÷ spin lock |\n|---|---|---|---|");
    let mut rows = Vec::new();
    for (index, work) in works(1).into_iter().enumerate() {
        let ratios = [1, 2, 3].map(|rival| {
            let of_run =
                |run: &Vec<[Vec<f64>; 4]>| rounds::ratio(&run[index][0], &run[index][rival]);
            let each: Vec<f64> = runs.iter().map(of_run).collect();
            let shown: Vec<String> = each.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let median = rounds::median(each);
            format!("{median:.2} ({})", shown.join(", "))
        });
        println!("| {} | {} |", work.name, ratios.join(" | "));
        let measured = |(contender, name): (usize, &&str)| Measured {
            name: (*name).to_owned(),
            wall: runs
                .iter()
                .flat_map(|run| run[index][contender].clone())
                .collect(),
            ..Measured::default()
        };
        rows.push(Row {
            work: work.name,
            contenders: NAMES.iter().enumerate().map(measured).collect(),
        });
    }
    println!();
    let report = Report {
        bench: "locks",
        reference: "std",
        rows,
    };
    report.write(words);
}

fn statistics() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("uncontended");
    group.bench_function("rawthread", |b| b.iter_custom(alone::<Ours>));
    group.bench_function("std", |b| b.iter_custom(alone::<Std>));
    group.bench_function("parking_lot", |b| b.iter_custom(alone::<ParkingLot>));
    group.finish();
    criterion.final_summary();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["child", "full"] => run(rounds::count(ROUNDS), 1),
        ["child", _] => run(1, 100),
        _ => {
            // Cargo passes --bench when it benches, and nothing when it tests.
            let quick = words.contains(&"--quick") || !words.contains(&"--bench");
            if !words.contains(&"table") {
                statistics();
            }
            table(&words, quick);
        }
    }
}
