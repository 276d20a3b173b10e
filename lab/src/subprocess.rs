//! A stage: a process of its own for an experiment, so that nothing an experiment does to itself
//! (its directory, its handlers, its death) reaches the lab or the next experiment.
#![allow(unsafe_code, reason = "fork, pipes and waits")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rawthread::process::{Fork, fork};

/// The longest an experiment may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The exit status of an experiment that panicked; what it sent is the panic's message.
const PANICKED: i32 = 101;

/// The first panic of an experiment, in its own process.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Whether experiments can look at /proc: that of the lab's own pid namespace is mounted.
///
/// # Errors
/// One line: it is not.
pub(crate) fn has_proc() -> Result<(), String> {
    let me = std::fs::read_link("/proc/self").ok();
    let me = me.and_then(|pid| pid.to_str()?.parse().ok());
    if me == Some(std::process::id()) {
        return Ok(());
    }
    Err(
        "experiments look at tasks in /proc, and the one of this pid namespace is not mounted: \
         mount -t proc proc /proc"
            .into(),
    )
}

/// Runs `experiment`; if it panics, the panic's message is the error, and nothing is printed.
fn catch_panic(experiment: impl FnOnce() -> String) -> Result<String, String> {
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| Some(payload.downcast_ref::<String>()?.as_str()))
            .unwrap_or("a panic");
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        if let Ok(mut first) = PANIC.try_lock()
            && first.is_empty()
        {
            *first = format!("{message}{place}");
        }
    }));
    let panicked = |_| {
        PANIC
            .lock()
            .map_or_else(|_| String::new(), |text| text.clone())
    };
    panic::catch_unwind(AssertUnwindSafe(experiment)).map_err(panicked)
}

/// Runs `experiment` in a fork of the lab and gives back the text it returned.
///
/// The lab itself has one thread, so the fork may do everything.
///
/// # Errors
/// One line: the fork failed, the experiment died, or took too long.
pub(crate) fn run_in_fork(experiment: impl FnOnce() -> String) -> Result<String, String> {
    run_in_fork_timeout(TIMEOUT, experiment)
}

/// [`run_in_fork`], with another time limit.
pub(crate) fn run_in_fork_timeout(
    timeout: Duration,
    experiment: impl FnOnce() -> String,
) -> Result<String, String> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(format!("no pipe: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: both are fresh and owned here alone.
    let (mut reader, mut writer) =
        unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    // What is buffered would be written by both.
    let _ = std::io::stdout().flush();
    // SAFETY: the lab has one thread; the child ends by `_exit` and drops nothing that acts on
    // the world outside.
    match unsafe { fork() }.map_err(|error| error.to_string())? {
        Fork::Child => {
            drop(reader);
            let (text, status) = match catch_panic(experiment) {
                Ok(text) => (text, 0),
                Err(why) => (why, PANICKED),
            };
            let written = writer.write_all(text.as_bytes());
            // SAFETY: ends the process without the lab's exit handlers.
            unsafe { libc::_exit(if written.is_ok() { status } else { 1 }) }
        }
        Fork::Parent(mut child) => {
            drop(writer);
            let text = read_until(&mut reader, Instant::now() + timeout);
            if text.is_none() {
                child.kill().map_err(|error| error.to_string())?;
            }
            let status = child.wait().map_err(|error| error.to_string())?;
            reap_orphans();
            match text {
                Some(text) if status.success() => Ok(text),
                Some(text) if status.code() == Some(PANICKED) && !text.is_empty() => Err(text),
                Some(_) => Err(format!("the experiment's process ended early: {status}")),
                None => Err(format!("no result after {} s", timeout.as_secs())),
            }
        }
    }
}

/// All that comes through the pipe; `None` if its end did not come in time.
fn read_until(reader: &mut File, deadline: Instant) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let mut wanted = libc::pollfd {
            fd: reader.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let ms = left.as_millis() as i32 + 1;
        // SAFETY: one `pollfd`.
        if unsafe { libc::poll(&mut wanted, 1, ms) } <= 0 {
            continue;
        }
        let mut some = [0; 4096];
        match reader.read(&mut some) {
            Ok(0) => return String::from_utf8(text).ok(),
            Ok(length) => text.extend_from_slice(&some[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Children that experiments gave to the lab (`CLONE_PARENT`) and that have ended.
fn reap_orphans() {
    // SAFETY: no memory is written; the lab waits for its other children by their numbers, and has
    // none while an experiment runs.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } > 0 {}
}
