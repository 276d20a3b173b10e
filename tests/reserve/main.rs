//! Preallocating thread resources, and freeing idle ones.
#![allow(unsafe_code, reason = "asks the kernel")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/heap.rs"]
mod heap;
#[path = "../common/support.rs"]
mod support;

use common::{MUSL, in_subprocess, no_room_for_a_stack};

fn number(path: &str, key: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn resident_kib() -> usize {
    number("/proc/self/status", "VmRSS:")
}

fn live(count: usize) -> Vec<rawthread::JoinHandle<()>> {
    (0..count)
        .map(|_| rawthread::spawn(rawthread::park))
        .collect()
}

fn end(threads: Vec<rawthread::JoinHandle<()>>) {
    threads.iter().for_each(|thread| thread.thread().unpark());
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn reserved_threads_need_no_memory_and_no_new_tcb() {
    if !in_subprocess("reserved_threads_need_no_memory_and_no_new_tcb") {
        return;
    }
    const COUNT: usize = 100;
    rawthread::reserve(COUNT).unwrap();
    let mut threads = Vec::with_capacity(COUNT);
    // From here mmap fails, and with it every pthread_create: only clone is left.
    let limit = libc::rlimit {
        rlim_cur: no_room_for_a_stack(),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: sets a limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    for index in 0..COUNT {
        match rawthread::Builder::new().try_spawn(rawthread::park) {
            Ok(thread) => threads.push(thread),
            Err(error) => panic!("thread {index}: {error}"),
        }
    }
    // And one more is too many, which shows that the limit bites.
    let error = loop {
        match rawthread::Builder::new().try_spawn(rawthread::park) {
            Ok(thread) => threads.push(thread),
            Err(error) => break error,
        }
        assert!(threads.len() < 2 * COUNT);
    };
    assert_eq!(error.kind(), rawthread::ErrorKind::Limit);
    end(threads);
}

#[test]
fn trim_gives_the_memory_of_idle_threads_back() {
    if !in_subprocess("trim_gives_the_memory_of_idle_threads_back") {
        return;
    }
    end(live(500));
    let idle = resident_kib();
    rawthread::trim();
    let trimmed = resident_kib();
    // Each had the page of its TCB and one of frames, which with musl's small TCB are one; the kernel counts
    // them in batches.
    let each = if MUSL { 3 } else { 6 };
    assert!(idle - trimmed >= 500 * each, "{idle} KiB -> {trimmed} KiB");
    // And the slots serve again, over and over.
    for _ in 0..20 {
        end(live(50));
        rawthread::trim();
    }
    let after = resident_kib();
    assert!(after < trimmed + 1024, "{trimmed} KiB -> {after} KiB");
}

#[test]
fn running_threads_survive_a_trim() {
    if !in_subprocess("running_threads_survive_a_trim") {
        return;
    }
    let threads = live(50);
    end(live(50));
    rawthread::trim();
    end(live(50));
    rawthread::trim();
    end(threads);
    let echo = rawthread::spawn(|| std::thread::current().id());
    assert_ne!(echo.join().unwrap(), std::thread::current().id());
}

#[test]
fn trims_race_with_spawns() {
    if !in_subprocess("trims_race_with_spawns") {
        return;
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..300 {
                    let threads: Vec<_> = (0..4)
                        .map(|n| rawthread::spawn(move || n + round))
                        .collect();
                    for (n, thread) in threads.into_iter().enumerate() {
                        assert_eq!(thread.join().unwrap(), n + round);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..100 {
                rawthread::trim();
            }
        });
    });
}

#[test]
fn more_threads_than_linux_has_cannot_be_reserved() {
    for n in [(4 << 20) + 1, usize::MAX] {
        let refused = rawthread::reserve(n).unwrap_err();
        assert_eq!(refused.kind(), rawthread::ErrorKind::InvalidInput);
    }
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
