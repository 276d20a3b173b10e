//! The question of what a fork child does not inherit: the list of fork(2), item by item.
#![allow(
    unsafe_code,
    reason = "mappings, timers and other state of this process"
)]

use std::fs::read_to_string;

use super::io_ports;
use super::log::{ExperimentLog, name_of};
use super::support::{self, errno_of, in_a_fork};
use crate::syscall;

/// A page of this process's own.
fn page() -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0).cast() }
}

/// The number that `f` finds in a fork of the experiment.
fn in_child(f: impl FnOnce() -> i32) -> i32 {
    let (reader, writer) = support::pipe();
    in_a_fork(|| {
        support::send(writer, f());
        0
    });
    let _ = support::close(writer);
    let number = support::receive(reader).unwrap_or(i32::MIN);
    let _ = support::close(reader);
    number
}

pub(super) fn not_inherited(log: &mut ExperimentLog) {
    memory(log);
    timers(log);
    signals(log);
    contexts(log);
    record_locks(log);
    semaphores(log);
    inherited(log);
    io_ports::inherited(log);
}

fn record_locks(log: &mut ExperimentLog) {
    // SAFETY: a constant name; `flock` is plain data.
    let (file, mut lock) = unsafe {
        let file = libc::memfd_create(c"lab".as_ptr(), libc::MFD_CLOEXEC);
        (file, std::mem::zeroed::<libc::flock>())
    };
    lock.l_type = libc::F_WRLCK as i16;
    lock.l_len = 1;
    // SAFETY: reads the structure.
    if unsafe { libc::fcntl(file, libc::F_SETLK, &lock) } != 0 {
        return log.skip("record locks cannot be set here");
    }
    let holder = in_child(|| {
        let mut found = lock;
        // SAFETY: reads and writes the structure.
        unsafe { libc::fcntl(file, libc::F_GETLK, &mut found) };
        // A lock of the asker's own is no obstacle, and would not be found.
        if found.l_type == libc::F_UNLCK as i16 {
            0
        } else {
            found.l_pid
        }
    });
    log.check(
        holder == syscall::getpid(),
        format!("a record lock: the child asks for it, and finds its maker {holder} in the way"),
    );
    let _ = support::close(file);
}

fn semaphores(log: &mut ExperimentLog) {
    // SAFETY: a set of this process's own, removed below; each operation is plain data.
    unsafe {
        let set = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
        if set < 0 {
            return log.skip("there are no System V semaphores here");
        }
        let mut up = libc::sembuf {
            sem_num: 0,
            sem_op: 3,
            sem_flg: libc::SEM_UNDO as i16,
        };
        let raised = libc::semop(set, &mut up, 1);
        in_a_fork(|| 0);
        let value = libc::semctl(set, 0, libc::GETVAL);
        libc::semctl(set, 0, libc::IPC_RMID);
        log.check(
            raised == 0 && value == 3,
            format!(
                "semaphore adjustments: 3 to undo here; a child has ended, and the value is {value}"
            ),
        );
    }
}

/// kB of locked memory of this process.
fn locked() -> i32 {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(-1)
}

fn memory(log: &mut ExperimentLog) {
    let at = page();
    // SAFETY: the page above.
    if unsafe { libc::mlock(at.cast(), 4096) } == 0 {
        let (here, there) = (locked(), in_child(locked));
        log.check(
            here >= 4 && there == 0,
            format!("mlock: {here} kB locked here, {there} kB in the child"),
        );
    } else {
        log.note("mlock: not allowed here");
    }

    let at = page();
    let (_reader, writer) = support::pipe();
    // SAFETY: the page above; in the child it is not there, so the kernel is asked for it.
    unsafe {
        at.write(7);
        let answer = libc::madvise(at.cast(), 4096, libc::MADV_DONTFORK);
        let read = || errno_of(libc::write(writer, at.cast(), 1) as i32);
        let there = in_child(read);
        log.check(
            answer == 0 && there == libc::EFAULT,
            format!("a page with MADV_DONTFORK: in the child {}", name_of(there)),
        );
    }

    let at = page();
    // SAFETY: the page above.
    unsafe {
        at.write(7);
        if libc::madvise(at.cast(), 4096, libc::MADV_WIPEONFORK) != 0 {
            return log.note("MADV_WIPEONFORK: not before Linux 4.14");
        }
        let there = in_child(|| i32::from(at.read_volatile()));
        let here = at.read_volatile();
        log.check(
            here == 7 && there == 0,
            format!("a page with MADV_WIPEONFORK: it holds {here} here, {there} in the child"),
        );
    }
}

/// Microseconds of CPU time of this process.
fn cpu_time() -> i32 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as i32 * 1_000_000 + time.tv_nsec as i32 / 1000
}

fn timers(log: &mut ExperimentLog) {
    while cpu_time() < 30_000 {
        std::hint::spin_loop();
    }
    let (here, there) = (cpu_time(), in_child(cpu_time));
    log.check(
        here >= 30_000 && there < here,
        format!("CPU time: {here} µs used here; the child began at 0, and had used {there} µs when it asked"),
    );

    // SAFETY: a far timer, whose signal never comes; the kernel writes one `itimerval`.
    let left = || unsafe {
        let mut timer: libc::itimerval = std::mem::zeroed();
        libc::getitimer(libc::ITIMER_REAL, &mut timer);
        timer.it_value.tv_sec as i32
    };
    // SAFETY: as above.
    unsafe { libc::alarm(10_000) };
    let (here, there) = (left(), in_child(left));
    log.check(
        here > 0 && there == 0,
        format!("alarm and setitimer: {here} s left here, none in the child ({there})"),
    );

    let mut timer = 0i32;
    // SAFETY: the kernel writes the id of a timer that is never started; no `sigevent` means SIGALRM.
    let made = unsafe {
        syscall::syscall(
            libc::SYS_timer_create,
            [
                libc::CLOCK_MONOTONIC as usize,
                0,
                (&raw mut timer) as usize,
                0,
                0,
                0,
            ],
        )
    };
    let ask = || {
        // SAFETY: asks about a timer by its id.
        let asked = unsafe {
            syscall::syscall(libc::SYS_timer_getoverrun, [timer as usize, 0, 0, 0, 0, 0])
        };
        asked.err().unwrap_or(0)
    };
    let (here, there) = (ask(), in_child(ask));
    log.check(
        made.is_ok() && here == 0 && there == libc::EINVAL,
        format!(
            "a POSIX timer: there here, {} for the child",
            name_of(there)
        ),
    );

    // SAFETY: numbers.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 123_456);
        let slack = || libc::prctl(libc::PR_GET_TIMERSLACK);
        let after_reset = || {
            libc::prctl(libc::PR_SET_TIMERSLACK, 0);
            libc::prctl(libc::PR_GET_TIMERSLACK)
        };
        let (there, reset_there) = (in_child(slack), in_child(after_reset));
        let reset_here = after_reset();
        log.check(
            there == 123_456 && reset_there == 123_456 && reset_here != 123_456,
            format!("timer slack: set to 123456 ns here, which is the child's default ({reset_there}); the default here stays {reset_here}"),
        );
    }
}

/// Whether this signal is pending here.
fn is_pending(signal: i32) -> i32 {
    // SAFETY: plain data that the kernel fills.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigpending(&mut set);
        libc::sigismember(&set, signal)
    }
}

fn signals(log: &mut ExperimentLog) {
    let _ = syscall::set_mask(1 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGUSR2 - 1));
    // SAFETY: a blocked signal, to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
    let (here, there) = (
        is_pending(libc::SIGUSR1),
        in_child(|| is_pending(libc::SIGUSR1)),
    );
    log.check(
        here == 1 && there == 0,
        "a pending signal: it waits here, none waits in the child",
    );

    // SAFETY: numbers; the kernel writes one number. The signal is blocked.
    unsafe {
        let death = || {
            let mut signal = -1;
            libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal);
            signal
        };
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR2);
        let (here, there) = (death(), in_child(death));
        libc::prctl(libc::PR_SET_PDEATHSIG, 0);
        log.check(
            here == libc::SIGUSR2 && there == 0,
            format!("parent-death signal: {here} here, {there} in the child"),
        );
    }
    directory_notice(log);
}

// From include/uapi/asm-generic/fcntl.h and include/uapi/linux/fcntl.h.
const F_SETSIG: i32 = 10;
const DN_CREATE: i32 = 4;
const DN_MULTISHOT: i32 = i32::MIN;

/// `F_NOTIFY` of a directory: which process gets the signal for a new file.
fn directory_notice(log: &mut ExperimentLog) {
    let path = std::env::temp_dir().join(format!("lab-notice-{}", std::process::id()));
    let made = std::fs::create_dir(&path);
    let name = std::ffi::CString::new(path.to_string_lossy().as_bytes()).unwrap_or_default();
    // SAFETY: the path ends in NUL; numbers.
    let asked = unsafe {
        let fd = libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        libc::fcntl(fd, F_SETSIG, libc::SIGUSR2);
        libc::fcntl(fd, libc::F_NOTIFY, DN_CREATE | DN_MULTISHOT)
    };
    if made.is_err() || asked != 0 {
        let _ = std::fs::remove_dir_all(&path);
        return log.note("directory notification (F_NOTIFY): not to be had here");
    }
    let there = in_child(|| {
        let _ = std::fs::write(path.join("new"), "");
        is_pending(libc::SIGUSR2)
    });
    let here = is_pending(libc::SIGUSR2);
    let _ = std::fs::remove_dir_all(&path);
    log.check(
        here == 1 && there == 0,
        "directory notification: the child made a file in the directory; the signal came here, not to the child",
    );
}

fn contexts(log: &mut ExperimentLog) {
    let mut context = 0usize;
    // SAFETY: the kernel writes one context id.
    let made = unsafe {
        syscall::syscall(
            libc::SYS_io_setup,
            [1, (&raw mut context) as usize, 0, 0, 0, 0],
        )
    };
    if let Err(errno) = made {
        return log.note(format!(
            "asynchronous I/O: io_setup says {}",
            name_of(errno)
        ));
    }
    let ask = || {
        // SAFETY: asks for no events.
        let asked = unsafe { syscall::syscall(libc::SYS_io_getevents, [context, 0, 0, 0, 0, 0]) };
        asked.err().unwrap_or(0)
    };
    let (here, there) = (ask(), in_child(ask));
    log.check(
        here == 0 && there == libc::EINVAL,
        format!(
            "a context of asynchronous I/O: there here, {} for the child",
            name_of(there)
        ),
    );
}

/// What is beside them, and is inherited.
fn inherited(log: &mut ExperimentLog) {
    let name = format!("lab-{}\0", std::process::id());
    let name = name.as_ptr() as usize;
    let flags = (libc::O_RDWR | libc::O_CREAT) as usize;
    // SAFETY: the name ends in NUL; no attributes are given.
    let queue = unsafe { syscall::syscall(libc::SYS_mq_open, [name, flags, 0o600, 0, 0, 0]) };
    let Ok(queue) = queue else {
        return log.note("message queues: this kernel has none, or allows none");
    };
    // SAFETY: the name ends in NUL; the queue stays until its descriptors are closed.
    let _ = unsafe { syscall::syscall(libc::SYS_mq_unlink, [name, 0, 0, 0, 0, 0]) };
    let set = |flags: usize| {
        // The kernel's `struct mq_attr`: eight words, the flags first.
        let new = [flags, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: the kernel reads one structure.
        let set = unsafe {
            let new = (&raw const new) as usize;
            syscall::syscall(libc::SYS_mq_getsetattr, [queue, new, 0, 0, 0, 0])
        };
        set.err().unwrap_or(0)
    };
    let get = || {
        let mut old = [0usize; 8];
        // SAFETY: the kernel writes one structure.
        let asked = unsafe {
            let old = (&raw mut old) as usize;
            syscall::syscall(libc::SYS_mq_getsetattr, [queue, 0, old, 0, 0, 0])
        };
        asked.map_or(-1, |_| old[0] as i32)
    };
    let before = get();
    let done = in_child(|| set(libc::O_NONBLOCK as usize));
    let after = get();
    log.check(
        done == 0 && before == 0 && after == libc::O_NONBLOCK,
        "inherited: a message queue's descriptor is shared: the child set O_NONBLOCK, and it is set here",
    );
    log.note(
        "inherited as well: open-file locks and flock, which the question on file locks shows",
    );
}
