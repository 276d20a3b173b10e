//! Runs a storm in a process of its own, and says where its threads stand if it does not end.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common;

/// How long each storm lasts.
pub(crate) fn duration() -> Duration {
    let seconds = std::env::var("RAWTHREAD_STORM_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.5))
}

/// How many threads the storm of `count` makes.
pub(crate) fn spawns() -> u64 {
    let spawns = std::env::var("RAWTHREAD_STORM_SPAWNS").ok();
    spawns.and_then(|text| text.parse().ok()).unwrap_or(8_000)
}

/// How long a storm may take to come to its end: machines may be busy.
pub(crate) fn patience() -> Duration {
    duration() * 4 + Duration::from_secs(120) + Duration::from_millis(spawns())
}

/// Whether the caller is the storm's process, and when it is to stop. In the other one the storm has
/// ended well; `beside` was called again and again meanwhile, with its process id.
pub(crate) fn storm(test: &str, mut beside: impl FnMut(i32)) -> Option<Instant> {
    if common::is_child(test) {
        // Where the watchdog itself is killed.
        common::watchdog(patience().as_secs() as u32 + 60);
        return Some(Instant::now() + duration());
    }
    let start = Instant::now();
    let outcome = run(test, |pid| {
        beside(pid);
        start.elapsed() > patience()
    });
    match outcome {
        Ok(output) => {
            assert!(output.contains("1 passed"), "{test} did not run:\n{output}");
            // What a storm says, beside the words of the test's harness.
            for line in output.lines() {
                let told = ["SKIP:", "storm "].iter().find_map(|word| line.find(word));
                if let Some(told) = told {
                    println!("{}", &line[told..]);
                }
            }
        }
        Err(report) => panic!("{test}: {report}"),
    }
    None
}

/// What the process printed, or what became of it: it is killed once `is_over` says so.
pub(crate) fn run(test: &str, mut is_over: impl FnMut(i32) -> bool) -> Result<String, String> {
    let mut child = common::rerun_self(test)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if is_over(child.id() as i32) {
            let report = places(&child);
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("it does not end. Its threads:\n{report}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = reader.join().unwrap();
    match status.success() {
        true => Ok(text),
        false => Err(format!("{status}\n{text}")),
    }
}

/// Where each thread of a process stands, as far as the kernel says.
fn places(child: &Child) -> String {
    let mut report = String::new();
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id()))
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let read = |file: &str| {
            let text = fs::read_to_string(task.path().join(file)).unwrap_or_default();
            text.trim().replace('\n', " | ")
        };
        let state = read("status");
        let state = state.split(" | ").find(|line| line.starts_with("State:"));
        let _ = writeln!(
            report,
            "  {} {}: {}; in {}; system call {}; {}",
            task.file_name().display(),
            read("comm"),
            state.unwrap_or("gone"),
            read("wchan"),
            read("syscall"),
            read("stack"),
        );
    }
    report
}

/// A storm that never ends is reported with the name of the thread that it waits for, and its call.
#[test]
fn the_watchdog_says_where_each_thread_stands() {
    const NAME: &str = "watchdog::the_watchdog_says_where_each_thread_stands";
    if common::is_child(NAME) {
        common::watchdog(300);
        let stuck = rawthread::Builder::new().name("stuck".into());
        stuck.spawn(rawthread::park).unwrap().join().unwrap();
        loop {
            rawthread::park();
        }
    }
    let futex = format!("{} ", libc::SYS_futex);
    let is_stuck = |pid: i32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        tasks.into_iter().flatten().flatten().any(|task| {
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            // Where the kernel does not say which call, it is taken at its first sight.
            let (name, call) = (read("comm"), read("syscall"));
            name == "stuck\n" && (call.is_empty() || call.starts_with(&futex))
        })
    };
    let start = Instant::now();
    let report = run(NAME, |pid| {
        is_stuck(pid) || start.elapsed() > Duration::from_secs(120)
    });
    let report = report.unwrap_err();
    let line = report.lines().find(|line| line.contains("stuck:"));
    let line = line.unwrap_or_else(|| panic!("no line of it: {report}"));
    assert!(
        line.contains("State:") && line.contains("system call"),
        "{report}"
    );
}
