//! What threads and sets leave in memory that the next ones use.

use std::time::{Duration, Instant};

use rawthread::{Builder, JoinSet, warm};

use crate::common::in_subprocess;

#[path = "../common/filter.rs"]
mod filter;

/// Resident memory, in KiB.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.unwrap().trim().trim_end_matches(" kB").trim();
    number.parse().unwrap()
}

/// An unpark that comes after the end leaves its token in the record, which the next thread takes over.
#[test]
fn a_token_of_one_thread_is_not_the_next_ones() {
    const SHORT: Duration = Duration::from_millis(2);
    if !in_subprocess("records::a_token_of_one_thread_is_not_the_next_ones") {
        return;
    }
    for _ in 0..20 {
        let ended = rawthread::spawn(|| ());
        let thread = ended.thread().clone();
        ended.join().unwrap();
        thread.unpark();
        drop(thread);
        let parked = rawthread::spawn(|| {
            let start = Instant::now();
            rawthread::park_timeout(SHORT);
            start.elapsed()
        });
        assert!(parked.join().unwrap() >= SHORT);
    }
}

/// A set's memory and that of its entries are used again.
#[test]
fn sets_leave_no_memory() {
    if !in_subprocess("records::sets_leave_no_memory") {
        return;
    }
    let run = |threads: usize| {
        for _ in 0..threads / 8 {
            let mut set = JoinSet::new();
            for _ in 0..8 {
                let small = Builder::new().stack_size(16 * 1024);
                set.spawn_with(small, || ()).unwrap();
            }
            while let Some(result) = set.join_next() {
                result.unwrap();
            }
        }
    };
    run(2_000);
    let before = resident();
    // An entry takes 88 bytes.
    run(12_000);
    let after = resident();
    assert!(after < before + 512, "{before} KiB -> {after} KiB");
}

/// A task for which there is no thread is an error, and its closure and packet are gone.
#[test]
fn a_task_without_a_thread_leaves_no_memory() {
    if !in_subprocess("records::a_task_without_a_thread_leaves_no_memory") {
        return;
    }
    rawthread::spawn(|| ()).join().unwrap();
    let refused = [libc::SYS_clone3, libc::SYS_clone];
    if !refused.map(|call| filter::refuse(call, None, libc::EAGAIN))[0] {
        skip!("no seccomp filters here");
    }
    let run = |tasks| {
        for _ in 0..tasks {
            let large = [1u8; 16 * 1024];
            assert!(warm::try_spawn(move || large[0]).is_err());
        }
    };
    run(100);
    let before = resident();
    run(500);
    let after = resident();
    assert!(after < before + 4 * 1024, "{before} KiB -> {after} KiB");
}
