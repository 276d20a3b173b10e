//! What a child says within a time, and what becomes of it then.

use std::time::Duration;

use rawthread::process::{BeforeExec, Command, Stdio, TimeLimit};

use crate::common::in_subprocess;
use crate::filter::refuse;
use crate::util::state_of;

const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_millis(50);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The limit is by the clock: one of the pipes always has something, so that no wait for them sleeps.
#[test]
fn a_child_that_never_pauses_is_killed_at_the_limit() {
    let endless = "head -c 1000000000 /dev/zero & exec head -c 1000000000 /dev/zero >&2";
    let output = shell(endless)
        .output_timeout(Duration::from_millis(20))
        .unwrap();
    assert!(output.timed_out);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
}

/// Once the child has ended, its own child does not keep the caller by writing without a pause.
#[test]
fn a_grandchild_that_never_pauses_is_left_alone() {
    let output = shell("dd if=/dev/zero bs=1 2>&1 & exit 4")
        .output_timeout(LONG)
        .unwrap();
    assert_eq!((output.status.code(), output.timed_out), (Some(4), false));
}

#[test]
fn output_is_there_after_the_wait() {
    for pidfd in [true, false] {
        let mut command = Command::new("echo");
        let mut child = command
            .arg("hello")
            .pidfd(pidfd)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        let output = child.wait_with_output_timeout(LONG).unwrap();
        assert_eq!(output.stdout, b"hello\n", "{pidfd}");
        assert!(output.status.success() && !output.timed_out, "{pidfd}");
    }
}

/// A child that may not be killed, as one with other ids: what it wrote is not lost.
#[test]
fn output_is_there_if_the_kill_is_refused() {
    if !in_subprocess("deadlines::output_is_there_if_the_kill_is_refused") {
        return;
    }
    let mut child = shell("echo said; exec sleep 600")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.pid();
    let text = child.stdout.as_ref().unwrap();
    let mut fds = [libc::pollfd {
        fd: std::os::fd::AsRawFd::as_raw_fd(text),
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: one entry.
    assert_eq!(unsafe { libc::poll(fds.as_mut_ptr(), 1, -1) }, 1);
    std::thread::spawn(move || {
        let calls = [libc::SYS_kill, libc::SYS_pidfd_send_signal];
        if !calls.iter().all(|call| refuse(*call, None, libc::EPERM)) {
            println!("SKIP: no filters here");
            let _ = child.kill();
            return;
        }
        let output = child.wait_with_output_timeout(SHORT).unwrap();
        assert!(output.timed_out);
        assert_eq!(output.stdout, b"said\n");
        assert_eq!((output.status.code(), output.status.signal()), (None, None));
    })
    .join()
    .unwrap();
    // SAFETY: a child that is not reaped, or is being reaped by this crate and dead.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn a_child_may_end_itself_at_the_limit() {
    let script = "trap 'echo bye; exit 3' TERM; echo begun; while :; do sleep 0.01; done";
    // A limit that is over before the trap is set finds a shell that dies of the signal: once more with a longer one.
    let limit = (4..12)
        .map(|power| Duration::from_millis(1 << power))
        .find_map(|limit| {
            let limit = TimeLimit::new(limit).terminate_first(LONG);
            let output = shell(script).output_timeout(limit).unwrap();
            assert!(output.timed_out);
            (output.status.signal() != Some(libc::SIGTERM)).then_some(output)
        });
    let output = limit.expect("the shell sets its trap");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"begun\nbye\n");
}

#[test]
fn a_group_ends_with_its_leader() {
    let limit = TimeLimit::new(LONG).whole_group();
    let output = shell("sleep 600 & echo $!; exit 5")
        .output_timeout(limit)
        .unwrap();
    assert_eq!((output.status.code(), output.timed_out), (Some(5), false));
    let pid: i32 = String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // Killed; it may not be gone yet.
    while !matches!(state_of(pid), None | Some('Z' | 'X')) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A tracer's child that stops has not ended.
#[test]
fn a_stop_of_a_traced_child_is_no_end() {
    if !in_subprocess("deadlines::a_stop_of_a_traced_child_is_no_end") {
        return;
    }
    let mut child = Command::new("true")
        .before_exec(BeforeExec::trace_me())
        .spawn()
        .unwrap();
    // Stopped by SIGTRAP at the end of its execve.
    while state_of(child.pid()) != Some('t') {
        std::thread::yield_now();
    }
    assert_eq!(child.try_wait().unwrap(), None);
    // SAFETY: no memory of this process.
    let resumed = unsafe { libc::ptrace(libc::PTRACE_CONT, child.pid(), 0usize, 0usize) };
    assert_eq!(resumed, 0);
    assert!(child.wait().unwrap().success());
}
