//! Scoped threads: a burst, and fork-join.

use std::hint::black_box;

use crate::work::{self, Batch, Prepare, Work, plain};

const THREADS: usize = 16;

/// 16 scoped threads, each writing its part of a result.
pub(crate) fn burst() -> Work {
    Work {
        name: "burst of 16 scoped threads",
        unit: "per burst",
        units: 1,
        warm_up: 20,
        batches: 100,
        processes: 1,
        contenders: vec![
            plain(work::RAWTHREAD, || {
                let mut results = [0; THREADS];
                rawthread::scope(|scope| {
                    for (index, result) in results.iter_mut().enumerate() {
                        scope.spawn(move || *result = index);
                    }
                });
                black_box(results);
            }),
            plain(work::STD, || {
                let mut results = [0; THREADS];
                std::thread::scope(|scope| {
                    for (index, result) in results.iter_mut().enumerate() {
                        scope.spawn(move || *result = index);
                    }
                });
                black_box(results);
            }),
            plain(work::CROSSBEAM, || {
                let mut results = [0; THREADS];
                let ended = crossbeam_utils::thread::scope(|scope| {
                    for (index, result) in results.iter_mut().enumerate() {
                        scope.spawn(move |_| *result = index);
                    }
                });
                ended.expect("no panic");
                black_box(results);
            }),
            plain(work::RAYON, || {
                let mut results = [0; THREADS];
                rayon::scope(|scope| {
                    for (index, result) in results.iter_mut().enumerate() {
                        scope.spawn(move |_| *result = index);
                    }
                });
                black_box(results);
            }),
            work::spawn_then_join(work::WARM, THREADS),
            work::spawn_then_join(work::PTHREAD, THREADS),
            work::spawn_then_join(work::BARE_CLONE, THREADS),
        ],
    }
}

/// Numbers to add up: 32 leaves, each some microseconds of work.
const NUMBERS: u64 = 1 << 18;
const LEAF: u64 = NUMBERS / 32;

/// Adds up a range by halves: one half on a new thread or task, the other on the caller.
pub(crate) fn fork_join() -> Work {
    Work {
        name: "fork-join over 32 leaves",
        unit: "per sum",
        units: 1,
        warm_up: 10,
        batches: 50,
        processes: 1,
        contenders: vec![
            sum(work::RAWTHREAD, by_rawthread),
            sum(work::STD, by_std),
            sum(work::CROSSBEAM, by_crossbeam),
            sum(work::WARM, by_warm),
            sum(work::RAYON, by_rayon),
        ],
    }
}

fn sum(name: &'static str, by: fn(u64, u64) -> u64) -> (&'static str, Prepare) {
    let batch = move || {
        let expected = NUMBERS * (NUMBERS - 1) / 2;
        assert_eq!(by(0, NUMBERS), expected);
    };
    (name, Box::new(move || Box::new(batch) as Batch))
}

fn leaf(from: u64, to: u64) -> u64 {
    (from..to).map(black_box).sum()
}

fn by_rawthread(from: u64, to: u64) -> u64 {
    if to - from <= LEAF {
        return leaf(from, to);
    }
    let middle = from.midpoint(to);
    rawthread::scope(|scope| {
        let upper = scope.spawn(move || by_rawthread(middle, to));
        by_rawthread(from, middle) + upper.join().expect("no panic")
    })
}

fn by_std(from: u64, to: u64) -> u64 {
    if to - from <= LEAF {
        return leaf(from, to);
    }
    let middle = from.midpoint(to);
    std::thread::scope(|scope| {
        let upper = scope.spawn(move || by_std(middle, to));
        by_std(from, middle) + upper.join().expect("no panic")
    })
}

fn by_crossbeam(from: u64, to: u64) -> u64 {
    if to - from <= LEAF {
        return leaf(from, to);
    }
    let middle = from.midpoint(to);
    let sum = crossbeam_utils::thread::scope(|scope| {
        let upper = scope.spawn(move |_| by_crossbeam(middle, to));
        by_crossbeam(from, middle) + upper.join().expect("no panic")
    });
    sum.expect("no panic")
}

fn by_warm(from: u64, to: u64) -> u64 {
    if to - from <= LEAF {
        return leaf(from, to);
    }
    let middle = from.midpoint(to);
    let upper = rawthread::warm::spawn(move || by_warm(middle, to));
    by_warm(from, middle) + upper.join().expect("no panic")
}

fn by_rayon(from: u64, to: u64) -> u64 {
    if to - from <= LEAF {
        return leaf(from, to);
    }
    let middle = from.midpoint(to);
    let (lower, upper) = rayon::join(|| by_rayon(from, middle), || by_rayon(middle, to));
    lower + upper
}
