//! What the system calls of a spawn and join cost one by one: docs/performance.md adds them up.
//!
//! `cargo bench --bench calls -- table` prints them, and writes JSON and a plot (`--output DIR`: there).
//!
//! A figure is the smallest mean of 200 batches of 1,000 calls: load of other programs makes a batch
//! slower and never faster, so the smallest comes close to an idle machine's.
#![allow(unsafe_code, reason = "makes system calls")]

#[path = "common/mod.rs"]
#[allow(dead_code, reason = "the other benches use the rest")]
mod common;

use std::ptr;
use std::time::Instant;

use common::machine;
use common::report::{Measured, Report, Row};

/// A system call, and what a thread of this crate makes it for.
type Call = (&'static str, &'static str, fn());

const CALLS: &[Call] = &[
    ("getppid", "nothing: the price of any system call", || {
        // SAFETY: asks.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }),
    (
        "rt_sigprocmask",
        "no handler runs while a thread ends",
        || {
            let mut old = 0u64;
            let none = ptr::null::<u64>();
            // SAFETY: writes a local variable of the kernel's size of a set.
            unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, none, &mut old, 8) };
        },
    ),
    ("sigaltstack", "reports of stack overflows", || {
        // SAFETY: neither sets nor asks.
        unsafe { libc::sigaltstack(ptr::null(), ptr::null_mut()) };
    }),
    (
        "get_robust_list and set_robust_list",
        "robust mutexes",
        || {
            let (mut head, mut len) = (0usize, 0usize);
            // SAFETY: sets what is already set.
            unsafe {
                libc::syscall(libc::SYS_get_robust_list, 0, &mut head, &mut len);
                libc::syscall(libc::SYS_set_robust_list, head, len);
            }
        },
    ),
    (
        "rseq",
        "sched_getcpu and per-processor allocators (measured: a refused one)",
        || {
            // SAFETY: the area of null is refused.
            unsafe { libc::syscall(libc::SYS_rseq, 0, 32, 0, 0x5305_3053) };
        },
    ),
    ("futex wake", "a wake-up when no thread sleeps", || {
        let word = 0u32;
        // SAFETY: a local word on which no thread waits.
        unsafe { libc::syscall(libc::SYS_futex, &word, libc::FUTEX_WAKE | 128, 1) };
    }),
    ("clock_gettime", "a deadline, by system call", || {
        let mut time = [0u64; 2];
        // SAFETY: writes a local variable.
        unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &mut time) };
    }),
    ("kcmp", "warm: compares descriptor tables", || {
        const KCMP_FILES: i32 = 2;
        // SAFETY: asks.
        unsafe {
            let pid = libc::getpid();
            libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILES, 0, 0);
        }
    }),
    ("sched_getaffinity", "warm: compares affinity", || {
        let mut set = [0u64; 16];
        // SAFETY: writes a local variable of the size that is given.
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, 128, &mut set) };
    }),
    (
        "mmap and munmap of a page",
        "the first spawn's tables",
        || {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: maps one page, and unmaps it.
            unsafe {
                let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0);
                assert_eq!(libc::munmap(page, 4096), 0);
            }
        },
    ),
    ("the same, touched", "the same and a page fault", || {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: maps one page, writes to it, and unmaps it.
        unsafe {
            let page = libc::mmap(ptr::null_mut(), 4096, protection, flags, -1, 0);
            page.cast::<u8>().write_volatile(1);
            assert_eq!(libc::munmap(page, 4096), 0);
        }
    }),
];

fn main() {
    // Cargo passes --bench when it benches, and nothing when it tests.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let quick = words.contains(&"--quick") || !words.contains(&"--bench");
    let (batches, calls) = if quick { (1, 10) } else { (200, 1000) };
    println!("{}, on one of them\n", machine::describe());
    machine::use_one_processor();
    if quick {
        println!("Quick: these figures mean nothing.\n");
    }
    println!("| call | what for | ns |\n|---|---|---|");
    let mut contenders = Vec::new();
    for (name, purpose, call) in CALLS {
        let mut least = f64::INFINITY;
        for _ in 0..batches {
            let start = Instant::now();
            for _ in 0..calls {
                call();
            }
            least = least.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
        }
        println!("| {name} | {purpose} | {least:.0} |");
        contenders.push(Measured {
            name: (*name).to_owned(),
            wall: vec![least / 1e3],
            ..Measured::default()
        });
    }
    println!();
    let report = Report {
        bench: "calls",
        reference: CALLS[0].0,
        rows: vec![Row {
            work: "single system calls".to_owned(),
            contenders,
        }],
    };
    report.write(&words);
}
