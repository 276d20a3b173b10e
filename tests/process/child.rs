//! `process::Child`: waiting, signalling, and what drop leaves behind.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Child, Command, Stdio};

use crate::common;
use crate::util;

/// A child that waits to be killed.
fn sleeper(builder: &Builder) -> Child {
    // SAFETY: pause(2) in a loop, no memory.
    unsafe {
        builder.spawn(|| {
            loop {
                libc::pause();
            }
        })
    }
    .unwrap()
}

#[test]
fn waiting_reaps_and_remembers() {
    // SAFETY: the child only exits.
    let mut child = unsafe { Builder::new().spawn(|| 3) }.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
    assert_eq!(
        child.wait_timeout(Duration::ZERO).unwrap().unwrap().code(),
        Some(3)
    );
    assert_eq!(
        child.signal(0).unwrap_err().raw_os_error(),
        Some(libc::ESRCH)
    );
    assert!(child.kill().is_ok());
}

#[test]
fn a_timeout_is_kept_with_and_without_a_pidfd() {
    for pidfd in [true, false] {
        let mut child = sleeper(&Builder::new().pidfd(pidfd));
        assert_eq!(child.raw_pidfd().is_some(), pidfd);
        assert_eq!(child.try_wait().unwrap(), None);
        let start = Instant::now();
        assert_eq!(child.wait_timeout(Duration::from_millis(20)).unwrap(), None);
        assert!(start.elapsed() >= Duration::from_millis(20));
        child.kill().unwrap();
        let status = child.wait_timeout(Duration::MAX).unwrap().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(!status.core_dumped());
    }
}

#[test]
fn a_pidfd_polls_readable_at_the_end() {
    let mut child = sleeper(&Builder::new());
    let pidfd = child.pidfd().unwrap().as_raw_fd();
    let mut poll = libc::pollfd {
        fd: pidfd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 0) }, 0);
    child.kill().unwrap();
    // SAFETY: one entry.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 60_000) }, 1);
    child.wait().unwrap();
}

#[test]
fn dropping_an_ended_child_reaps_it() {
    // SAFETY: the child only exits.
    let child = unsafe { Builder::new().spawn(|| 0) }.unwrap();
    let pid = child.pid();
    common::poll_until("the child ends", || util::state_of(pid) == Some('Z'));
    drop(child);
    assert_eq!(util::state_of(pid), None);
}

#[test]
fn dropping_a_running_child_leaves_it_running_and_no_zombie() {
    let wanted = [
        Builder::new(),
        Builder::new().pidfd(false),
        Builder::new().exit_signal(0),
        Builder::new().flags(CloneFlags::VM | CloneFlags::FILES),
    ];
    for builder in &wanted {
        let child = sleeper(builder);
        let pid = child.pid();
        drop(child);
        std::thread::sleep(Duration::from_millis(5));
        assert!(
            matches!(util::state_of(pid), Some('S' | 'R' | 'D')),
            "{:?}",
            util::state_of(pid)
        );
        // SAFETY: the reaper cannot have reaped it: it runs.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        common::poll_until("the reaper reaps", || util::state_of(pid).is_none());
    }
}

#[test]
fn many_dropped_children_leave_no_task_and_no_mapping() {
    if !common::in_subprocess("child::many_dropped_children_leave_no_task_and_no_mapping") {
        return;
    }
    let count = |what: &str| match what {
        "tasks" => std::fs::read_dir("/proc/self/task").unwrap().count(),
        "maps" => std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count(),
        _ => std::fs::read_dir("/proc/self/fd").unwrap().count(),
    };
    let round = || {
        let children: Vec<_> = (0..20)
            .map(|_| sleeper(&Builder::new().flags(CloneFlags::VM).own_tls(false)))
            .collect();
        let pids: Vec<_> = children.iter().map(Child::pid).collect();
        drop(children);
        for pid in pids {
            // SAFETY: not reaped yet, it runs.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            common::poll_until("the reaper reaps", || util::state_of(pid).is_none());
        }
    };
    round();
    let (tasks, maps, fds) = (count("tasks"), count("maps"), count("fds"));
    for _ in 0..5 {
        round();
    }
    // A reaper closes its child's pidfd after it has reaped.
    common::poll_until("the reapers leave", || {
        count("tasks") <= tasks && count("maps") <= maps && count("fds") <= fds
    });
}

/// What one child used is told of that one.
#[test]
fn a_waited_child_tells_what_it_used() {
    let mut spender = rawthread::process::Command::new("sh")
        .args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
        .spawn()
        .unwrap();
    assert_eq!(spender.usage(), None);
    assert!(spender.wait().unwrap().success());
    let spent = spender.usage().unwrap();
    let mut idle = rawthread::process::Command::new("true").spawn().unwrap();
    idle.wait().unwrap();
    let saved = idle.usage().unwrap();
    assert!(
        spent.user_time + spent.system_time > saved.user_time,
        "{spent:?} {saved:?}"
    );
    assert!(spent.max_resident_kib > 100, "{spent:?}");
}

/// As std's: a child that reads to the end of its standard input would wait for its parent, and that for it.
#[test]
fn waiting_closes_the_childs_standard_input() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.pid();
    let waits = rawthread::spawn(move || child.wait().unwrap().success());
    match waits.join_timeout(Duration::from_secs(30)) {
        Ok(answer) => assert!(answer.unwrap()),
        Err(waits) => {
            // SAFETY: the child, which is not reaped.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            let _ = waits.join();
            panic!("each waits for the other");
        }
    }
}
