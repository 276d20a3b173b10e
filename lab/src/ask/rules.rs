//! Questions about the kernel's rules.
#![allow(unsafe_code, reason = "unshare, clone and limits")]

use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rawthread::flags::{Call, Caller, CloneFlags};

use super::log::{ExperimentLog, answer, name_of};
use super::support::{self, in_a_fork};
use crate::probe::{self, Outcome, Plan, SpawnMethod};
use crate::syscall;

/// `unshare(CLONE_NEWUSER)`, as an exit code: 0 or the errno.
fn unshare_users() -> i32 {
    // SAFETY: a number.
    let done = unsafe {
        syscall::syscall(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0],
        )
    };
    done.err().unwrap_or(0)
}

pub(super) fn unshare(log: &mut ExperimentLog) {
    let alone = in_a_fork(unshare_users);
    if [libc::EPERM, libc::ENOSPC].contains(&alone) {
        return log.skip(format!("unshare says {} even alone", name_of(alone)));
    }
    let word = |errno: i32| {
        if errno == 0 {
            "ok".into()
        } else {
            name_of(errno)
        }
    };
    log.check(alone == 0, format!("alone: {}", word(alone)));
    let (reader, _writer) = support::pipe();
    let beside = in_a_fork(|| {
        rawthread::spawn(move || support::receive(reader));
        unshare_users()
    });
    log.check(
        beside == libc::EINVAL,
        format!("beside a second thread: {}", word(beside)),
    );
}

pub(super) fn einval(log: &mut ExperimentLog) {
    for (text, method, call) in [
        ("thread", SpawnMethod::Clone, Call::Clone),
        ("vm,thread", SpawnMethod::Clone, Call::Clone),
        ("sighand", SpawnMethod::Process, Call::Clone3),
        ("fs,newns", SpawnMethod::Process, Call::Clone3),
        (
            "sighand,clear_sighand,vm",
            SpawnMethod::Process,
            Call::Clone3,
        ),
        ("parent", SpawnMethod::Process, Call::Clone3),
    ] {
        let Ok(flags) = text.parse::<CloneFlags>() else {
            return log.check(false, format!("{text} was not understood"));
        };
        let exit_signal = if flags.contains(CloneFlags::THREAD) {
            0
        } else {
            libc::SIGCHLD as u32
        };
        let plan = Plan {
            flags,
            exit_signal,
            method,
            exec: false,
            root: false,
        };
        let seen = match probe::run(plan) {
            Ok(Outcome::Refused(refusal)) => refusal.errno,
            Ok(Outcome::Made { .. }) => None,
            Err(why) => return log.check(false, why),
        };
        let verdict = flags.verdict(call, exit_signal, &Caller::current());
        let because = verdict.rule().map_or("no rule", |rule| rule.description);
        log.check(
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

/// A thread that ends after one byte. It uses its maker's thread pointer: neither of its two
/// system calls fails, so it writes no errno there.
extern "C" fn pause_then_leave(_: *mut libc::c_void) -> i32 {
    let _ = syscall::read_byte(GO.load(Ordering::Acquire));
    syscall::exit(0)
}

pub(super) fn cleartid(log: &mut ExperimentLog) {
    const THREAD: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID;
    let (reader, writer) = support::pipe();
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
            return log.check(false, std::io::Error::last_os_error());
        }
        let before = word.load(Ordering::Acquire);
        let _ = syscall::write_byte(writer);
        // A join: asleep on the word until it is 0. Without the flag no wake would come, so it
        // looks for the thread instead.
        let mut wait = Ok(0);
        if flag != 0 {
            while word.load(Ordering::Acquire) != 0 {
                // SAFETY: the word outlives the call; FUTEX_WAIT without a time limit.
                wait = unsafe {
                    let address = word.as_ptr() as usize;
                    syscall::syscall(libc::SYS_futex, [address, 0, before as usize, 0, 0, 0])
                };
            }
        } else {
            // SAFETY: signal 0 only asks.
            while unsafe { libc::syscall(libc::SYS_tgkill, syscall::getpid(), tid, 0) } == 0 {
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
        log.check(
            before == tid && after == expected,
            format!(
                "{name} CLONE_CHILD_CLEARTID: the word was {before}, then {how}, now it is {after}"
            ),
        );
    }
}
