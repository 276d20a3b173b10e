//! Processes for tests.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Whether this process runs the named test alone; else runs it so and sees that it succeeds.
pub(crate) fn alone(test: &str) -> bool {
    const MARK: &str = "RAWTHREAD_REGRESSION";
    if std::env::var(MARK).is_ok_and(|name| name == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, test);
    let status = child(&mut command);
    assert!(
        status.is_some_and(|status| status.success()),
        "{test}: {status:?}"
    );
    false
}

/// How the command ended; `None` if it had to be killed after a long time.
pub(crate) fn child(command: &mut Command) -> Option<ExitStatus> {
    let mut child = command.spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while Instant::now() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}
