//! Questions about the kernel's rules and limits.
#![allow(unsafe_code, reason = "unshare, clone and limits")]

use std::fs::read_to_string;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rawthread::flags::{Call, Caller, CloneFlags};

use super::child::{self, in_a_fork};
use super::tale::{Tale, answer, name_of};
use crate::probe::{self, Outcome, Plan, Way};
use crate::raw;

/// `unshare(CLONE_NEWUSER)`, as an exit code: 0 or the errno.
fn unshare_users() -> i32 {
    // SAFETY: a number.
    let done = unsafe {
        raw::call(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0],
        )
    };
    done.err().unwrap_or(0)
}

pub(super) fn unshare(tale: &mut Tale) {
    let alone = in_a_fork(unshare_users);
    if [libc::EPERM, libc::ENOSPC].contains(&alone) {
        return tale.skip(format!("unshare says {} even alone", name_of(alone)));
    }
    let word = |errno: i32| {
        if errno == 0 {
            "ok".into()
        } else {
            name_of(errno)
        }
    };
    tale.saw(alone == 0, format!("alone: {}", word(alone)));
    let (reader, _writer) = child::pipe();
    let beside = in_a_fork(|| {
        rawthread::spawn(move || child::receive(reader));
        unshare_users()
    });
    tale.saw(
        beside == libc::EINVAL,
        format!("beside a second thread: {}", word(beside)),
    );
}

pub(super) fn einval(tale: &mut Tale) {
    for (text, way, call) in [
        ("thread", Way::Clone, Call::Clone),
        ("vm,thread", Way::Clone, Call::Clone),
        ("sighand", Way::Process, Call::Clone3),
        ("fs,newns", Way::Process, Call::Clone3),
        ("sighand,clear_sighand,vm", Way::Process, Call::Clone3),
        ("parent", Way::Process, Call::Clone3),
    ] {
        let Ok(flags) = text.parse::<CloneFlags>() else {
            return tale.saw(false, format!("{text} was not understood"));
        };
        let exit_signal = if flags.contains(CloneFlags::THREAD) {
            0
        } else {
            libc::SIGCHLD as u32
        };
        let plan = Plan {
            flags,
            exit_signal,
            way,
            exec: false,
            root: false,
        };
        let seen = match probe::run(plan) {
            Ok(Outcome::Refused(refusal)) => refusal.errno,
            Ok(Outcome::Made { .. }) => None,
            Err(why) => return tale.saw(false, why),
        };
        let verdict = flags.verdict(call, exit_signal, &Caller::current());
        let because = verdict.rule().map_or("no rule", |rule| rule.description);
        tale.saw(
            seen == Some(libc::EINVAL) && seen == verdict.errno(),
            format!(
                "{text}: {}, as {because}",
                seen.map_or("made".into(), name_of)
            ),
        );
    }
}

/// Where `pause_then_leave` waits.
static GO: AtomicI32 = AtomicI32::new(-1);

/// A thread that ends when told to. It stands on its maker's thread pointer: neither of its two
/// system calls fails, so it writes no errno there.
extern "C" fn pause_then_leave(_: *mut libc::c_void) -> i32 {
    let _ = raw::read_byte(GO.load(Ordering::Acquire));
    raw::exit(0)
}

pub(super) fn cleartid(tale: &mut Tale) {
    const THREAD: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID;
    let (reader, writer) = child::pipe();
    GO.store(reader, Ordering::Release);
    for (flag, name) in [(libc::CLONE_CHILD_CLEARTID, "with"), (0, "without")] {
        let word: &'static AtomicI32 = Box::leak(Box::new(AtomicI32::new(0)));
        let stack = Box::leak(vec![0u128; 4096].into_boxed_slice());
        // SAFETY: a stack and a word that are never freed; the function makes raw calls alone.
        let tid = unsafe {
            let top = stack.as_mut_ptr_range().end.cast();
            let none = std::ptr::null_mut::<libc::c_void>();
            let address = word.as_ptr();
            libc::clone(
                pause_then_leave,
                top,
                THREAD | flag,
                none,
                address,
                none,
                address,
            )
        };
        if tid < 0 {
            return tale.saw(false, std::io::Error::last_os_error());
        }
        let before = word.load(Ordering::Acquire);
        let _ = raw::write_byte(writer);
        // A join: asleep on the word until it is 0. Without the flag nobody would wake it, so it
        // looks for the thread instead.
        let mut wait = Ok(0);
        if flag != 0 {
            while word.load(Ordering::Acquire) != 0 {
                // SAFETY: the word outlives the call; FUTEX_WAIT without a time limit.
                wait = unsafe {
                    let address = word.as_ptr() as usize;
                    raw::call(libc::SYS_futex, [address, 0, before as usize, 0, 0, 0])
                };
            }
        } else {
            // SAFETY: signal 0 only asks.
            while unsafe { libc::syscall(libc::SYS_tgkill, raw::getpid(), tid, 0) } == 0 {
                sleep(Duration::from_micros(200));
            }
        }
        let after = word.load(Ordering::Acquire);
        let expected = if flag == 0 { tid } else { 0 };
        let how = match (flag, wait) {
            (0, _) => "the thread is gone".to_owned(),
            // It may be over before the wait began.
            (_, Err(libc::EAGAIN)) => "the wait found it changed".to_owned(),
            (_, wait) => format!("the futex wait returned {}", answer(wait)),
        };
        tale.saw(
            before == tid && after == expected,
            format!(
                "{name} CLONE_CHILD_CLEARTID: the word was {before}, then {how}, now it is {after}"
            ),
        );
    }
}

/// The first line of a file.
fn first_line(path: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// `pids.max` of this process's version 2 cgroup.
fn pids_max() -> Option<String> {
    let text = read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    first_line(&format!("/sys/fs/cgroup{path}/pids.max"))
}

pub(super) fn limits(tale: &mut Tale) {
    // SAFETY: `rlimit` is plain data, and the kernel fills it.
    let processes = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NPROC, &mut limit);
        limit.rlim_cur
    };
    let unknown = || "none seen".to_owned();
    tale.aside(format!(
        "here: kernel.threads-max {}, kernel.pid_max {}, vm.max_map_count {}",
        first_line("/proc/sys/kernel/threads-max").unwrap_or_else(unknown),
        first_line("/proc/sys/kernel/pid_max").unwrap_or_else(unknown),
        first_line("/proc/sys/vm/max_map_count").unwrap_or_else(unknown),
    ));
    tale.aside(format!(
        "RLIMIT_NPROC {}, the cgroup's pids.max {}",
        if processes == libc::RLIM_INFINITY {
            "unlimited".into()
        } else {
            processes.to_string()
        },
        pids_max().unwrap_or_else(unknown)
    ));
    // One limit, lowered for this experiment alone: address space for some dozens of stacks.
    let pages: u64 = first_line("/proc/self/statm")
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let limit = libc::rlimit {
        rlim_cur: pages * 4096 + (96 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads one `rlimit`.
    if unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } != 0 {
        return tale.skip("the address space cannot be limited");
    }
    let (reader, _writer) = child::pipe();
    let mut count = 0;
    let error = loop {
        match rawthread::Builder::new().spawn(move || child::receive(reader)) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        if count == 10_000 {
            return tale.saw(false, "10,000 threads, and no limit in sight");
        }
    };
    tale.saw(
        count > 0 && error.limit().is_some(),
        format!("under 96 MiB of address space: {count} threads, then: {error}"),
    );
    tale.saw(
        child::threads_here() > count,
        "the process lives on, and so do its threads",
    );
}
