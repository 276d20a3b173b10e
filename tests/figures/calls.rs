//! Compares counted system calls with committed ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::committed::Calls;
use crate::tracer::Counts;

/// Names of the calls that are expected.
const NAMES: &[(i64, &str)] = &[
    (libc::SYS_clock_gettime, "clock_gettime"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_close, "close"),
    (libc::SYS_exit, "exit"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_getpid, "getpid"),
    (libc::SYS_gettid, "gettid"),
    (libc::SYS_get_robust_list, "get_robust_list"),
    (libc::SYS_getrusage, "getrusage"),
    (libc::SYS_kcmp, "kcmp"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_mprotect, "mprotect"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_personality, "personality"),
    (libc::SYS_capget, "capget"),
    (libc::SYS_getgroups, "getgroups"),
    (libc::SYS_getresgid, "getresgid"),
    (libc::SYS_getresuid, "getresuid"),
    (libc::SYS_get_mempolicy, "get_mempolicy"),
    (libc::SYS_ioprio_get, "ioprio_get"),
    (libc::SYS_pipe2, "pipe2"),
    (libc::SYS_prctl, "prctl"),
    (libc::SYS_read, "read"),
    (libc::SYS_rseq, "rseq"),
    (libc::SYS_rt_sigaction, "rt_sigaction"),
    (libc::SYS_rt_sigpending, "rt_sigpending"),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    (libc::SYS_sched_getaffinity, "sched_getaffinity"),
    (libc::SYS_sched_getattr, "sched_getattr"),
    (libc::SYS_sched_getparam, "sched_getparam"),
    (libc::SYS_sched_getscheduler, "sched_getscheduler"),
    (libc::SYS_setfsgid, "setfsgid"),
    (libc::SYS_setfsuid, "setfsuid"),
    (libc::SYS_set_robust_list, "set_robust_list"),
    (libc::SYS_set_tid_address, "set_tid_address"),
    (libc::SYS_sigaltstack, "sigaltstack"),
    (libc::SYS_write, "write"),
];

fn name(number: i64) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).to_owned())
}

/// Compares each call's count; the failure has both numbers of each call that differs.
pub(crate) fn compare(figure: &Calls, counts: &Counts) -> crate::Outcome {
    let mut both: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (number, count) in counts.iter().filter(|(_, count)| **count > 0) {
        both.entry(name(*number)).or_default().0 += count;
    }
    for (name, count) in figure.committed {
        both.entry((*name).to_owned()).or_default().1 += count;
    }
    let (mut differences, mut measured, mut committed) = (String::new(), 0, 0);
    for (name, mut counts) in both {
        if name == "futex" {
            let more = counts.0 - counts.1;
            counts.0 -= more.clamp(0, figure.more_futex_calls);
        }
        measured += counts.0;
        committed += counts.1;
        if counts.0 != counts.1 {
            let (measured, committed) = counts;
            let _ = writeln!(
                differences,
                "  {name}: measured {measured}, committed {committed}"
            );
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let what = figure.what;
    Err(format!(
        "{what}: measured {measured}, committed {committed}\n{differences}"
    ))
}
