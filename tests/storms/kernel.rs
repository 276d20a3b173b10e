//! Storms of spawns beside what the kernel and the loader do to a process: signals, stops, limits, ids,
//! libraries.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common;
use crate::spawns::{Counts, Random, mixed, one_of_any_kind};
use crate::watchdog::{patience, run, storm};

/// Handlers on any thread, at its start and end too, find its thread-locals.
#[test]
fn signals_whose_handlers_touch_thread_locals() {
    static COUNTS: Counts = Counts::new();
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    thread_local!(static OWN: Cell<(i32, u64)> = const { Cell::new((0, 0)) });
    extern "C" fn handler(_: i32) {
        let tid = unsafe { libc::gettid() };
        OWN.with(|own| {
            let (seen, count) = own.get();
            // Fresh, or this thread's: another's would have its tid.
            if seen != 0 && seen != tid {
                unsafe { libc::abort() };
            }
            own.set((tid, count + 1));
        });
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
    let until = storm(
        "kernel::signals_whose_handlers_touch_thread_locals",
        |pid| {
            // The process is a test's harness before it is the storm's, which then has a handler.
            let caught = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let caught = caught.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            if caught.is_some_and(|mask| mask >> (libc::SIGUSR1 - 1) & 1 == 1) {
                unsafe { libc::kill(pid, libc::SIGUSR1) };
            }
        },
    );
    if let Some(until) = until {
        unsafe { libc::signal(libc::SIGUSR1, handler as *const () as usize) };
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
                    std::thread::yield_now();
                }
            });
            mixed(4, until, &COUNTS);
            common::poll_until("a signal is handled", || {
                HANDLED.load(Ordering::Relaxed) != 0
            });
            stop.store(true, Ordering::Relaxed);
        });
        COUNTS.tell("beside signals");
    }
}

/// Stopped at any instant and continued, by the process that watches.
#[test]
fn stops_at_any_instant() {
    static COUNTS: Counts = Counts::new();
    let mut random = Random(7);
    let until = storm("kernel::stops_at_any_instant", |pid| {
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        std::thread::sleep(Duration::from_micros(random.below(2_000)));
        unsafe { libc::kill(pid, libc::SIGCONT) };
    });
    if let Some(until) = until {
        mixed(8, until, &COUNTS);
        COUNTS.tell("stopped and continued");
    }
}

/// At a limit on address space a spawn is an error or a thread, and afterwards spawns work.
#[test]
fn limits_on_address_space() {
    static COUNTS: Counts = Counts::new();
    if let Some(until) = storm("kernel::limits_on_address_space", |_| ()) {
        rawthread::spawn(|| ()).join().unwrap();
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
        let mut before: libc::rlimit = unsafe { std::mem::zeroed() };
        unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut before) };
        // Std's threads and allocations get their share first.
        let limit = libc::rlimit {
            rlim_cur: (pages * 4096) + (48 << 20),
            ..before
        };
        let mut random = Random(1);
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        while Instant::now() < until {
            let mut live = Vec::with_capacity(64);
            for _ in 0..random.below(64) {
                match rawthread::Builder::new()
                    .stack_size(4 << 20)
                    .try_spawn(rawthread::park)
                {
                    Ok(thread) => live.push(thread),
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
                        break;
                    }
                }
            }
            for thread in &live {
                thread.thread().unpark();
            }
            for thread in live {
                thread.join().unwrap();
            }
        }
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &before) }, 0);
        one_of_any_kind(&mut random, &COUNTS);
        for _ in 0..64 {
            rawthread::spawn(|| ()).join().unwrap();
        }
        COUNTS.assert_none_lost();
    }
}

/// Each thread has the ids that its process has.
#[test]
fn ids_change_beside_starts_and_ends() {
    static COUNTS: Counts = Counts::new();
    static GROUP: AtomicU64 = AtomicU64::new(0);
    static WRONG: AtomicU64 = AtomicU64::new(0);
    if let Some(until) = storm("kernel::ids_change_beside_starts_and_ends", |_| ()) {
        if unsafe { libc::geteuid() } != 0 {
            skip!("changing ids needs root");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| mixed(4, until, &COUNTS));
            while Instant::now() < until {
                for group in [1, 0] {
                    assert_eq!(unsafe { libc::setegid(group) }, 0);
                    GROUP.store(group.into(), Ordering::SeqCst);
                    let check = || {
                        let own = u64::from(unsafe { libc::getegid() });
                        if own != GROUP.load(Ordering::SeqCst) {
                            WRONG.fetch_add(1, Ordering::SeqCst);
                        }
                    };
                    rawthread::spawn(check).join().unwrap();
                    rawthread::warm::spawn(check).join().unwrap();
                }
            }
        });
        assert_eq!(WRONG.load(Ordering::SeqCst), 0, "threads with other ids");
        COUNTS.tell("beside setegid");
    }
}

/// Libraries come and go; those of libc are everywhere.
#[test]
fn libraries_come_and_go() {
    static COUNTS: Counts = Counts::new();
    if let Some(until) = storm("kernel::libraries_come_and_go", |_| ()) {
        let names = [
            c"libresolv.so.2",
            c"libanl.so.1",
            c"libBrokenLocale.so.1",
            c"libstdc++.so.6",
        ];
        let opened = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(3);
                while Instant::now() < until {
                    let name = names[random.below(names.len() as u64) as usize];
                    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
                    if !handle.is_null() {
                        opened.fetch_add(1, Ordering::Relaxed);
                        unsafe { libc::dlclose(handle) };
                    }
                }
            });
            mixed(4, until, &COUNTS);
        });
        if opened.load(Ordering::Relaxed) == 0 {
            skip!("no library to open");
        }
        COUNTS.tell("beside dlopen");
    }
}

/// In a memory cgroup with little room the process goes on, slowly, or the kernel kills it: it does not
/// hang, and dies of nothing else.
#[test]
fn little_memory_in_a_cgroup() {
    const NAME: &str = "kernel::little_memory_in_a_cgroup";
    static COUNTS: Counts = Counts::new();
    if common::is_child(NAME) {
        // Waits to be put into the group.
        std::thread::sleep(Duration::from_millis(100));
        mixed(8, Instant::now() + crate::watchdog::duration(), &COUNTS);
        return COUNTS.tell("in a memory cgroup");
    }
    let name = format!("rawthread-storm-{}", std::process::id());
    let group = std::path::Path::new("/sys/fs/cgroup/memory").join(name);
    let limit = group.join("memory.limit_in_bytes");
    if std::fs::create_dir(&group).is_err() || std::fs::write(&limit, "32M").is_err() {
        let _ = std::fs::remove_dir(&group);
        skip!("no memory cgroup (version 1) to write to");
    }
    let (mut is_in, start) = (false, Instant::now());
    let outcome = run(NAME, |pid| {
        is_in = is_in || std::fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok();
        start.elapsed() > patience()
    });
    let met = std::fs::read_to_string(group.join("memory.failcnt")).unwrap_or_default();
    common::poll_until("the group is empty", || std::fs::remove_dir(&group).is_ok());
    assert!(is_in);
    let end = match outcome {
        Ok(_) => "it went on",
        Err(report) if report.contains("signal: 9") && met.trim() != "0" => "the kernel killed it",
        Err(report) => panic!("{report}"),
    };
    println!(
        "storm in 32 MiB: the limit was met {} times; {end}",
        met.trim()
    );
}
