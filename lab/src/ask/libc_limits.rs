//! Questions about what libc does around clone: malloc after fork, and errors in containers.
#![allow(
    unsafe_code,
    reason = "forks by the bare system call, and a seccomp filter"
)]

use std::sync::atomic::{AtomicBool, Ordering};

use super::log::{ExperimentLog, name_of};
use super::support::{self, GLIBC, fork_child, in_a_fork};

/// The argument of the lab's hidden command by which it runs `hammer`.
pub(super) const HAMMER: &str = "hammer";
/// Children of each kind.
const CHILDREN: i32 = 30;

/// Allocates and frees what no cache of a thread's own holds.
fn allocate(rounds: usize) {
    for round in 0..rounds {
        // SAFETY: freed at once.
        unsafe { libc::free(std::hint::black_box(libc::malloc(2000 + round % 64 * 512))) };
    }
}

/// Makes children by the bare system call while other threads allocate, and returns how many of
/// them hung in malloc; 100 if a child by libc's fork could not allocate.
pub(super) fn hammer() -> i32 {
    static STOP: AtomicBool = AtomicBool::new(false);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    allocate(64);
                }
            })
        })
        .collect();
    let mut well = true;
    for _ in 0..CHILDREN {
        let ended = in_a_fork(|| {
            allocate(50);
            0
        });
        well &= ended == 0;
    }
    let mut children = Vec::new();
    for _ in 0..CHILDREN {
        // SAFETY: as fork, but libc does not learn of it: that is what the child shows. It calls
        // malloc and ends, or hangs until its alarm.
        unsafe {
            let pid = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
            if pid == 0 {
                libc::alarm(3);
                allocate(50);
                libc::_exit(0);
            }
            children.push(pid as i32);
        }
    }
    let mut hung = 0;
    for pid in children {
        let mut status = 0;
        // SAFETY: the kernel writes one number.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        hung += i32::from(libc::WIFSIGNALED(status));
    }
    STOP.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    if well { hung } else { 100 }
}

pub(super) fn malloc_after_fork(log: &mut ExperimentLog) {
    // Another program, so that glibc reads its tunables: one arena, no cache for each thread.
    let status = std::process::Command::new("/proc/self/exe")
        .args([support::EXEC_REPORT, HAMMER])
        .env(
            "GLIBC_TUNABLES",
            "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0",
        )
        .status();
    let Some(hung) = status.ok().and_then(|status| status.code()) else {
        return log.check(false, "the program that allocates and forks broke off");
    };
    log.check(
        hung <= CHILDREN,
        format!("4 threads allocate all the time: {CHILDREN} of {CHILDREN} children of libc's fork could use malloc, whose locks it puts right"),
    );
    log.note(format!(
        "{hung} of {CHILDREN} children of the bare system call hung in malloc: another thread, which the child does not have, held its lock (how many is chance)"
    ));
    // The same with a lock that fork knows nothing of, where it is no chance.
    let lock = std::sync::Arc::new(std::sync::Mutex::new(()));
    let held = std::sync::Arc::clone(&lock);
    let (ready, tell) = support::pipe();
    let (end, _keep) = support::pipe();
    rawthread::spawn(move || {
        let _guard = held.lock();
        support::send(tell, 0);
        support::receive(end)
    });
    support::receive(ready);
    let locked = in_a_fork(|| i32::from(lock.try_lock().is_err()));
    log.check(
        locked == 1,
        "a lock of the program's own, held by a thread at the fork: locked in the child, with no thread to unlock it",
    );
}

/// From here on, this process gets `errno` from the system call of that number.
fn refuse(number: libc::c_long, errno: i32) -> bool {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut filter = [
        // The number of the call is the first word of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            number as u32,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel reads the program and copies it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    }
}

/// What a thread of std's and one of the library's come to where `refuse` acts: errnos, 0 for none.
fn threads_where_refused(number: libc::c_long, errno: i32) -> Option<(i32, i32)> {
    let (reader, writer) = support::pipe();
    let mut child = fork_child(|| {
        if !refuse(number, errno) {
            return 1;
        }
        let std = std::thread::Builder::new().spawn(|| ()).err();
        support::send(
            writer,
            std.map_or(0, |error| error.raw_os_error().unwrap_or(-1)),
        );
        let library = rawthread::Builder::new().try_spawn(|| ()).err();
        support::send(
            writer,
            library.map_or(0, |error| error.raw_os_error().unwrap_or(-1)),
        );
        0
    })
    .ok()?;
    let made = child.wait().is_ok_and(|status| status.success());
    made.then(|| (support::receive(reader), support::receive(reader)))
        .and_then(|(std, library)| Some((std?, library?)))
}

extern "C" fn nothing(_: *mut libc::c_void) -> *mut libc::c_void {
    std::ptr::null_mut()
}

/// What `pthread_create` answers where no memory is left for a stack.
fn create_without_memory() -> i32 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let limit = libc::rlimit {
        rlim_cur: pages * 4096 + (1 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads one `rlimit`; a thread that does nothing.
    unsafe {
        libc::setrlimit(libc::RLIMIT_AS, &limit);
        let mut thread = std::mem::zeroed();
        libc::pthread_create(&mut thread, std::ptr::null(), nothing, std::ptr::null_mut())
    }
}

pub(super) fn container(log: &mut ExperimentLog) {
    let word = |errno: i32| {
        if errno == 0 {
            "made".to_owned()
        } else {
            name_of(errno)
        }
    };
    let said = |(std, library): (i32, i32)| {
        format!("std::thread: {}, rawthread: {}", word(std), word(library))
    };
    let Some(seen) = threads_where_refused(libc::SYS_clone3, libc::ENOSYS) else {
        return log.skip("no seccomp filter can be set here");
    };
    log.check(
        seen == (0, 0),
        format!(
            "a sandbox answers clone3 with ENOSYS: {}: both turn to clone",
            said(seen)
        ),
    );
    if let Some(seen) = threads_where_refused(libc::SYS_clone3, libc::EPERM) {
        let text = format!(
            "it answers clone3 with EPERM, as container runtimes of 2021 did: {}",
            said(seen)
        );
        if GLIBC {
            log.check([0, libc::EPERM].contains(&seen.0), text);
        } else {
            log.note(text);
        }
    }
    let errno = in_a_fork(create_without_memory);
    log.check(
        errno == libc::EAGAIN,
        format!(
            "pthread_create without memory for a stack: {}, though mmap said ENOMEM",
            name_of(errno)
        ),
    );
    log.note("EAGAIN comes as well from clone itself, at pids.max and RLIMIT_NPROC: see the question about limits");
}
