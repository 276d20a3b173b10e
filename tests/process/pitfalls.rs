//! The traps a learner falls into, each one set off on purpose.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use rawthread::flags::CloneFlags;
use rawthread::process::Builder;

use crate::common;
use crate::util;

fn waitpid(pid: i32, options: i32) -> Result<i32, i32> {
    let mut status = 0;
    // SAFETY: writes one int.
    match unsafe { libc::waitpid(pid, &mut status, options) } {
        -1 => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
        pid => Ok(pid),
    }
}

/// A child whose exit signal is not SIGCHLD does not exist for a plain waitpid.
#[test]
fn waitpid_answers_echild_without_wall() {
    for signal in [0, libc::SIGURG as u32] {
        // SAFETY: the child only exits.
        let mut child = unsafe { Builder::new().exit_signal(signal).spawn(|| 4) }.unwrap();
        assert_eq!(waitpid(child.pid(), 0), Err(libc::ECHILD));
        assert_eq!(child.wait().unwrap().code(), Some(4));
    }
    // SAFETY: the child only exits.
    let child = unsafe { Builder::new().spawn(|| 4) }.unwrap();
    assert_eq!(waitpid(child.pid(), libc::__WCLONE), Err(libc::ECHILD));
    assert_eq!(waitpid(child.pid(), 0), Ok(child.pid()));
}

/// A child made with CLONE_PARENT is a sibling: its caller cannot wait for it, its caller's parent can.
#[test]
fn clone_parent_makes_a_sibling() {
    if !common::in_subprocess("pitfalls::clone_parent_makes_a_sibling") {
        return;
    }
    static SIBLING: AtomicI32 = AtomicI32::new(0);
    static WAIT_ERROR: AtomicI32 = AtomicI32::new(0);
    // SAFETY: this process has no thread that the child could need; it stores to statics.
    let mut maker = unsafe {
        Builder::new().flags(CloneFlags::VM).spawn(|| {
            let sibling = Builder::new().flags(CloneFlags::PARENT).spawn(|| 6);
            let Ok(mut sibling) = sibling else { return 1 };
            SIBLING.store(sibling.pid(), Ordering::SeqCst);
            let error = sibling.wait().err().and_then(|error| error.raw_os_error());
            WAIT_ERROR.store(error.unwrap_or(0), Ordering::SeqCst);
            0
        })
    }
    .unwrap();
    assert!(maker.wait().unwrap().success());
    assert_eq!(WAIT_ERROR.load(Ordering::SeqCst), libc::ECHILD);
    let sibling = SIBLING.load(Ordering::SeqCst);
    assert_eq!(waitpid(sibling, libc::__WALL), Ok(sibling));
}

/// An ended child stays in the process table until its parent asks how it ended.
#[test]
fn an_ended_child_is_a_zombie_until_waited_for() {
    // SAFETY: the child only exits.
    let mut child = unsafe { Builder::new().spawn(|| 0) }.unwrap();
    common::poll_until("a zombie", || util::state_of(child.pid()) == Some('Z'));
    child.kill().unwrap(); // a zombie takes signals and does not die of them
    assert_eq!(util::state_of(child.pid()), Some('Z'));
    assert!(child.wait().unwrap().success());
    assert_eq!(util::state_of(child.pid()), None);
}

/// vfork stops the thread that calls it, and no other.
#[test]
fn vfork_suspends_only_the_calling_thread() {
    static TICKS: AtomicU32 = AtomicU32::new(0);
    static STOP: AtomicBool = AtomicBool::new(false);
    static LEFT: AtomicBool = AtomicBool::new(false);
    let other = std::thread::spawn(|| {
        while !STOP.load(Ordering::SeqCst) {
            TICKS.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    // The child exits only after it has seen the other thread move on: were that one suspended
    // too, this would hang.
    // SAFETY: the child computes on atomics and yields by a raw system call.
    let mut child = unsafe {
        Builder::new()
            .flags(CloneFlags::VM | CloneFlags::VFORK)
            .spawn(|| {
                let start = TICKS.load(Ordering::SeqCst);
                while TICKS.load(Ordering::SeqCst) < start + 3 {
                    libc::sched_yield();
                }
                LEFT.store(true, Ordering::SeqCst);
                0
            })
    }
    .unwrap();
    // And the caller was: the child had done everything before `spawn` returned.
    assert!(LEFT.load(Ordering::SeqCst));
    assert!(child.wait().unwrap().success());
    STOP.store(true, Ordering::SeqCst);
    other.join().unwrap();
}

/// execve replaces the process, whichever thread calls it: the other threads are gone, and the pid
/// is that of the thread group, not of the thread that called.
#[test]
fn exec_in_a_thread_ends_all_threads_and_keeps_the_pid() {
    if !common::in_subprocess("pitfalls::exec_in_a_thread_ends_all_threads_and_keeps_the_pid") {
        return;
    }
    // SAFETY: libc's fork; the child makes threads, which libc allows after a fork of its own.
    match unsafe { rawthread::process::fork() }.unwrap() {
        rawthread::process::Fork::Child => {
            let _other = std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
            let script = c"test $$ = $0 && test $(ls /proc/$$/task | wc -w) = 1 && exit 9";
            let pid = std::ffi::CString::new(std::process::id().to_string()).unwrap();
            let _ = std::thread::spawn(move || {
                let arguments = [
                    c"sh".as_ptr(),
                    c"-c".as_ptr(),
                    script.as_ptr(),
                    pid.as_ptr(),
                    std::ptr::null(),
                ];
                // SAFETY: strings, and a null at the end.
                unsafe { libc::execv(c"/bin/sh".as_ptr(), arguments.as_ptr()) };
            })
            .join();
            // SAFETY: ends the child; not reached unless execv failed.
            unsafe { libc::_exit(1) }
        }
        rawthread::process::Fork::Parent(mut child) => {
            assert_eq!(child.wait().unwrap().code(), Some(9));
        }
    }
}

/// A command that is spawned from one thread among many replaces no thread: the program runs in a
/// process of its own.
#[test]
fn spawning_from_a_thread_leaves_the_process_alone() {
    let before = std::process::id();
    let status = std::thread::spawn(|| rawthread::process::Command::new("true").status())
        .join()
        .unwrap()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::process::id(), before);
}
