//! Questions about what a fork copies with a file: buffers, ends of pipes, and locks.
#![allow(unsafe_code, reason = "stdio, descriptors and locks of this process")]

use std::ffi::CStr;

use super::log::{ExperimentLog, name_of};
use super::support::{self, errno_of, in_a_fork};

pub(super) fn stdio(log: &mut ExperimentLog) {
    for (name, flush_first, flush_at_exit, expected) in [
        ("child ends by exit()", false, true, 2),
        ("child ends by _exit()", false, false, 1),
        ("fflush before fork, child ends by exit()", true, true, 1),
    ] {
        let (reader, writer) = support::pipe();
        let ended = in_a_fork(|| {
            // SAFETY: a stream of this process's own on its own descriptor; the child of the fork
            // has one thread.
            unsafe {
                let stream = libc::fdopen(writer, c"w".as_ptr());
                if stream.is_null() {
                    return 1;
                }
                libc::fputs(c"x".as_ptr(), stream);
                if flush_first {
                    libc::fflush(stream);
                }
                let child = libc::fork();
                if child == 0 {
                    if flush_at_exit {
                        libc::exit(0);
                    }
                    libc::_exit(0);
                }
                libc::waitpid(child, std::ptr::null_mut(), 0);
                libc::fflush(stream);
            }
            0
        });
        let _ = support::close(writer);
        let copies = support::read_all(reader).len();
        log.check(
            ended == 0 && copies == expected,
            format!(
                "one \"x\" printed before fork; {name}: it arrives {}",
                if copies == 1 { "once" } else { "twice" }
            ),
        );
    }
}

/// Whether the reading end has neither data nor end-of-file: a read would wait.
fn would_wait(fd: i32) -> bool {
    let mut wanted = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one `pollfd`; asks without waiting.
    unsafe { libc::poll(&mut wanted, 1, 0) == 0 }
}

/// Runs the lab as another program that writes to descriptor `fd`, if it has it.
fn exec_writes_to(fd: i32) -> bool {
    std::process::Command::new("/proc/self/exe")
        .arg(support::EXEC_REPORT)
        .arg(fd.to_string())
        .status()
        .is_ok_and(|status| status.success())
}

pub(super) fn pipe_without_end(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    let (hold, held) = support::pipe();
    // SAFETY: a fork of a process with one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // It forgets that it has a copy of `writer`, and waits until the parent closes `held`.
        let _ = support::close(held);
        support::receive(hold);
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) }
    }
    let _ = support::close(writer);
    log.check(
        would_wait(reader),
        "the writing end is closed here, and a read still waits: the child has a copy of it",
    );
    let _ = support::close(held);
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    log.check(
        support::receive(reader).is_none(),
        "the child has ended, and with it the last copy: a read returns 0, the end of the file",
    );

    let (reader, writer) = support::pipe();
    let ran = exec_writes_to(writer);
    log.check(
        ran && !would_wait(reader),
        format!("by pipe(): a program started meanwhile could write to descriptor {writer}"),
    );
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == 0;
    let ran = exec_writes_to(ends[1]);
    log.check(
        made && ran && would_wait(ends[0]),
        format!(
            "by pipe2(O_CLOEXEC): the program had no descriptor {}",
            ends[1]
        ),
    );

    // The race: another thread starts a program between pipe() and fcntl(FD_CLOEXEC).
    let (reader, writer) = support::pipe();
    let leaked = std::thread::spawn(move || exec_writes_to(writer)).join();
    // SAFETY: a descriptor of the experiment's own.
    unsafe { libc::fcntl(writer, libc::F_SETFD, libc::FD_CLOEXEC) };
    log.check(
        leaked.is_ok_and(|ran| ran) && !would_wait(reader),
        "pipe(), then a program started by another thread, then fcntl(FD_CLOEXEC): too late, it had it",
    );
}

fn flock(fd: i32, operation: i32) -> i32 {
    // SAFETY: numbers.
    errno_of(unsafe { libc::flock(fd, operation | libc::LOCK_NB) })
}

/// Takes a lock on the first byte: of the process's (`F_SETLK`) or of the open file's
/// (`F_OFD_SETLK`).
fn record_lock(fd: i32, command: i32) -> i32 {
    // SAFETY: `flock` is plain data, and the kernel reads one.
    errno_of(unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        lock.l_len = 1;
        libc::fcntl(fd, command, &lock)
    })
}

fn word(errno: i32) -> String {
    if errno == 0 {
        "granted".into()
    } else {
        format!("refused ({})", name_of(errno))
    }
}

/// Another open file description of the file behind `fd`.
fn open_again(path: &CStr) -> i32 {
    // SAFETY: the path ends in NUL.
    unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }
}

pub(super) fn file_locks(log: &mut ExperimentLog) {
    // SAFETY: the name ends in NUL.
    let file = unsafe { libc::memfd_create(c"lab".as_ptr(), libc::MFD_CLOEXEC) };
    let path = std::ffi::CString::new(format!("/proc/self/fd/{file}")).unwrap_or_default();
    let other = open_again(&path);
    if file < 0 || other < 0 {
        return log.skip("no file in memory that can be opened twice");
    }
    let locked = flock(file, libc::LOCK_EX);
    let elsewhere = flock(other, libc::LOCK_EX);
    let child = in_a_fork(|| flock(file, libc::LOCK_EX));
    log.check(
        locked == 0 && elsewhere == libc::EWOULDBLOCK && child == 0,
        format!(
            "flock, held here: another open of the file {}, a fork child {}: it has the same lock",
            word(elsewhere),
            word(child)
        ),
    );
    let unlocked = in_a_fork(|| flock(file, libc::LOCK_UN));
    let elsewhere = flock(other, libc::LOCK_EX);
    log.check(
        unlocked == 0 && elsewhere == 0,
        format!(
            "flock: the child unlocked it, and with that here: the other open {}",
            word(elsewhere)
        ),
    );

    let locked = record_lock(file, libc::F_SETLK);
    let child = in_a_fork(|| record_lock(file, libc::F_SETLK));
    log.check(
        locked == 0 && child == libc::EAGAIN,
        format!(
            "record lock (F_SETLK), held here: a fork child {}: it is the process's",
            word(child)
        ),
    );
    let _ = support::close(open_again(&path));
    let child = in_a_fork(|| record_lock(file, libc::F_SETLK));
    log.check(
        child == 0,
        format!("record lock: a descriptor of the same file was closed here, then a child {}: closing any of them drops it", word(child)),
    );

    let locked = record_lock(file, libc::F_OFD_SETLK);
    let child = in_a_fork(|| record_lock(file, libc::F_OFD_SETLK));
    let elsewhere = record_lock(other, libc::F_OFD_SETLK);
    if locked == libc::EINVAL {
        return log.skip("this kernel has no locks of open files");
    }
    log.check(
        locked == 0 && child == 0 && elsewhere == libc::EAGAIN,
        format!(
            "open-file lock (F_OFD_SETLK), held here: a fork child {}, another open {}",
            word(child),
            word(elsewhere)
        ),
    );
}
