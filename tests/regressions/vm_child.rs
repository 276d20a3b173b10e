//! What a child process with the parent's memory leaves in libc's lists when it does not return.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rawthread::flags::CloneFlags;
use rawthread::process::Builder;

use super::common::{in_subprocess, poll_until};

/// Has the kernel give the next task this number, if it is free.
fn next_number(number: i32) -> bool {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).is_ok()
}

/// A thread of this process with this number, which ends when told to; false if it has not been had.
fn thread_numbered(number: i32, stop: &'static AtomicBool) -> Option<std::thread::JoinHandle<()>> {
    for _ in 0..2_000 {
        if !next_number(number) {
            return None;
        }
        static GOT: AtomicI32 = AtomicI32::new(0);
        GOT.store(0, Ordering::SeqCst);
        let thread = std::thread::spawn(move || {
            let own = unsafe { libc::gettid() };
            GOT.store(own, Ordering::SeqCst);
            while own == number && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        poll_until("the thread runs", || GOT.load(Ordering::SeqCst) != 0);
        if GOT.load(Ordering::SeqCst) == number {
            return Some(thread);
        }
        thread.join().unwrap();
    }
    None
}

/// setuid signalled the thread that came to have the number of a child long gone, once for itself
/// and once for the child's place in libc's list, and waited for a second answer that never came.
#[test]
fn setuid_knows_no_number_of_a_child_that_is_gone() {
    if !in_subprocess("vm_child::setuid_knows_no_number_of_a_child_that_is_gone") {
        return;
    }
    if unsafe { libc::geteuid() } != 0 || !next_number(1000) {
        println!("SKIP: choosing the next task's number needs root");
        return;
    }
    super::common::watchdog(60);
    type End = fn() -> i32;
    let ends: [(&str, End); 3] = [
        ("killed", || unsafe {
            libc::syscall(
                libc::SYS_kill,
                libc::syscall(libc::SYS_getpid),
                libc::SIGKILL,
            );
            1
        }),
        ("exited", || unsafe {
            libc::syscall(libc::SYS_exit_group, 3);
            1
        }),
        ("became another program", || unsafe {
            let arguments = [c"true".as_ptr(), std::ptr::null()];
            libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr());
            1
        }),
    ];
    for ignored in [false, true] {
        for (name, end) in ends {
            static STOP: AtomicBool = AtomicBool::new(false);
            STOP.store(false, Ordering::SeqCst);
            // Ignored: the kernel reaps the child, and the handle still has the stack that it ran on.
            let action = if ignored {
                libc::SIG_IGN
            } else {
                libc::SIG_DFL
            };
            unsafe { libc::signal(libc::SIGCHLD, action) };
            // SAFETY: the child makes system calls alone.
            let mut child = unsafe { Builder::new().flags(CloneFlags::VM).spawn(end) }.unwrap();
            let number = child.pid();
            let kept = if ignored {
                poll_until(
                    "the child is gone",
                    || unsafe { libc::kill(number, 0) } != 0,
                );
                Some(child)
            } else {
                child.wait().unwrap();
                None
            };
            let Some(thread) = thread_numbered(number, &STOP) else {
                println!("SKIP: the number {number} was not to be had");
                continue;
            };
            println!("{name}, ignored: {ignored}");
            assert_eq!(unsafe { libc::setegid(1234) }, 0);
            assert_eq!(unsafe { libc::setegid(0) }, 0);
            STOP.store(true, Ordering::SeqCst);
            thread.join().unwrap();
            drop(kept);
        }
    }
}
