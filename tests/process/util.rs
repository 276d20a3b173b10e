//! What the tests share.

use std::path::Path;
use std::time::{Duration, Instant};

/// Whether a process or zombie of this number exists, and its state letter (`Z` for a zombie).
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    after_name.chars().next()
}

/// Sleeps until `condition` holds; panics after a minute, which means it never will.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs one test of this binary alone in a process of its own, told so by an environment
/// variable. Returns whether the caller is that process.
pub(crate) fn alone(test: &str) -> bool {
    const MARK: &str = "RAWTHREAD_TEST_ALONE";
    if std::env::var(MARK).is_ok_and(|name| name == test) {
        return true;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{test}: {}\n{stdout}\n{stderr}",
        output.status
    );
    assert!(stdout.contains("1 passed"), "{test} did not run:\n{stdout}");
    if let Some(skip) = stdout.lines().find(|line| line.contains("SKIP:")) {
        println!("{skip}");
    }
    false
}

/// Whether this machine lets the caller make user namespaces.
pub(crate) fn user_namespaces() -> bool {
    // SAFETY: the child only exits.
    let child = unsafe {
        rawthread::process::Builder::new()
            .namespaces(rawthread::process::Namespaces::USER)
            .spawn(|| 0)
    };
    let can = Path::new("/proc/self/uid_map").exists()
        && child.is_ok_and(|mut child| child.wait().is_ok_and(|status| status.success()));
    if !can {
        println!("SKIP: no user namespaces for this user here");
    }
    can
}
