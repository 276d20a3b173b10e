//! What suites share: a test in a process of its own, and bounded waits.
//!
//! A test that changes its process, counts what it holds, or is to die runs this binary once more
//! and names itself in the environment; the copy does the work, the original judges its end.
#![allow(dead_code, unused_macros, reason = "each suite takes what it needs")]
#![allow(unsafe_code, reason = "sets up processes for tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Tells a process which test it is there for.
const MARK: &str = "RAWTHREAD_TEST_ALONE";

/// Whether the libc is musl.
pub(crate) const MUSL: bool = cfg!(target_env = "musl");

/// The C compiler whose libraries this program's loader loads.
pub(crate) const CC: &str = if MUSL { "musl-gcc" } else { "gcc" };

/// A limit on the address space (RLIMIT_AS) under which no stack can be mapped, and malloc has memory: of
/// glibc's heap, which is there; musl's has none, and maps.
pub(crate) fn no_room_for_a_stack() -> libc::rlim_t {
    const ROOM: libc::rlim_t = 1 << 20;
    if !MUSL {
        return ROOM;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = size.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<libc::rlim_t>().unwrap() * 1024 + ROOM
}

/// Prints why a test has nothing to say here, and ends it.
macro_rules! skip {
    ($($why:tt)*) => {{
        println!("SKIP: {}", format_args!($($why)*));
        return;
    }};
}

/// A command that runs this test, and no other, in a process of its own.
pub(crate) fn rerun_self(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, test);
    command
}

/// Whether this process was made by [`rerun_self`] for this test.
pub(crate) fn is_child(test: &str) -> bool {
    std::env::var(MARK).is_ok_and(|name| name == test)
}

/// Fails unless [`rerun_self`]'s process ran its test to a good end; repeats what it skipped.
#[track_caller]
pub(crate) fn assert_output(test: &str, output: &Output) {
    let (out, err) = stdout_stderr(output);
    assert!(
        output.status.success(),
        "{test}: {}\n{out}\n{err}",
        output.status
    );
    assert!(out.contains("1 passed"), "{test} did not run:\n{out}");
    for skip in out.lines().filter(|line| line.contains("SKIP:")) {
        println!("{skip}");
    }
}

/// Runs one test alone in a process of its own, with a watchdog. Returns whether the caller is that
/// process.
#[track_caller]
pub(crate) fn in_subprocess(test: &str) -> bool {
    if is_child(test) {
        watchdog(300);
        return true;
    }
    assert_output(test, &rerun_self(test).output().unwrap());
    false
}

/// Runs one test in a process that is to die of it: `None` in that process, how it died in the
/// one that waited.
pub(crate) fn expect_crash(test: &str) -> Option<Output> {
    if is_child(test) {
        watchdog(300);
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: reads a plain structure; an expected death leaves no core file.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
        return None;
    }
    let output = rerun_self(test).env_remove("RUST_BACKTRACE").output();
    Some(output.unwrap())
}

/// Kills this process by SIGALRM if it does not end in time: a hang is a failure, not a wait.
pub(crate) fn watchdog(seconds: u32) {
    // SAFETY: the default action of SIGALRM ends the process.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds);
    }
}

/// Runs `body` in a forked child, of which the calling thread is the only one. Fails if it panics, or
/// does not end.
#[track_caller]
pub(crate) fn in_forked_child(body: impl FnOnce()) {
    // SAFETY: the child ends by `_exit`, whatever the body does.
    let status = unsafe {
        let child = libc::fork();
        if child == 0 {
            watchdog(60);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            libc::_exit(i32::from(outcome.is_err()));
        }
        assert!(child > 0);
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    };
    assert_eq!(status, 0, "the child's status");
}

/// Whether workers of `warm` may run a second task in this process; says so where they may not.
pub(crate) fn warm_threads_are_kept() -> bool {
    let why = why_no_worker_is_kept();
    if let Some(why) = &why {
        println!("SKIP: {why}");
    }
    why.is_none()
}

/// Why each task of `warm` has a new thread in this process: libc makes its threads, or a thread could
/// confine itself without a trace (see the table of `rawthread::warm`).
pub(crate) fn why_no_worker_is_kept() -> Option<String> {
    const CAP_SYS_ADMIN: libc::c_ulong = 21;
    // SAFETY: these requests only ask.
    let (no_new_privs, filter, bounding) = unsafe {
        (
            libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
            libc::prctl(libc::PR_GET_SECCOMP),
            libc::prctl(libc::PR_CAPBSET_READ, CAP_SYS_ADMIN),
        )
    };
    if no_new_privs != 0 || (filter > 0 && bounding == 1) {
        return Some("in this sandbox each warm task has a new thread".into());
    }
    let host = rawthread::host().unwrap();
    (host.support() == rawthread::Support::Libc)
        .then(|| format!("each warm task has a new thread with {host}"))
}

/// A value that is never dropped. A list refers to it, so that LeakSanitizer knows it for no leak.
pub(crate) fn keep<T>(value: T) -> &'static mut T {
    static KEPT: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    let kept = Box::leak(Box::new(value));
    KEPT.lock().unwrap().push(std::ptr::from_mut(kept) as usize);
    kept
}

/// About where the calling thread's stack pointer is. Not the address of a local: AddressSanitizer keeps
/// those elsewhere.
pub(crate) fn stack_pointer() -> usize {
    // proc(5): the last field but one of `syscall`, of the thread that reads it.
    let text = std::fs::read_to_string("/proc/thread-self/syscall").unwrap();
    let field = text.split_ascii_whitespace().nth_back(1).unwrap();
    usize::from_str_radix(field.trim_start_matches("0x"), 16).unwrap()
}

/// Standard output and standard error of a child.
pub(crate) fn stdout_stderr(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Sleeps until `condition` holds; panics after a minute, which means it never will.
#[track_caller]
pub(crate) fn poll_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `child` in a fork of this process, which has one thread; how it ended, by a message.
pub(crate) fn forked(child: impl FnOnce()) -> Result<(), String> {
    // SAFETY: the child runs on in a copy of this process, which has one thread.
    match unsafe { libc::fork() } {
        0 => {
            watchdog(60);
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(end.is_err())) }
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => {
            let mut status = 0;
            // SAFETY: waits for the child made above.
            while unsafe { libc::waitpid(pid, &mut status, 0) } == -1 {}
            match status {
                0 => Ok(()),
                _ if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGALRM => {
                    Err("hangs".into())
                }
                _ if libc::WIFSIGNALED(status) => {
                    Err(format!("ends by signal {}", libc::WTERMSIG(status)))
                }
                _ => Err("panics".into()),
            }
        }
    }
}

/// A directory of a test's own, which goes away with the value.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rawthread-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
