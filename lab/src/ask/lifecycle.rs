//! Questions about the ends of processes: zombies, orphans, signals to pid 1, and pids that recur.
#![allow(unsafe_code, reason = "forks, signals and waits")]

use std::fs::read_to_string;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rawthread::flags::CloneFlags;
use rawthread::process::Builder;

use super::log::{ExperimentLog, name_of};
use super::support::{self, SIGCHLD, spawn_child};
use crate::syscall;

/// The state of a process as /proc has it: R, S, D, T, t, Z; `?` if there is none.
pub(crate) fn state(pid: i32) -> char {
    let text = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rfind(')').map_or("", |end| &text[end + 1..]);
    after.trim_start().chars().next().unwrap_or('?')
}

/// Sleeps until the process has that state. The experiment's own time limit bounds it.
pub(crate) fn await_state(pid: i32, wanted: char) {
    while state(pid) != wanted {
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(super) fn zombie(log: &mut ExperimentLog) {
    let Some(mut made) = spawn_child(log, CloneFlags::empty(), SIGCHLD, || 0) else {
        return;
    };
    let pid = made.pid();
    await_state(pid, 'Z');
    // SAFETY: a signal to a child that was not waited for.
    let killed = unsafe { libc::kill(pid, libc::SIGKILL) } == 0 && state(pid) == 'Z';
    log.check(
        killed,
        format!("child {pid} ended: its state in /proc is Z, and SIGKILL changes nothing"),
    );
    let _ = made.wait();
    log.check(state(pid) == '?', "after the wait there is no trace of it");

    // This process adopts orphans, as an init does.
    // SAFETY: a number.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
        return log.skip("no process can be a subreaper here");
    }
    let me = syscall::getpid();
    let (reader, writer) = support::pipe();
    // SAFETY: forks of a process with one thread.
    let middle = unsafe {
        let middle = libc::fork();
        if middle == 0 {
            if libc::fork() == 0 {
                let first = libc::getppid();
                support::send(writer, first);
                while libc::getppid() == first && first != me {
                    libc::usleep(200);
                }
                support::send(writer, libc::getppid());
                libc::_exit(0);
            }
            // The grandchild has read its parent's pid before that parent ends.
            libc::usleep(0);
            let mut wanted = libc::pollfd {
                fd: reader,
                events: libc::POLLIN,
                revents: 0,
            };
            libc::poll(&mut wanted, 1, -1);
            libc::_exit(0);
        }
        middle
    };
    // The number is taken only after `middle` has seen that it is there.
    // SAFETY: waits for `middle`.
    unsafe { libc::waitpid(middle, std::ptr::null_mut(), 0) };
    let (before, after) = (support::receive(reader), support::receive(reader));
    log.check(
        before == Some(middle) && after == Some(me),
        format!(
            "a grandchild's parent was {}, which ended; then it is {}, the nearest subreaper (else pid 1)",
            before.unwrap_or(0),
            after.unwrap_or(0)
        ),
    );
    // SAFETY: no memory is written.
    let adopted = unsafe { libc::wait(std::ptr::null_mut()) } > 0;
    log.check(adopted, "and the subreaper can, and must, wait for it");
}

/// How many SIGTERM the handler saw.
static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_: i32) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// What the pid 1 of `pid1_signals` does: answers each number with how many SIGTERM it handled, and
/// at number 1 sets a handler.
fn serve(questions: i32, answers: i32) -> i32 {
    while let Some(number) = support::receive(questions) {
        if number == 1 {
            // SAFETY: `count` touches an atomic alone.
            unsafe { libc::signal(libc::SIGTERM, count as *const () as libc::sighandler_t) };
        }
        if number == 2 {
            // From inside: even SIGKILL.
            // SAFETY: a fork of a process with one thread; both make raw calls.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    let sent = libc::kill(1, libc::SIGKILL);
                    libc::_exit(sent & 1);
                }
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        }
        support::send(answers, SEEN.load(Ordering::Relaxed));
    }
    0
}

pub(super) fn pid1_signals(log: &mut ExperimentLog) {
    let (questions, ask) = support::pipe();
    let (answers, answer) = support::pipe();
    let flags = CloneFlags::NEWUSER | CloneFlags::NEWPID;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
        let _ = support::close(ask);
        let _ = support::close(answers);
        serve(questions, answer)
    }) else {
        return;
    };
    let _ = support::close(answer);
    let seen = |number| {
        support::send(ask, number);
        support::receive(answers)
    };
    let sent = made.signal(libc::SIGTERM).is_ok();
    log.check(
        sent && seen(0) == Some(0),
        "SIGTERM with the default action, from outside: dropped; pid 1 goes on",
    );
    let inside = seen(2);
    log.check(
        inside == Some(0),
        "SIGKILL from a process of its namespace: dropped too; pid 1 goes on",
    );
    let with_handler = seen(1).is_some();
    let sent = made.signal(libc::SIGTERM).is_ok();
    // A read that is interrupted fails: `receive` then says the end, and pid 1 returns. Both show it.
    let handled = seen(0);
    log.check(
        with_handler && sent && handled != Some(0),
        match handled {
            Some(number) => format!("SIGTERM once pid 1 has a handler: handled {number} time"),
            None => "SIGTERM once pid 1 has a handler: it interrupted its read".to_owned(),
        },
    );
    let end = made.kill().and_then(|()| made.wait());
    log.check(
        end.is_ok(),
        match end {
            Ok(end) => format!("SIGKILL from outside the namespace: {end}"),
            Err(error) => error.to_string(),
        },
    );
}

/// What the pid 1 of `pidfd` does. Sends: the pid of a first child, whether kill() on that number
/// hits a second child that has it, and the errno of the same signal by the first one's pidfd.
fn reuse_a_pid(writer: i32) -> i32 {
    // SAFETY: the closures end at once or sleep, and touch nothing.
    let first = unsafe { Builder::new().pidfd(true).spawn(|| 0) };
    let Ok(mut first) = first else {
        return 1;
    };
    let pid = first.pid();
    let pidfd = first.raw_pidfd().map_or(-1, |fd| {
        // The child's own is closed with it.
        // SAFETY: numbers.
        unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) }
    });
    if pidfd < 0 || first.wait().is_err() {
        return 2;
    }
    // SAFETY: as above.
    let second = unsafe {
        Builder::new().set_tid(&[pid]).spawn(|| {
            loop {
                libc::pause();
            }
        })
    };
    let Ok(mut second) = second else {
        return 3;
    };
    support::send(writer, pid);
    support::send(writer, second.pid());
    // SAFETY: signal 0 only asks.
    support::send(writer, unsafe { libc::kill(pid, 0) });
    // SAFETY: a descriptor of this process's own, signal 0, no more information.
    let by_pidfd =
        unsafe { syscall::syscall(libc::SYS_pidfd_send_signal, [pidfd as usize, 0, 0, 0, 0, 0]) };
    support::send(writer, by_pidfd.err().unwrap_or(0));
    let _ = second.kill();
    let _ = second.wait();
    0
}

pub(super) fn pidfd(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    let flags = CloneFlags::NEWUSER | CloneFlags::NEWPID;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || reuse_a_pid(writer)) else {
        return;
    };
    let code = made.wait().ok().and_then(|end| end.code());
    if code != Some(0) {
        return log.skip("a pidfd (Linux 5.3) or a chosen pid (Linux 5.5) cannot be had here");
    }
    let [first, second, kill, pidfd] = [(); 4].map(|()| support::receive(reader).unwrap_or(-1));
    log.check(
        first == second && first > 0,
        format!("child {first} ended and was waited for; a new child got the pid {second}"),
    );
    log.check(
        kill == 0,
        format!("kill({first}, 0), meant for the first, finds the second"),
    );
    log.check(
        pidfd == libc::ESRCH,
        format!(
            "the first one's pidfd says {}: it never means another process",
            name_of(pidfd)
        ),
    );
}
