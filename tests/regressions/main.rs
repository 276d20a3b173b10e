//! What once went wrong, each in a process of its own.
#![cfg(feature = "std")]
#![allow(unsafe_code, reason = "calls libc as C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;
mod attack_before_start;
mod attack_fork_amid;
mod attack_idle_in_child;
mod attack_loader_lock;
mod attack_unload;
mod counts;
mod destructors;
mod ending;
#[path = "../common/filter.rs"]
mod filter;
mod first_fork;
mod first_guard;
mod first_spawn;
mod fork;
mod forked_child;
mod hook;
mod libc_state;
mod own_stack;
mod panic_output;
mod real_time;
mod reaped;
mod reaper;
mod refused;
mod static_tls;
#[allow(dead_code, reason = "tests/faults has more of its kind")]
#[path = "../faults/supervisor.rs"]
mod supervisor;
#[path = "../common/support.rs"]
mod support;
mod tids;
mod two_copies;
#[path = "../common/unknown_libc.rs"]
mod unknown_libc;
mod vm_child;
mod warm;
mod warm_after_fork;

use common::in_subprocess;

/// A panic in a panic hook ends the process, and printing to a full device panics if one lets it.
#[test]
fn a_named_thread_may_panic_where_standard_error_is_full() {
    if !in_subprocess("a_named_thread_may_panic_where_standard_error_is_full") {
        return;
    }
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let kept = unsafe { libc::dup(2) };
    unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&full), 2) };
    let thread = rawthread::Builder::new().name("loud".into());
    let joined = thread
        .spawn(|| panic!("nobody can read this"))
        .unwrap()
        .join();
    unsafe { libc::dup2(kept, 2) };
    assert!(joined.is_err());
}

/// `trim` continues in a frame that the donor left, below which threads have run meanwhile.
#[test]
fn a_trim_finds_the_seeds_frame_as_it_was_left() {
    if !in_subprocess("a_trim_finds_the_seeds_frame_as_it_was_left") {
        return;
    }
    for _ in 0..10 {
        for _ in 0..2 {
            let spawn = |fill: u8| {
                rawthread::spawn(move || usize::from(std::hint::black_box([fill; 4096])[9]))
            };
            let threads: Vec<_> = (0..10).map(spawn).collect();
            let sum: usize = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum();
            assert_eq!(sum, 45);
        }
        rawthread::trim();
    }
}

/// A handler may run before a thread's first step and ask which thread it is in: what it makes for
/// the answer is dropped. Records are few here, so a leaked one would make its name's memory show.
#[test]
fn a_handler_that_comes_before_the_thread_leaves_nothing_behind() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    static STOP: AtomicBool = AtomicBool::new(false);
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn ask(_: i32) {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        std::hint::black_box(rawthread::current());
    }
    if !in_subprocess("a_handler_that_comes_before_the_thread_leaves_nothing_behind") {
        return;
    }
    unsafe { libc::signal(libc::SIGUSR1, ask as *const () as libc::sighandler_t) };
    // The main thread has its record before the storm.
    std::hint::black_box(rawthread::current());
    let storm = std::thread::spawn(|| {
        std::hint::black_box(rawthread::current());
        while !STOP.load(Ordering::Relaxed) {
            unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        }
    });
    // Not `Rss`: pages of the program's file come and go with the machine's memory.
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("Anonymous:"))
            .unwrap();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    for _ in 0..20_000 {
        rawthread::spawn(|| ()).join().unwrap();
    }
    let before = resident();
    for _ in 0..20_000 {
        rawthread::spawn(|| ()).join().unwrap();
    }
    let after = resident();
    STOP.store(true, Ordering::Relaxed);
    storm.join().unwrap();
    assert!(HANDLED.load(Ordering::Relaxed) > 0);
    assert!(after <= before + 64, "{before} KiB -> {after} KiB");
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[]);
}
