//! What the tests share.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rawthread::process::Command;

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

/// What a shell script prints.
pub(crate) fn sh(script: &str, configure: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    configure(&mut command);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// A directory of this test's own, removed at its end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rawthread-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.join(name);
        // Written under another name by another process: a descriptor open for writing, even one
        // that a parallel fork has copied, makes execve say ETXTBSY.
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", "printf %s \"$2\" > \"$1\"", "sh"])
            .arg(&path)
            .arg(text)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
