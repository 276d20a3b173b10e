//! Tids that equal other words of a thread control block, and threads of libc's that are not kept.

use super::common::{self, in_subprocess};
use super::filter;

/// Runs `child` in a fork of this process, which has one thread, and returns its exit code; 200 and
/// more is the signal that ended it.
fn forked(child: impl FnOnce() -> i32) -> i32 {
    match unsafe { libc::fork() } {
        0 => {
            common::watchdog(20);
            // A panic has printed what it found.
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            unsafe { libc::_exit(code.unwrap_or(101)) }
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => {
            let mut status = 0;
            while unsafe { libc::waitpid(pid, &mut status, 0) } == -1 {}
            if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                200 + libc::WTERMSIG(status)
            }
        }
    }
}

/// What hangs or dies if libc's list of threads is not in order, or if a thread's memory was used
/// again under it: setuid, which goes round the list; a new thread; and `trim`.
fn libc_is_in_order() {
    assert_eq!(unsafe { libc::seteuid(libc::geteuid()) }, 0);
    std::thread::spawn(|| ()).join().unwrap();
    assert_eq!(unsafe { libc::setegid(libc::getegid()) }, 0);
}

/// Whether the next task of this process's pid namespace gets `tid`.
fn next_tid_is(tid: i32) -> bool {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string()).is_ok()
}

/// A pid namespace in which the first thread has each of many small tids, 136 among them: glibc's
/// word of flags. The proofs are taken away one after another.
#[test]
fn the_first_thread_may_have_any_tid() {
    if !in_subprocess("tids::the_first_thread_may_have_any_tid") {
        return;
    }
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        println!(
            "SKIP: no pid namespace: {}",
            std::io::Error::last_os_error()
        );
        return;
    }
    // The first is init: while it lives, others can come.
    let code = forked(|| {
        if !next_tid_is(50) {
            println!("SKIP: /proc/sys/kernel/ns_last_pid cannot be written");
            return 0;
        }
        const PR_GET_TID_ADDRESS: u32 = 40;
        for proofs in 0..3 {
            for tid in [136].into_iter().chain(60..180) {
                let code = forked(|| {
                    if proofs < 2 && !filter::refuse(libc::SYS_prctl, Some(PR_GET_TID_ADDRESS), 1) {
                        return 9;
                    }
                    if proofs < 1 && !filter::refuse(libc::SYS_get_robust_list, None, 1) {
                        return 9;
                    }
                    if !next_tid_is(tid) {
                        return 8;
                    }
                    let made = rawthread::spawn(|| unsafe { libc::gettid() }).join();
                    assert!(made.unwrap() >= tid);
                    libc_is_in_order();
                    assert!(rawthread::host().is_ok());
                    0
                });
                assert_eq!(code, 0, "tid {tid}, proofs {proofs}");
            }
        }
        0
    });
    assert_eq!(code, 0);
}

/// A filter that refuses set_tid_address: no thread hangs, none is lost, and libc's list of threads
/// stays in order. `before` and after the first thread of the process.
#[test]
fn a_filter_may_refuse_set_tid_address() {
    if !in_subprocess("tids::a_filter_may_refuse_set_tid_address") {
        return;
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
        for before in [true, false] {
            let code = forked(|| {
                if !before {
                    rawthread::spawn(|| ()).join().unwrap();
                }
                if !filter::refuse(libc::SYS_set_tid_address, None, errno) {
                    println!("SKIP: no filters");
                    return 0;
                }
                for round in 0..5 {
                    // Slots that exist, and new ones.
                    let threads: Vec<_> = (0..4)
                        .map(|number| rawthread::spawn(move || number))
                        .collect();
                    for (number, thread) in threads.into_iter().enumerate() {
                        assert_eq!(thread.join().unwrap(), number, "round {round}");
                    }
                    let large = rawthread::Builder::new().stack_size(1 << 20 << round);
                    assert_eq!(large.spawn(|| 7).unwrap().join().unwrap(), 7);
                    drop(rawthread::spawn(|| ()));
                    rawthread::reserve(2).unwrap();
                    libc_is_in_order();
                    rawthread::trim();
                    libc_is_in_order();
                }
                0
            });
            assert_eq!(code, 0, "errno {errno}, before: {before}");
        }
    }
}

/// The same where the process may not even ask whether a thread is there: an error, and at once.
#[test]
fn a_filter_may_refuse_to_tell_of_a_threads_end() {
    if !in_subprocess("tids::a_filter_may_refuse_to_tell_of_a_threads_end") {
        return;
    }
    for before in [true, false] {
        let code = forked(|| {
            if !before {
                rawthread::spawn(|| ()).join().unwrap();
            }
            for call in [
                libc::SYS_set_tid_address,
                libc::SYS_tgkill,
                libc::SYS_sched_getscheduler,
            ] {
                if !filter::refuse(call, None, libc::EPERM) {
                    println!("SKIP: no filters");
                    return 0;
                }
            }
            for round in 0..5 {
                let large = rawthread::Builder::new().stack_size(1 << 20 << round);
                match large.spawn(|| 7) {
                    Ok(thread) => assert_eq!(thread.join().unwrap(), 7),
                    Err(error) => {
                        let kind = error.kind();
                        assert_eq!(kind, std::io::ErrorKind::Unsupported);
                    }
                }
                // Where the first examination was refused as well, there is no host yet.
                if rawthread::host().is_ok_and(|host| host.support() == rawthread::Support::Full) {
                    assert!(rawthread::reserve(20).is_err(), "an end was seen");
                }
                rawthread::trim();
            }
            libc_is_in_order();
            0
        });
        assert_eq!(code, 0, "before: {before}");
    }
}

/// The same where a thread on a donor reports that its startup action failed, on a slot that is lost.
#[test]
fn a_lost_slot_is_not_used_again_after_a_failed_set_up() {
    if !in_subprocess("tids::a_lost_slot_is_not_used_again_after_a_failed_set_up") {
        return;
    }
    rawthread::spawn(|| ()).join().unwrap();
    if !filter::refuse(libc::SYS_set_tid_address, None, libc::EPERM) {
        println!("SKIP: no filters");
        return;
    }
    let failing = rawthread::Builder::new()
        .stack_size(1 << 23)
        .before_start(|| Err(std::io::Error::from_raw_os_error(libc::EXDEV)));
    assert!(failing.try_spawn(|| ()).is_err());
    for _ in 0..20 {
        let large = rawthread::Builder::new().stack_size(1 << 23);
        large.spawn(|| ()).unwrap().join().unwrap();
    }
    libc_is_in_order();
}

/// The look at libc fails: libc's threads for it are ended and joined, and their memory may be used
/// again, as often as a program tries.
#[test]
fn a_refused_first_thread_leaves_libcs_list_in_order() {
    if !in_subprocess("tids::a_refused_first_thread_leaves_libcs_list_in_order") {
        return;
    }
    let code = forked(|| {
        if !filter::refuse(libc::SYS_gettid, None, libc::EPERM) {
            println!("SKIP: no filters");
            return 0;
        }
        for _ in 0..5 {
            let error = rawthread::Builder::new().try_spawn(|| ()).unwrap_err();
            assert_eq!(error.kind(), rawthread::ErrorKind::Unsupported);
            assert!(error.to_string().contains("gettid"), "{error}");
            libc_is_in_order();
        }
        0
    });
    assert_eq!(code, 0);
}
