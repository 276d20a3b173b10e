//! Forks in the middle of a spawn, and of a call that has pinned a thread: what the child has copied in
//! mid-state is not what it waits for, and what it makes is waited for.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rawthread::warm;

use super::common::{in_subprocess, watchdog};

/// How a test forks.
#[derive(Clone, Copy, Debug)]
enum How {
    Libc,
    /// Without libc's fork handlers: this crate learns of it when it is next asked for a thread.
    Bare,
}

impl How {
    fn fork(self) -> i32 {
        let pid = match self {
            Self::Libc => unsafe { libc::fork() },
            Self::Bare => unsafe {
                libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32
            },
        };
        assert!(pid >= 0);
        if pid == 0 {
            watchdog(20);
        }
        pid
    }
}

fn assert_good_end(pid: i32, what: &str) {
    let mut status = -1;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "{what}: the status of the child");
}

thread_local!(static FORK: Cell<Option<How>> = const { Cell::new(None) });
thread_local!(static FORKED: Cell<Option<i32>> = const { Cell::new(None) });

fn fork_if_asked() {
    if let Some(how) = FORK.take() {
        FORKED.set(Some(how.fork()));
    }
}

/// A hook of the program's forks in the middle of a spawn. The count of the thread was the parent's, so
/// in the child the scope ended while its thread ran.
#[test]
fn a_scope_waits_where_a_hook_forked() {
    if !in_subprocess("attack_fork_amid::a_scope_waits_where_a_hook_forked") {
        return;
    }
    rawthread::add_spawn_hook(|_| {
        fork_if_asked();
        || ()
    });
    scopes_wait(|| ());
}

/// A fork that this crate has not noticed when a scope counts the next thread.
#[test]
fn a_scope_waits_where_its_closure_forked() {
    if !in_subprocess("attack_fork_amid::a_scope_waits_where_its_closure_forked") {
        return;
    }
    scopes_wait(fork_if_asked);
}

fn scopes_wait(before_spawn: fn()) {
    fn work(done: &AtomicBool) {
        rawthread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::SeqCst);
    }
    rawthread::spawn(|| ()).join().unwrap();
    for how in [How::Libc, How::Bare] {
        for tasks in [false, true] {
            let done = AtomicBool::new(false);
            if tasks {
                warm::scope(|s| {
                    s.spawn(|| ()).join().unwrap();
                    FORK.set(Some(how));
                    before_spawn();
                    s.spawn(|| work(&done));
                });
            } else {
                rawthread::scope(|s| {
                    s.spawn(|| ()).join().unwrap();
                    FORK.set(Some(how));
                    before_spawn();
                    s.spawn(|| work(&done));
                });
            }
            let is_done = done.load(Ordering::SeqCst);
            let pid = FORKED.take().expect("it was asked to fork");
            if pid == 0 {
                unsafe { libc::_exit(i32::from(!is_done)) };
            }
            assert!(is_done);
            assert_good_end(pid, &format!("tasks: {tasks}, {how:?}"));
        }
    }
}
