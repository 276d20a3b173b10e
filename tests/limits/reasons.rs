//! Refusals that have a reason, and name it.
#![allow(unsafe_code, reason = "changes limits and rights of its own process")]

use rawthread::{Builder, ErrorKind, Limit};

use crate::common;
use crate::many_threads::Expected;
use crate::util;

/// mmap says EAGAIN where all memory is to be locked and no more may be.
#[test]
fn rlimit_memlock() {
    if !common::in_subprocess("reasons::rlimit_memlock") {
        return;
    }
    // SAFETY: asks for numbers; changes limits and ids of this process, and locks its memory.
    unsafe {
        if libc::geteuid() != 0 {
            skip!("only root can give up the right to lock without limit");
        }
        let value = 8 << 20;
        util::set_limit(libc::RLIMIT_MEMLOCK, value);
        let uid = 2_000_000_000 + libc::getpid() as u32;
        assert_eq!(libc::setresuid(uid, uid, uid), 0);
        if libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) != 0 {
            skip!("no right to lock memory");
        }
        let expected = Expected {
            limit: Limit::LockedMemory,
            value,
            errno: libc::EAGAIN,
        };
        let large = || Builder::new().stack_size(1 << 20);
        let mut threads = Vec::new();
        let error = loop {
            assert!(threads.len() < 20, "no limit was met");
            match large().try_spawn(rawthread::park) {
                Ok(thread) => threads.push(thread),
                Err(error) => break error,
            }
        };
        expected.check(error);
        assert!(!threads.is_empty());
        for thread in threads {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    }
}

fn after_unshare_of_the_pid_namespace(before: impl FnOnce()) {
    before();
    // SAFETY: a plain system call.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        skip!("no right to make a pid namespace");
    }
    let errors = [
        Builder::new().try_spawn(|| ()).map(drop).unwrap_err(),
        Builder::new()
            .stack_size(16 << 20)
            .try_spawn(|| ())
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{text}");
        assert!(
            error.violated_rule().is_some() && text.contains("CLONE_NEWPID"),
            "{text}"
        );
    }
}

#[test]
fn another_pid_namespace_for_children() {
    if common::in_subprocess("reasons::another_pid_namespace_for_children") {
        after_unshare_of_the_pid_namespace(|| rawthread::spawn(|| ()).join().unwrap());
    }
}

#[test]
fn another_pid_namespace_before_the_first_thread() {
    if common::in_subprocess("reasons::another_pid_namespace_before_the_first_thread") {
        after_unshare_of_the_pid_namespace(|| ());
    }
}

/// After `join`, one in a hundred is still there.
#[test]
fn a_reaped_thread_is_in_no_list_of_the_kernel() {
    if !common::in_subprocess("reasons::a_reaped_thread_is_in_no_list_of_the_kernel") {
        return;
    }
    for _ in 0..5_000 {
        let thread = rawthread::spawn(|| ());
        let tid = thread.tid();
        thread.join_reaped().unwrap();
        // SAFETY: signal 0 asks.
        let found = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, 0) };
        assert_eq!(found, -1, "thread {tid} is still there");
    }
}
