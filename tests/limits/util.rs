//! A process for each test, and what it looks at.
#![allow(unsafe_code, reason = "asks the kernel about this process")]

use std::process::{Command, Output};

/// Set to the test's name in the process that runs it.
const MARK: &str = "RAWTHREAD_TEST_ALONE";
/// Set to how many wrappers of [``inside`] that process already stands in.
const DEPTH: &str = "RAWTHREAD_TEST_DEPTH";

/// Prints why a test has nothing to say here, and ends it.
macro_rules! skip {
    ($($why:tt)*) => {{
        println!("SKIP: {}", format_args!($($why)*));
        return;
    }};
}

/// Whether the caller is the process that was made for this test; makes it otherwise, judges its
/// end, and repeats what it skipped.
pub(crate) fn alone(test: &str) -> bool {
    inside(test, 1, &mut Command::new(std::env::current_exe().unwrap()))
}

/// Like [`alone`], one level further in: for a test that needs its own process to prepare the
/// process that it is about. `command` is this binary, with whatever is to be done before it runs.
pub(crate) fn inside(test: &str, depth: usize, command: &mut Command) -> bool {
    let here = std::env::var(DEPTH).map_or(0, |depth| depth.parse().unwrap());
    if here >= depth && std::env::var(MARK).is_ok_and(|name| name == test) {
        return true;
    }
    let output = command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .env(DEPTH, depth.to_string())
        .output()
        .unwrap();
    judge(test, &output);
    false
}

fn judge(test: &str, output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{test}: {}\n{stdout}\n{stderr}",
        output.status
    );
    assert!(stdout.contains("1 passed"), "{test} did not run:\n{stdout}");
    for skip in stdout.lines().filter(|line| line.contains("SKIP:")) {
        println!("{skip}");
    }
}

/// Open descriptors and map entries of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    descriptors: usize,
    maps: usize,
}

impl Holdings {
    pub(crate) fn now() -> Self {
        // /proc/self/fd would be closed to a process that changed its user.
        // SAFETY: asks about numbers.
        let open = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1;
        Self {
            descriptors: (0..1024).filter(open).count(),
            maps: maps(),
        }
    }
}

/// Map entries of this process.
pub(crate) fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Threads that this process has in the kernel, those on their way out included. A listing of
/// `/proc/self/task` would end early where a thread leaves under it.
pub(crate) fn tasks() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

/// Sets soft and hard limit of `resource`.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the kernel reads one structure.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// Sleeps until `condition` holds; panics after a minute, which means it never will.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 60, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
