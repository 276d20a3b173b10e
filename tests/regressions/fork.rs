//! Forks beside other threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rawthread::Signal;

use super::common::in_subprocess;

/// Forks, and sees the child, which leaves the closure like any thread, end before long.
fn fork_and_wait() -> bool {
    let child = unsafe { libc::fork() };
    if child == 0 {
        return false;
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) } != child {
        if Instant::now() > patience {
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child waits for a thread that it does not have");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// A thread does not end while another is using its tid; in a forked child that other is not there.
#[test]
fn a_child_forked_while_its_thread_was_signalled_ends() {
    if !in_subprocess("fork::a_child_forked_while_its_thread_was_signalled_ends") {
        return;
    }
    unsafe { libc::signal(libc::SIGCONT, libc::SIG_IGN) };
    let thread = Arc::new(rawthread::spawn(|| {
        let _ = (0..200).all(|_| fork_and_wait());
    }));
    let signal = Signal::new(libc::SIGCONT).unwrap();
    while thread.signal(signal).is_ok() {}
    Arc::into_inner(thread).unwrap().join().unwrap();
}
