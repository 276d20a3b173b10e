//! Questions about what one sees of threads, and what tasks cost.
#![allow(unsafe_code, reason = "touches memory by the page")]

use std::fs::{read_dir, read_to_string};
use std::time::{Duration, Instant};

use rawthread::flags::CloneFlags;

use super::fork_exec::PAGE;
use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, in_a_fork, spawn_child};
use crate::syscall;

/// The thread of this process that has this name.
fn named_thread(name: &str) -> Option<i32> {
    let entries = read_dir("/proc/self/task").ok()?;
    let tids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    tids.into_iter().find(|tid: &i32| {
        read_to_string(format!("/proc/self/task/{tid}/comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

pub(super) fn visible(log: &mut ExperimentLog) {
    let (end, finish) = support::pipe();
    let thread = std::thread::Builder::new()
        .name("lab-thread".into())
        .spawn(move || support::receive(end));
    let Ok(thread) = thread else {
        return log.skip("no thread could be made");
    };
    let pid = syscall::getpid();
    // It takes its name itself, as soon as it runs.
    let tid = loop {
        if let Some(tid) = named_thread("lab-thread") {
            break tid;
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    log.check(
        tid != pid,
        format!("/proc/{pid}/task has the entry {tid}, whose comm is \"lab-thread\""),
    );
    let listed = support::is_listed(tid);
    let status = read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let group = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))
        .map_or("", str::trim);
    log.check(
        !listed && group == pid.to_string(),
        format!("a listing of /proc (what plain ps reads) does not show {tid}, yet /proc/{tid} can be opened: its Tgid is {group}"),
    );
    for (options, expected) in [
        (&["-o", "lwp=", "-p"][..], false),
        (&["-L", "-o", "lwp=", "-p"][..], true),
    ] {
        let output = std::process::Command::new("ps")
            .args(options)
            .arg(pid.to_string())
            .output();
        let Ok(output) = output else {
            log.note("there is no ps here");
            break;
        };
        if !output.status.success() {
            log.note("the ps here knows no such options");
            break;
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown = text.split_whitespace().any(|word| word == tid.to_string());
        let word = if shown {
            "shows it"
        } else {
            "does not show it"
        };
        log.check(
            shown == expected,
            format!("ps {} {pid} {word}", options.join(" ")),
        );
    }
    support::send(finish, 0);
    let _ = thread.join();
}

/// kB of page tables of this process.
fn page_tables() -> usize {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// Touches up to `size` bytes, fewer where that is slow, and returns how many.
fn touch(size: usize) -> usize {
    // SAFETY: a new mapping, written page by page.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let memory = libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0);
        if memory == libc::MAP_FAILED {
            return 0;
        }
        libc::madvise(memory, size, libc::MADV_NOHUGEPAGE);
        let start = Instant::now();
        for page in (0..size).step_by(PAGE) {
            memory.cast::<u8>().add(page).write_volatile(1);
            if page >= 64 << 20 && start.elapsed() > Duration::from_secs(5) {
                return page;
            }
        }
        size
    }
}

/// The shortest of `rounds` runs of `f`; `None` if one failed.
fn best(rounds: usize, mut f: impl FnMut() -> bool) -> Option<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        if !f() {
            return None;
        }
        best = best.min(start.elapsed());
    }
    Some(best)
}

pub(super) fn four_ways(log: &mut ExperimentLog) {
    let free = super::fork_exec::mib("/proc/meminfo", "MemAvailable").unwrap_or(0);
    let large = if free > 3072 { 1024 } else { 128 };
    let mut small_tables = 0;
    for size in [1, large] {
        let touched = touch(size << 20) >> 20;
        let made = |flags| {
            let mut quiet = ExperimentLog::default();
            spawn_child(&mut quiet, flags, SIGCHLD, || 0)
                .is_some_and(|mut made| made.wait().is_ok_and(|end| end.success()))
        };
        let times = [
            ("fork", best(5, || made(CloneFlags::empty()))),
            (
                "vfork",
                best(20, || made(CloneFlags::VM | CloneFlags::VFORK)),
            ),
            (
                "posix_spawn and exec",
                best(5, || {
                    std::process::Command::new("/proc/self/exe")
                        .arg(crate::probe::child::EXEC_EXIT)
                        .status()
                        .is_ok()
                }),
            ),
            (
                "thread",
                best(20, || rawthread::spawn(|| ()).join().is_ok()),
            ),
        ];
        let words: Vec<_> = times
            .iter()
            .map(|(name, time)| {
                time.map_or(format!("{name} failed"), |time| {
                    format!("{name} {time:.1?}")
                })
            })
            .collect();
        log.check(
            times.iter().all(|(_, time)| time.is_some()),
            format!(
                "with {touched} MiB touched, made and waited for (best of some): {}",
                words.join(", ")
            ),
        );
        let own = page_tables();
        let child = in_a_fork(|| i32::from(page_tables() * 4 >= own * 3));
        if size == 1 {
            small_tables = own;
        } else {
            log.check(
                child == 1 && own > small_tables,
                format!("page tables: {small_tables} kB before, {own} kB with {touched} MiB, and as much in a fork child, which got copies; the others copy none"),
            );
        }
    }
}
