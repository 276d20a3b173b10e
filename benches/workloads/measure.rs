//! Measures works: a process per contender and round.

use std::process::Command;
use std::time::Instant;

use crate::common::report::Measured;
use crate::common::{machine, rounds};
use crate::work::Work;

/// Lets the contenders take turns for `count` rounds; turns have a `divisor`th of their batches.
pub(crate) fn rounds(work: &Work, count: usize, divisor: u32) -> Vec<Measured> {
    let mut results: Vec<Measured> = work
        .contenders
        .iter()
        .map(|(name, _)| Measured {
            name: (*name).to_owned(),
            ..Measured::default()
        })
        .collect();
    let batches = (work.batches / divisor).max(1);
    let processes = (work.processes / divisor).max(1);
    for round in 0..count {
        for turn in 0..results.len() {
            let result = (round + turn) % results.len();
            let result = &mut results[result];
            let samples: Vec<[f64; 3]> = (0..processes)
                .map(|_| run(work.name, &result.name, batches))
                .collect();
            let middle = |value: usize| rounds::median(samples.iter().map(|sample| sample[value]));
            result.wall.push(middle(0));
            result.cpu.push(middle(1));
            result.peak.push(middle(2));
        }
    }
    results
}

/// Runs this program as a child; returns time, processor time and peak memory.
fn run(work: &str, contender: &str, batches: u32) -> [f64; 3] {
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["child", work, contender, &batches.to_string()])
        .output()
        .expect("this program can be run again");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{work}, {contender}: {stderr}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut values = text.split_whitespace().map(|value| value.parse());
    std::array::from_fn(|_| values.next().expect("three values").expect("a number"))
}

/// Measures in this process and prints: microseconds by the clock and of processor time for one unit,
/// and KiB of peak resident memory.
pub(crate) fn child(work: &Work, contender: &str, batches: u32) {
    let found = work.contenders.iter().find(|(name, _)| *name == contender);
    let (_, prepare) = found.expect("a contender of that name");
    let mut batch = prepare();
    for _ in 0..work.warm_up {
        batch();
    }
    let (cpu, start) = (machine::processor_time(), Instant::now());
    for _ in 0..batches {
        batch();
    }
    let wall = start.elapsed().as_secs_f64();
    let cpu = (machine::processor_time() - cpu).as_secs_f64();
    let units = f64::from(batches * work.units);
    println!(
        "{} {} {}",
        wall * 1e6 / units,
        cpu * 1e6 / units,
        peak_kib()
    );
}

/// The largest resident set that this process had. `ru_maxrss` would keep the parent's across exec.
fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).expect("VmHWM")
}
