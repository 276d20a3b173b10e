//! Locks against std's and parking_lot's.
//!
//! `cargo bench --bench locks`
//!
//! Criterion shows each contender alone. The table at the end is what counts: contenders take
//! turns in the same rounds, and a figure is the median of the rounds' ratios, so that whatever
//! slows the machine slows both.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::Criterion;

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

fn work(steps: u32) {
    for step in 0..steps {
        black_box(step);
    }
}

/// Locks and unlocks without contention.
fn alone<C: Contender>(times: u64) -> Duration {
    let lock = C::default();
    let start = Instant::now();
    for _ in 0..times {
        black_box(&lock).add(0);
    }
    start.elapsed()
}

/// `threads` threads lock, add and unlock, with other work under the lock and between two turns.
/// From the first one's start to the last one's end.
fn together<C: Contender>(threads: u64, times: u64, (inside, outside): (u32, u32)) -> Duration {
    let lock = C::default();
    let gate = Barrier::new(threads as usize);
    let work_through = || {
        gate.wait();
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

/// One line of the table: a work, done by each contender.
struct Work {
    name: String,
    by: [Box<dyn Fn() -> Duration>; 3],
}

fn works() -> Vec<Work> {
    let mut works = vec![Work {
        name: "uncontended lock+unlock".to_string(),
        by: [
            Box::new(|| alone::<Ours>(ALONE)),
            Box::new(|| alone::<Std>(ALONE)),
            Box::new(|| alone::<ParkingLot>(ALONE)),
        ],
    }];
    for threads in [2, 3, 4] {
        for steps @ (inside, outside) in [(0, 0), (0, 50), (0, 500), (200, 200)] {
            works.push(Work {
                name: format!("{threads} threads, work {inside} in, {outside} out"),
                by: [
                    Box::new(move || together::<Ours>(threads, TOGETHER, steps)),
                    Box::new(move || together::<Std>(threads, TOGETHER, steps)),
                    Box::new(move || together::<ParkingLot>(threads, TOGETHER, steps)),
                ],
            });
        }
    }
    works
}

/// The median, and the quartiles around it.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    format!("{:.2} ({:.2}-{:.2})", at(2), at(1), at(3))
}

fn table() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\nratios of time, medians (and quartiles) of {ROUNDS} rounds, {cpus} CPUs; below 1 rawthread is faster"
    );
    println!("{:<32} {:>20} {:>20}", "", "÷ std", "÷ parking_lot");
    for work in works() {
        let mut to_std = Vec::new();
        let mut to_parking_lot = Vec::new();
        for round in 0..ROUNDS {
            let mut took = [0.0; 3];
            for turn in 0..3 {
                let who = (round + turn) % 3;
                took[who] = work.by[who]().as_secs_f64();
            }
            to_std.push(took[0] / took[1]);
            to_parking_lot.push(took[0] / took[2]);
        }
        println!(
            "{:<32} {:>20} {:>20}",
            work.name,
            spread(to_std),
            spread(to_parking_lot)
        );
    }
}

fn alone_by_criterion(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uncontended");
    group.bench_function("rawthread", |b| b.iter_custom(alone::<Ours>));
    group.bench_function("std", |b| b.iter_custom(alone::<Std>));
    group.bench_function("parking_lot", |b| b.iter_custom(alone::<ParkingLot>));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    alone_by_criterion(&mut criterion);
    criterion.final_summary();
    table();
}
