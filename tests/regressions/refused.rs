//! Every system call that making, running and ending threads needs, refused by a filter: the answer
//! is a thread or an error, never a hang and never the end of the process.
//!
//! Where std's threads end the process or hang under the same filter, it is libc that does (glibc
//! ends the process where rseq is refused, or a futex that it waits for), and the case is skipped.
//! `exit` and `exit_group` are left out: a thread that cannot end hangs its joiner in any library.

use std::io::Write;

use super::common::{self, Directory, assert_output, forked, in_subprocess, rerun_self};
use super::{filter, unknown_libc};

/// By name, for the message.
macro_rules! calls {
    ($($name:ident)*) => { [$((stringify!($name), libc::$name)),*] };
}

#[cfg(target_arch = "x86_64")]
const OF_THIS_ARCH: [(&str, i64); 3] = calls![SYS_arch_prctl SYS_open SYS_readlink];
#[cfg(target_arch = "aarch64")]
const OF_THIS_ARCH: [(&str, i64); 0] = [];

const CALLS: [(&str, i64); 43] = calls![
    SYS_clone SYS_clone3 SYS_set_tid_address SYS_set_robust_list SYS_get_robust_list SYS_rseq
    SYS_prctl SYS_sigaltstack SYS_rt_sigprocmask SYS_rt_sigaction SYS_tgkill SYS_tkill SYS_kill
    SYS_gettid SYS_getpid SYS_sched_yield SYS_nanosleep SYS_clock_nanosleep SYS_clock_gettime
    SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getattr SYS_sched_setattr
    SYS_sched_getscheduler SYS_mmap SYS_munmap SYS_mprotect SYS_madvise SYS_mincore
    SYS_openat SYS_read SYS_close SYS_prlimit64 SYS_getrandom SYS_kcmp SYS_geteuid SYS_getuid
    SYS_capget SYS_pidfd_open SYS_membarrier SYS_waitid SYS_pipe2
    SYS_futex
];

/// What a program does with threads. Each step may fail, and says so. `warm`: with pooled tasks, too.
fn use_threads(known: bool, warm: bool) {
    let failed = |step: &str, error: &dyn std::fmt::Display| {
        // No code may depend on the refused call here, `write` is not among them.
        let _ = writeln!(std::io::stderr(), "{step} (known: {known}): {error}");
    };
    for round in 0..2 {
        match rawthread::Builder::new().try_spawn(|| 7) {
            Ok(thread) => assert_eq!(thread.join().unwrap(), 7),
            Err(error) => failed("spawn", &error),
        }
        // A slot that there was none of.
        let large = rawthread::Builder::new()
            .name("large".into())
            .stack_size((1 << 20) << round)
            .signal_mask(rawthread::SignalSet::empty());
        match large.try_spawn(|| vec![1u8; 100_000].len()) {
            Ok(thread) => assert_eq!(thread.join().unwrap(), 100_000),
            Err(error) => failed("large", &error),
        }
        match rawthread::Builder::new()
            .guard_size(1 << 16)
            .try_spawn(|| ())
        {
            Ok(thread) => drop(thread),
            Err(error) => failed("guard", &error),
        }
        match warm.then(|| rawthread::warm::try_spawn(|| 8)) {
            Some(Ok(task)) => assert_eq!(task.join().unwrap(), 8),
            Some(Err(error)) => failed("warm", &error),
            None => {}
        }
        let refusing = rawthread::Builder::new()
            .before_start(|| Err(rawthread::Error::from_raw_os_error(libc::EXDEV)));
        assert!(refusing.try_spawn(|| ()).is_err());
        if let Err(error) = rawthread::reserve(3) {
            failed("reserve", &error);
        }
        rawthread::trim();
    }
}

/// The same in small with std's threads: a thread that is joined before it ends, and memory.
fn use_std(known: bool, call: i64, errno: i32) {
    if known {
        std::thread::spawn(|| ()).join().unwrap();
    }
    assert!(filter::refuse(call, None, errno));
    let thread = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(std::time::Duration::from_millis(30));
    });
    if let Ok(thread) = thread {
        thread.join().unwrap();
    }
    let boxes: Vec<_> = (0..20_000).map(|number| Box::new([number; 8])).collect();
    assert_eq!(boxes[19_999][7], 19_999);
}

/// Runs the test in a process whose libc tells an unknown version.
fn in_process_of_unknown_libc(test: &str) {
    let dir = Directory::new("refused_unknown_libc");
    if let Some(library) = unknown_libc::build(&dir) {
        let output = rerun_self(test)
            .env(unknown_libc::PRELOAD, &library)
            .output();
        assert_output(test, &output.unwrap());
    }
}

/// `known`: whether the filter comes after the first thread.
fn refuse_each(test: &str, known: bool) {
    if !in_subprocess(test) {
        return;
    }
    if forked(|| assert!(filter::refuse(libc::SYS_pipe2, None, libc::EPERM))).is_err() {
        println!("SKIP: no filters");
        return;
    }
    let mut wrong = Vec::new();
    for (name, call) in CALLS.into_iter().chain(OF_THIS_ARCH) {
        for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
            let end = forked(|| {
                if known {
                    rawthread::spawn(|| ()).join().unwrap();
                }
                assert!(filter::refuse(call, None, errno));
                // Warm threads wait in parking_lot_core, which asserts futex's answer in debug
                // builds.
                use_threads(known, call != libc::SYS_futex);
            });
            if let Err(end) = end {
                if let Err(std) = forked(|| use_std(known, call, errno)) {
                    println!("SKIP: {name}, errno {errno}: {end}; std: {std}");
                    continue;
                }
                wrong.push(format!("{name}, errno {errno}: {end}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_first_thread_is_made_or_refused_under_any_filter() {
    refuse_each(
        "refused::the_first_thread_is_made_or_refused_under_any_filter",
        false,
    );
}

#[test]
fn later_threads_are_made_or_refused_under_any_filter() {
    refuse_each(
        "refused::later_threads_are_made_or_refused_under_any_filter",
        true,
    );
}

#[test]
fn threads_of_an_unknown_libc_are_made_or_refused_under_any_filter() {
    const NAME: &str = "refused::threads_of_an_unknown_libc_are_made_or_refused_under_any_filter";
    if !common::is_child(NAME) {
        return in_process_of_unknown_libc(NAME);
    }
    assert!(unknown_libc::is_preloaded());
    for known in [false, true] {
        refuse_each(NAME, known);
    }
}
