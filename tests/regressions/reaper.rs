//! A child whose handle was dropped while it runs is reaped by a thread of this process.

use rawthread::process::Builder;

use super::common::{in_subprocess, poll_until};

/// The effective user of each thread of this process, as the kernel has it.
fn users() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let user = |task: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("Uid:"))?;
        Some(line.split_ascii_whitespace().nth(2)?.to_owned())
    };
    tasks.filter_map(user).collect()
}

#[test]
fn no_thread_keeps_root_beside_a_child_that_is_never_waited_for() {
    const TEST: &str = "reaper::no_thread_keeps_root_beside_a_child_that_is_never_waited_for";
    if !in_subprocess(TEST) {
        return;
    }
    if unsafe { libc::geteuid() } != 0 {
        println!("SKIP: changing ids needs root");
        return;
    }
    let before = users().len();
    // SAFETY: the child sleeps in one system call.
    let child = unsafe {
        Builder::new().spawn(|| {
            libc::pause();
            0
        })
    }
    .unwrap();
    let pid = child.pid();
    drop(child);
    assert!(users().len() > before, "a thread waits for the child");
    assert_eq!(unsafe { libc::setresuid(65534, 65534, 0) }, 0);
    let after = users();
    assert_eq!(unsafe { libc::setresuid(0, 0, 0) }, 0);
    // It is reaped all the same.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    poll_until("the child is reaped", || unsafe { libc::kill(pid, 0) } != 0);
    assert!(after.iter().all(|user| user == "65534"), "{after:?}");
}
