//! Every overflow of a stack ends the process with a report: of any stack, by any frame, at any place.
//!
//! Each is a forked process. `RAWTHREAD_OVERFLOWS` says how many there are; `ci/overflows.sh` has 1000 of
//! each kind.

#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "forks, to see processes die")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;

use rawthread::{Builder, JoinSet, warm};

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

#[path = "../common/support.rs"]
mod support;

/// Recurses by small frames until the stack is over.
#[allow(unconditional_recursion, reason = "that is what it is for")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let mut frame = [depth; 16];
    std::hint::black_box(&mut frame);
    recurse(depth + 1) + frame[depth as usize % 16]
}

/// One frame that is larger than any guard here: the compiler touches each page of it in order.
#[inline(never)]
fn large_frame() -> u64 {
    let mut frame = [0u8; 8 << 20];
    std::hint::black_box(&mut frame);
    frame.iter().map(|byte| u64::from(*byte)).sum()
}

struct Deep;

impl Drop for Deep {
    fn drop(&mut self) {
        recurse(0);
    }
}

std::thread_local!(static STD: Deep = const { Deep });
rawthread::local!(static OWN: Deep = const { Deep });

const KINDS: &[(&str, fn())] = &[
    ("default guard", || {
        let _ = rawthread::spawn(|| recurse(0)).join();
    }),
    ("no guard asked for", || {
        let thread = Builder::new().guard_size(0).spawn(|| recurse(0));
        let _ = thread.unwrap().join();
    }),
    ("guard of 64 KiB", || {
        let thread = Builder::new().guard_size(64 * 1024).spawn(|| recurse(0));
        let _ = thread.unwrap().join();
    }),
    ("guard of 3 MiB, small stack", || {
        let small = Builder::new().guard_size(3 << 20).stack_size(16 * 1024);
        let _ = small.spawn(|| recurse(0)).unwrap().join();
    }),
    ("a frame larger than the guard", || {
        let thread = Builder::new().stack_size(64 * 1024).spawn(large_frame);
        let _ = thread.unwrap().join();
    }),
    ("a frame larger than a guard of 64 KiB", || {
        let builder = Builder::new().guard_size(64 * 1024).stack_size(64 * 1024);
        let _ = builder.spawn(large_frame).unwrap().join();
    }),
    ("a destructor of std's thread-locals", || {
        let _ = rawthread::spawn(|| STD.with(|_| ())).join();
    }),
    ("a destructor of this crate's thread-locals", || {
        let _ = rawthread::spawn(|| OWN.with(|_| ())).join();
    }),
    ("a stack that was used before", || {
        rawthread::spawn(|| ()).join().unwrap();
        let _ = rawthread::spawn(|| recurse(0)).join();
    }),
    ("a task", || {
        let _ = warm::spawn(|| recurse(0)).join();
    }),
    ("a worker's second task", || {
        warm::spawn(|| ()).join().unwrap();
        let _ = warm::spawn(|| recurse(0)).join();
    }),
    ("a scoped thread", || {
        rawthread::scope(|scope| drop(scope.spawn(|| recurse(0))));
    }),
    ("a member of a set", || {
        let mut set = JoinSet::new();
        set.spawn(|| recurse(0));
        let _ = set.join_next();
    }),
];

/// How a forked process ended that ran `run`, and what it wrote to standard error.
fn end_of(run: fn()) -> (i32, String) {
    let mut ends = [0; 2];
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        common::watchdog(60);
        unsafe { libc::dup2(ends[1], 2) };
        run();
        unsafe { libc::_exit(0) };
    }
    unsafe { libc::close(ends[1]) };
    let mut text = String::new();
    unsafe { File::from_raw_fd(ends[0]) }
        .read_to_string(&mut text)
        .unwrap();
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    (status, text)
}

#[test]
fn every_overflow_is_reported() {
    if !common::in_subprocess("every_overflow_is_reported") {
        return;
    }
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    let each = std::env::var("RAWTHREAD_OVERFLOWS").ok();
    let each: u32 = each.and_then(|text| text.parse().ok()).unwrap_or(2);
    if each > 100 {
        unsafe { libc::alarm(0) };
    }
    for (kind, run) in KINDS {
        for n in 0..each {
            let (status, text) = end_of(*run);
            assert!(
                libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT,
                "{kind}, {n}: status {status:#x}: {text}"
            );
            assert!(text.contains("overflowed its stack"), "{kind}, {n}: {text}");
        }
        println!("{kind}: {each} of {each} reported");
    }
}

/// Where SIGSEGV is blocked no handler can run: the kernel ends the process by that signal.
#[test]
fn an_overflow_with_all_signals_blocked_is_a_sigsegv() {
    if !common::in_subprocess("an_overflow_with_all_signals_blocked_is_a_sigsegv") {
        return;
    }
    let (status, _) = end_of(|| {
        let builder = Builder::new().signal_mask(rawthread::SignalSet::all());
        let _ = builder.spawn(|| recurse(0)).unwrap().join();
    });
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
