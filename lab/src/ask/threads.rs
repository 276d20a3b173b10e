//! Questions about what happens to one thread and what to all: signals, ends, and attributes.
#![allow(unsafe_code, reason = "signals, ends and attributes of threads")]

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::log::ExperimentLog;
use super::support::{self, fork_child, in_a_fork};
use crate::syscall;

/// The thread in which the handler ran last; 0 before.
static HANDLED_BY: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_thread(_: i32) {
    HANDLED_BY.store(syscall::gettid(), Ordering::Release);
}

/// Sleeps until the handler has run, and returns the thread in which it did.
fn handler_thread() -> i32 {
    loop {
        match HANDLED_BY.swap(0, Ordering::AcqRel) {
            0 => std::thread::sleep(Duration::from_micros(200)),
            tid => return tid,
        }
    }
}

pub(super) fn signals(log: &mut ExperimentLog) {
    const BIT: u64 = 1 << (libc::SIGUSR1 - 1);
    // SAFETY: `note_thread` makes one raw call and one store.
    unsafe {
        libc::signal(
            libc::SIGUSR1,
            note_thread as *const () as libc::sighandler_t,
        )
    };
    let _ = syscall::set_mask(BIT);
    let (go, tell) = support::pipe();
    let (ready, ready_writer) = support::pipe();
    let closed = rawthread::spawn(move || {
        support::send(ready_writer, 0);
        support::receive(go);
        let _ = syscall::set_mask(0);
    });
    let (end, finish) = support::pipe();
    let open = rawthread::spawn(move || {
        let _ = syscall::set_mask(0);
        support::send(ready_writer, 0);
        // A handler may interrupt the read.
        while support::receive(end).is_none() {}
    });
    support::receive(ready);
    support::receive(ready);
    let (pid, main) = (syscall::getpid(), syscall::gettid());
    // SAFETY: a signal with a handler, to this process.
    unsafe { libc::kill(pid, libc::SIGUSR1) };
    let by = handler_thread();
    log.check(
        by == open.tid(),
        format!(
            "threads {main} and {} block SIGUSR1, {} does not: kill({pid}) was handled by {by}",
            closed.tid(),
            open.tid()
        ),
    );
    // SAFETY: a signal with a handler, to a thread of this process that lives.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, closed.tid(), libc::SIGUSR1) };
    let pending = std::fs::read_to_string(format!("/proc/self/task/{}/status", closed.tid()))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("SigPnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    log.check(
        pending == Some(BIT) && HANDLED_BY.load(Ordering::Acquire) == 0,
        format!(
            "tgkill({}), which blocks it: it waits for that thread, though {} could take it",
            closed.tid(),
            open.tid()
        ),
    );
    let tid = closed.tid();
    support::send(tell, 0);
    let by = handler_thread();
    log.check(
        by == tid,
        format!("thread {tid} unblocks it: handled by {by}"),
    );
    let _ = closed.join();
    support::send(finish, 0);
    let _ = open.join();
}

/// The thread that `ends` ends the process, or not, while another waits; how the process ended.
fn process_with_two(ends: fn()) -> String {
    let Ok(mut child) = fork_child(move || {
        support::no_core();
        let (never, _writer) = support::pipe();
        rawthread::spawn(move || support::receive(never));
        let _ = rawthread::spawn(ends).join();
        55
    }) else {
        return "no fork".into();
    };
    child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string())
}

pub(super) fn ends(log: &mut ExperimentLog) {
    let segfault = process_with_two(|| {
        // SAFETY: none: address 8 is mapped in no process, so the write is a SIGSEGV, on purpose.
        unsafe { std::hint::black_box(8 as *mut u8).write_volatile(1) }
    });
    log.check(
        segfault.contains("11") || segfault.contains("SEGV"),
        format!("one of three threads writes to a wrong address: the process ended: {segfault}"),
    );
    // SAFETY: ends the process, which is a fork for this.
    let exit = process_with_two(|| unsafe { libc::exit(7) });
    log.check(
        exit.contains('7'),
        format!("one of three threads calls exit(7): the process ended: {exit}"),
    );
    let alone = process_with_two(|| ());
    log.check(
        alone.contains("55"),
        format!("a thread returns: the process goes on to its own end: {alone}"),
    );

    // The main thread returns from main, which is a call of exit; another has not finished.
    let (reader, writer) = support::pipe();
    let (never, _keep) = support::pipe();
    let ended = in_a_fork(|| {
        rawthread::spawn(move || {
            support::receive(never);
            support::send(writer, 1);
        });
        0
    });
    let _ = support::close(writer);
    log.check(
        ended == 0 && support::receive(reader).is_none(),
        "main returned while a thread waited: that thread is gone without another step",
    );

    let (reader, writer) = support::pipe();
    let Ok(mut child) = fork_child(move || {
        let main = syscall::gettid();
        rawthread::spawn(move || {
            super::lifecycle::await_state(main, 'Z');
            support::send(writer, support::threads_here() as i32);
            // SAFETY: ends the process.
            unsafe { libc::_exit(9) }
        });
        syscall::exit(0)
    }) else {
        return log.check(false, "no fork");
    };
    let status = child.wait().ok().and_then(|status| status.code());
    let threads = support::receive(reader).unwrap_or(0);
    log.check(
        status == Some(9) && threads >= 1,
        "the main thread left by the system call exit (as pthread_exit does): it is a zombie, the other thread ran on and ended the process with status 9",
    );
}

/// The nice value of a task.
fn nice_of(tid: i32) -> i32 {
    // SAFETY: numbers.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, tid as libc::id_t) }
}

/// The effective user id of this thread, from the kernel.
fn euid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall::syscall(libc::SYS_geteuid, [0; 6]) }.map_or(u32::MAX, |id| id as u32)
}

pub(super) fn attributes(log: &mut ExperimentLog) {
    let main = syscall::gettid();
    let before = nice_of(main);
    let theirs = rawthread::spawn(|| {
        // SAFETY: numbers; 0 is the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 7) };
        nice_of(syscall::gettid())
    })
    .join()
    .unwrap_or(-1);
    let after = nice_of(main);
    log.check(
        theirs == 7 && after == before,
        format!("nice: a thread set its own to {theirs}, here it is {after} (POSIX says: of the process)"),
    );

    // SAFETY: computes addresses.
    let (mine, theirs) = unsafe {
        let mine = libc::__errno_location() as usize;
        let theirs = rawthread::spawn(|| libc::__errno_location() as usize).join();
        (mine, theirs.unwrap_or(mine))
    };
    log.check(
        mine != theirs,
        format!("errno: here at {mine:#x}, in a thread at {theirs:#x}"),
    );

    let no_new = || {
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) }
    };
    let before = no_new();
    let theirs = rawthread::spawn(move || {
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        no_new()
    })
    .join();
    log.check(
        theirs.is_ok_and(|set| set == 1) && no_new() == before,
        format!("no_new_privs: a thread set it, here it is {}", no_new()),
    );

    if euid() != 0 {
        return log.note("user ids: only root can show it, by changing them");
    }
    const OTHER: u32 = 65_534;
    let theirs = rawthread::spawn(|| {
        // SAFETY: numbers; changes the calling thread alone, which ends next.
        let _ = unsafe {
            let same = u32::MAX as usize;
            syscall::syscall(libc::SYS_setresuid, [same, OTHER as usize, same, 0, 0, 0])
        };
        euid()
    })
    .join();
    log.check(
        theirs.is_ok_and(|id| id == OTHER) && euid() == 0,
        format!("the system call setresuid in a thread: {OTHER} there, {} here: the kernel's ids are a task's", euid()),
    );
    let theirs = rawthread::spawn(|| {
        // SAFETY: a number.
        unsafe { libc::seteuid(OTHER) };
        euid()
    })
    .join();
    log.check(
        theirs.is_ok_and(|id| id == OTHER) && euid() == OTHER,
        format!("libc's seteuid in a thread: {} here too: libc makes every thread do it, for POSIX's sake", euid()),
    );
}
