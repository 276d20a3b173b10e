//! The end of a forked child whose thread had warm tasks: threads that wait for tasks are none of the
//! program's.

use std::time::Duration;

use super::common::{in_subprocess, watchdog};

const GOOD: i32 = 17;

extern "C" fn at_exit() {
    unsafe { libc::_exit(GOOD) };
}

/// The idle thread kept the process for its idle time, and then no handler of atexit ran.
#[test]
fn a_child_ends_with_its_thread_although_a_warm_one_is_idle() {
    if !in_subprocess(
        "attack_idle_in_child::a_child_ends_with_its_thread_although_a_warm_one_is_idle",
    ) {
        return;
    }
    // Far beyond the watchdog's time.
    rawthread::warm::set_idle_time(Duration::from_secs(3600));
    for tasks in [1, 5] {
        for spawn in [
            rawthread::spawn as fn(_) -> _,
            rawthread::warm::spawn as fn(_) -> _,
        ] {
            let fork = move || {
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    watchdog(20);
                    unsafe { libc::atexit(at_exit) };
                    let tasks: Vec<_> = (0..tasks).map(|_| rawthread::warm::spawn(|| ())).collect();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                }
                pid
            };
            let thread: rawthread::JoinHandle<i32> =
                spawn(Box::new(fork) as Box<dyn FnOnce() -> i32 + Send>);
            let pid = thread.join().unwrap();
            let mut status = 0;
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert_eq!(status, GOOD << 8, "{status:#x}, {tasks} tasks");
        }
    }
}
