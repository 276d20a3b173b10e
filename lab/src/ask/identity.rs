//! Questions about a task's identity: its ids, its parent, its pid namespace.
#![allow(unsafe_code, reason = "asks the kernel for numbers")]

use rawthread::flags::CloneFlags;

use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, can_wait, spawn_child};
use crate::syscall;

pub(super) fn pid_tid_tgid(log: &mut ExperimentLog) {
    let (pid, tid) = (syscall::getpid(), syscall::gettid());
    log.check(pid == tid, format!("here: getpid {pid}, gettid {tid}"));
    let thread = rawthread::spawn(|| (syscall::getpid(), syscall::gettid())).join();
    let Ok((its_pid, its_tid)) = thread else {
        return log.check(false, "the thread panicked");
    };
    log.check(
        its_pid == pid && its_tid != tid,
        format!("in a thread: getpid {its_pid}, gettid {its_tid}"),
    );
    let (reader, writer) = support::pipe();
    let Some(mut made) = spawn_child(log, CloneFlags::VM, SIGCHLD, move || {
        support::send(writer, syscall::getpid());
        support::send(writer, syscall::gettid());
        0
    }) else {
        return;
    };
    let numbers = (support::receive(reader), support::receive(reader));
    let _ = made.wait();
    if let (Some(its_pid), Some(its_tid)) = numbers {
        log.check(
            its_pid != pid && its_pid == its_tid,
            format!("in a process that shares memory: getpid {its_pid}, gettid {its_tid}"),
        );
    }
}

pub(super) fn wait_flags(log: &mut ExperimentLog) {
    for (signal, name, plain) in [
        (SIGCHLD, "exit signal SIGCHLD", true),
        (0, "no exit signal", false),
        (libc::SIGUSR1 as u32, "exit signal SIGUSR1", false),
    ] {
        // SIGUSR1 would kill the experiment.
        let _ = syscall::set_mask(1 << (libc::SIGUSR1 - 1));
        let Some(mut made) = spawn_child(log, CloneFlags::empty(), signal, || 0) else {
            return;
        };
        let pid = made.pid();
        // SAFETY: waits for the child's end and leaves it as it is.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
            libc::waitid(libc::P_PID, pid as u32, &mut info, options);
        }
        let found = |options| {
            if can_wait(pid, options) {
                "found"
            } else {
                "ECHILD"
            }
        };
        let text = format!(
            "{name}: plain wait {}, __WCLONE {}, __WALL {}",
            found(0),
            found(libc::__WCLONE),
            found(libc::__WALL)
        );
        let right = can_wait(pid, 0) == plain
            && can_wait(pid, libc::__WCLONE) != plain
            && can_wait(pid, libc::__WALL);
        log.check(right, text);
        let _ = made.wait();
    }
    let (reader, writer) = support::pipe();
    let thread = rawthread::spawn(move || support::receive(reader));
    let found = can_wait(thread.tid(), libc::__WALL);
    let word = if found { "found" } else { "ECHILD" };
    log.check(!found, format!("a thread: __WALL {word}"));
    support::send(writer, 0);
    let _ = thread.join();
}

/// What pid 1 of a namespace does: an orphan for it to adopt, a signal that it has no handler for,
/// and a child that outlives nothing.
fn play_pid1(writer: i32) -> i32 {
    support::send(writer, syscall::getpid());
    // SAFETY: forks of a process with one thread; the children make raw calls alone.
    unsafe {
        let middle = libc::fork();
        if middle == 0 {
            let orphan = libc::fork();
            if orphan == 0 {
                // Adopted when `middle` has ended.
                let first = libc::getppid();
                while libc::getppid() == first && first != 1 {
                    libc::usleep(200);
                }
                support::send(writer, libc::getppid());
                libc::_exit(7);
            }
            libc::_exit(0);
        }
        let mut status = 0;
        let mut ended = 0;
        while ended < 2 && libc::waitpid(-1, &mut status, 0) > 0 {
            ended += 1;
        }
        // The orphan was reaped here though its maker was another process.
        support::send(writer, ended);
        // No handler: the kernel drops it.
        libc::kill(1, libc::SIGTERM);
        support::send(writer, 1);
        if libc::fork() == 0 {
            support::send(writer, syscall::getpid());
            loop {
                libc::pause();
            }
        }
        loop {
            libc::pause();
        }
    }
}

pub(super) fn pid1(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    let flags = CloneFlags::NEWUSER | CloneFlags::NEWPID;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || play_pid1(writer)) else {
        return;
    };
    let _ = support::close(writer);
    let [first, parent, ended, alive, last] =
        [(); 5].map(|()| support::receive(reader).unwrap_or(0));
    let outside = made.pid();
    log.check(
        first == 1 && outside != 1,
        format!("it calls itself {first}, here it is {outside}"),
    );
    log.check(
        parent == 1 && ended == 2,
        format!("an orphan of the namespace has the parent {parent}, who reaped {ended} processes"),
    );
    log.check(
        alive == 1,
        "a SIGTERM to pid 1, which has no handler for it, did nothing: it went on",
    );
    log.check(
        last > 1,
        format!("its child calls itself {last}, and waits without end"),
    );
    let killed = made.kill().and_then(|()| made.wait());
    // Both held the pipe: its end comes when the last of them is gone.
    let gone = support::receive(reader).is_none();
    log.check(
        killed.is_ok() && gone,
        "pid 1 was killed from outside, and its child is gone: the pipe that it held open has ended",
    );
}

pub(super) fn clone_parent(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    for (flags, name) in [
        (CloneFlags::empty(), "without CLONE_PARENT"),
        (CloneFlags::PARENT, "with CLONE_PARENT"),
    ] {
        let sibling = flags.contains(CloneFlags::PARENT);
        let signal = if sibling { 0 } else { SIGCHLD };
        let Some(mut made) = spawn_child(log, flags, signal, move || {
            // SAFETY: no arguments.
            let parent = unsafe { syscall::syscall(libc::SYS_getppid, [0; 6]) };
            support::send(writer, parent.unwrap_or(0) as i32);
            0
        }) else {
            return;
        };
        let parent = support::receive(reader).unwrap_or(0);
        // SAFETY: no arguments.
        let (mine, me) = (unsafe { libc::getppid() }, syscall::getpid());
        let expected = if sibling { mine } else { me };
        let mut whose = "a stranger";
        if parent == me {
            whose = "me";
        } else if parent == mine {
            whose = "my parent";
        }
        log.check(
            parent == expected,
            format!("{name}: its parent is {parent}, {whose}"),
        );
        let waited = made.wait().is_ok();
        let word = if waited { "I could" } else { "I could not" };
        log.check(waited != sibling, format!("{name}: {word} wait for it"));
    }
}
