//! One system call fails, once: the n-th of its kind, for each n until a scenario makes fewer, with
//! each errno that its manual page names. The answer is an error or the result, nothing is lost,
//! and the next spawn works.
//!
//! `RAWTHREAD_FAULTS=all` tries every errno in every scenario; without it each call has one or two, and the
//! suite takes some seconds. A filter hands the calls to a thread of the same process
//! (`supervisor`), so that each case runs in a fork of its own, where nothing else does.
#![allow(unsafe_code, reason = "installs filters, forks")]

#[path = "../common/mod.rs"]
mod common;
mod scenarios;
mod supervisor;

use common::{forked, in_subprocess};
use scenarios::Scenario;

/// By name, for the message, with the errnos of the manual page, the likeliest first.
macro_rules! calls {
    ($($name:ident: $($errno:ident)*;)*) => {
        [$((stringify!($name), libc::$name, &[$((stringify!($errno), libc::$errno)),*] as &[_])),*]
    };
}

type Call = (&'static str, i64, &'static [(&'static str, i32)]);

const CALLS: [Call; 36] = calls![
    SYS_clone3: EAGAIN ENOMEM ENOSYS EPERM EINVAL;
    SYS_clone: EAGAIN ENOMEM EPERM;
    SYS_mmap: ENOMEM EAGAIN EPERM;
    SYS_munmap: ENOMEM EINVAL;
    SYS_mprotect: ENOMEM EACCES;
    SYS_madvise: ENOMEM EAGAIN EINVAL;
    SYS_mincore: ENOMEM EAGAIN;
    SYS_rt_sigprocmask: EFAULT EINVAL;
    SYS_rt_sigaction: EINVAL;
    SYS_sigaltstack: ENOMEM EPERM;
    SYS_set_robust_list: EINVAL ENOSYS;
    SYS_get_robust_list: EPERM ENOSYS;
    SYS_set_tid_address: ENOSYS;
    SYS_sched_setaffinity: EINVAL EPERM;
    SYS_sched_getaffinity: EINVAL;
    SYS_sched_setattr: EPERM EBUSY E2BIG;
    SYS_prctl: EINVAL EPERM;
    SYS_tgkill: EAGAIN ESRCH;
    SYS_openat: EMFILE ENFILE ENOENT;
    SYS_read: EIO EINTR;
    SYS_prlimit64: EPERM;
    SYS_getrandom: EAGAIN ENOSYS;
    SYS_pidfd_open: EMFILE ENOSYS;
    SYS_waitid: EINTR;
    SYS_pipe2: EMFILE ENFILE;
    SYS_getdents64: ENOENT;
    SYS_pread64: EIO EINTR;
    SYS_lseek: EINVAL;
    SYS_statx: EACCES ENOMEM;
    SYS_unshare: EPERM ENOMEM;
    SYS_sched_getattr: EINVAL EPERM;
    SYS_sched_getscheduler: EPERM;
    SYS_clock_nanosleep: EINTR;
    SYS_write: EIO EINTR;
    SYS_dup3: EBADF EINTR;
    SYS_execve: ENOENT ENOMEM
    ;
];

/// What libc calls on one architecture and not on the other.
#[cfg(target_arch = "x86_64")]
const OF_THIS_ARCH: [Call; 2] = calls![
    SYS_poll: ENOMEM EINTR;
    SYS_readlink: EACCES EIO
    ;
];
#[cfg(target_arch = "aarch64")]
const OF_THIS_ARCH: [Call; 2] = calls![
    SYS_ppoll: ENOMEM EINTR;
    SYS_readlinkat: EACCES EIO
    ;
];

fn calls() -> Vec<Call> {
    [&CALLS[..], &OF_THIS_ARCH[..]].concat()
}

/// A futex may also answer what no caller can prevent: that it was interrupted, or that the word changed.
const FUTEX: Call = (
    "SYS_futex",
    libc::SYS_futex,
    &[("EINTR", libc::EINTR), ("EAGAIN", libc::EAGAIN)],
);

/// A thread whose slot's word the kernel refuses to clear abandons the slot, once in a process: later ones are
/// not made that way.
const LOST_SLOT_KIB: usize = 4 << 10;

/// More calls of a kind than any scenario makes.
const MOST: u32 = 3000;

/// What a process holds when its threads have ended and idle memory was given back.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Holdings {
    tasks: usize,
    descriptors: usize,
    mapped_kib: usize,
}

impl Holdings {
    /// Idle workers and the kernel's own end of a thread take a moment: waits for `tasks`.
    fn after_trim(tasks: Option<usize>) -> Self {
        let count = |path| std::fs::read_dir(path).unwrap().count();
        rawthread::trim();
        if let Some(tasks) = tasks {
            common::poll_until("the threads ended", || {
                rawthread::trim();
                count("/proc/self/task") <= tasks
            });
        }
        // The memory of those that ended since.
        rawthread::trim();
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = statm.split_whitespace().next().unwrap().parse().unwrap();
        Self {
            tasks: count("/proc/self/task"),
            descriptors: count("/proc/self/fd"),
            mapped_kib: pages * 4,
        }
    }
}

fn can_supervise() -> bool {
    let can = forked(|| assert!(supervisor::supervise(libc::SYS_getppid))).is_ok();
    if !can {
        println!("SKIP: no seccomp listener here");
    }
    can
}

/// Every errno, or the likeliest.
fn errnos(call: &Call) -> &'static [(&'static str, i32)] {
    match std::env::var("RAWTHREAD_FAULTS").as_deref() {
        Ok("all") => call.2,
        _ => &call.2[..1],
    }
}

#[cfg(not(target_env = "gnu"))]
fn one_arena() {}

/// Glibc's malloc makes an arena for each of many threads: one for all, so that mapped bytes tell.
#[cfg(target_env = "gnu")]
fn one_arena() {
    // SAFETY: sets a number.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// In a process that has made threads: each n-th call in turn, in one process, so that what each
/// loses adds up.
fn every_later_call(name: &str, scenario: Scenario, call: Call, errno: i32) -> Result<u32, String> {
    let tried = Shared::new();
    forked(|| {
        one_arena();
        assert!(supervisor::supervise(call.1));
        for _ in 0..3 {
            scenario().unwrap();
        }
        let before = Holdings::after_trim(Some(2));
        let mut passed = 0;
        loop {
            supervisor::arm(passed, errno);
            let outcome = scenario();
            let failed = supervisor::disarm();
            if !failed {
                outcome.unwrap();
                break;
            }
            passed += 1;
            tried.set(passed);
            assert!(passed < MOST, "{name}: {} never ends", call.0);
            scenarios::plain().expect("the next spawn");
        }
        scenario().unwrap();
        let after = Holdings::after_trim(Some(before.tasks));
        let allowed = before.mapped_kib
            + if call.1 == libc::SYS_set_tid_address {
                LOST_SLOT_KIB
            } else {
                256
            };
        assert!(
            after.descriptors <= before.descriptors && after.mapped_kib <= allowed,
            "{before:?}, {after:?} after {passed} faults"
        );
    })
    .map(|()| tried.get())
    .map_err(|end| format!("{name}, {}, fault {}: {end}", call.0, tried.get()))
}

/// The n-th call of a process that has made no thread of the crate yet.
fn every_first_call(name: &str, scenario: Scenario, call: Call, errno: i32) -> Result<u32, String> {
    for passed in 0..MOST {
        let failed = Shared::new();
        forked(|| {
            assert!(supervisor::supervise(call.1));
            supervisor::arm(passed, errno);
            let outcome = scenario();
            failed.set(supervisor::disarm().into());
            if failed.get() == 0 {
                outcome.unwrap();
            }
            scenarios::plain().expect("the next spawn");
            scenario().unwrap();
            let after = Holdings::after_trim(Some(2));
            assert_eq!(after.tasks, 2);
        })
        .map_err(|end| format!("first {name}, {}, fault {}: {end}", call.0, passed + 1))?;
        if failed.get() == 0 {
            return Ok(passed);
        }
    }
    panic!("{name}: {} never ends", call.0);
}

/// A number that a forked child leaves for its parent.
struct Shared(*mut u32);

impl Shared {
    fn new() -> Self {
        // SAFETY: a fresh mapping.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page.cast())
    }

    fn set(&self, value: u32) {
        // SAFETY: mapped by `new`; parent and child take turns.
        unsafe { self.0.write_volatile(value) }
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.0.read_volatile() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Runs every case; a failure names scenario, call and number.
fn try_all(
    every: fn(&str, Scenario, Call, i32) -> Result<u32, String>,
    scenarios: &[(&str, Scenario)],
    calls: &[Call],
) {
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, scenario) in scenarios {
        for call in calls {
            for (errno_name, errno) in errnos(call) {
                match every(name, *scenario, *call, *errno) {
                    Ok(faults) => tried += faults,
                    Err(what) => wrong.push(format!("{what} ({errno_name})")),
                }
            }
        }
    }
    println!("{tried} faults");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried > 0, "nothing was refused");
}

#[test]
fn each_call_of_the_first_spawn_fails_once() {
    if in_subprocess("each_call_of_the_first_spawn_fails_once") && can_supervise() {
        try_all(every_first_call, &scenarios::ALL[..1], &calls());
    }
}

#[test]
fn each_call_of_later_spawns_fails_once() {
    if in_subprocess("each_call_of_later_spawns_fails_once") && can_supervise() {
        try_all(every_later_call, &scenarios::ALL, &calls());
    }
}

#[test]
fn each_futex_call_is_interrupted_once() {
    if in_subprocess("each_futex_call_is_interrupted_once") && can_supervise() {
        try_all(every_later_call, &scenarios::ALL, &[FUTEX]);
    }
}

/// Glibc ends the process where a pthread of its own, and so a donor, is refused this call. A thread that has its
/// TCB runs without a restartable sequence.
#[test]
fn a_thread_on_a_used_stack_needs_no_restartable_sequence() {
    if !in_subprocess("a_thread_on_a_used_stack_needs_no_restartable_sequence") || !can_supervise()
    {
        return;
    }
    forked(|| {
        assert!(supervisor::supervise(libc::SYS_rseq));
        scenarios::plain().unwrap();
        for errno in [libc::EINVAL, libc::EBUSY, libc::EPERM, libc::ENOSYS] {
            supervisor::refuse_all(errno);
            scenarios::plain().unwrap();
            assert!(!supervisor::disarm(), "the refusals went on to the end");
        }
        scenarios::plain().unwrap();
    })
    .unwrap();
}

/// Map entries of no access that a thread's stack with guards adds, after a first spawn whose n-th madvise fails.
fn guard_entries(passed: u32, errno: i32) -> Result<u32, String> {
    let added = Shared::new();
    forked(|| {
        one_arena();
        assert!(supervisor::supervise(libc::SYS_madvise));
        let entries = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter(|line| line.contains(" ---p ")).count()
        };
        let before = entries();
        supervisor::arm(passed, errno);
        let _ = scenarios::plain();
        supervisor::disarm();
        let threads = [(); 3].map(|()| rawthread::spawn(rawthread::park));
        added.set((entries() - before) as u32);
        for thread in threads {
            thread.thread().unpark();
            thread.join().unwrap();
        }
    })
    .map(|()| added.get())
}

/// Want of memory at the first guard of the process passes: later guards are the kernel's marks all the same.
#[test]
fn a_first_guard_without_memory_does_not_choose_the_guards_of_later_ones() {
    if !in_subprocess("a_first_guard_without_memory_does_not_choose_the_guards_of_later_ones")
        || !can_supervise()
    {
        return;
    }
    if guard_entries(MOST, libc::ENOMEM).unwrap() != 0 {
        println!("SKIP: no lightweight guards here");
        return;
    }
    for errno in [libc::ENOMEM, libc::EAGAIN] {
        for passed in 0..8 {
            assert_eq!(guard_entries(passed, errno), Ok(0), "madvise {passed}");
        }
    }
    // An answer of another kind does choose them, for good.
    let chosen = |passed| guard_entries(passed, libc::EINVAL).unwrap() >= 3;
    assert!((0..8).any(chosen), "no fault met a guard");
}

/// A wait that is interrupted for ever ends at its time limit, and one without a limit when the thread ends.
#[test]
fn a_wait_that_is_always_interrupted_keeps_its_deadline() {
    if !in_subprocess("a_wait_that_is_always_interrupted_keeps_its_deadline") || !can_supervise() {
        return;
    }
    forked(|| {
        assert!(supervisor::supervise(libc::SYS_futex));
        scenarios::plain().unwrap();
        supervisor::refuse_all(libc::EINTR);
        for _ in 0..3 {
            scenarios::timed_joins().unwrap();
            scenarios::plain().unwrap();
        }
        assert!(!supervisor::disarm(), "the refusals went on to the end");
    })
    .unwrap();
}
