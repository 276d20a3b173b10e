//! Forks in the middle of the first spawn, while it examines libc: the thread that does so is not in the child.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use super::common::{MUSL, in_subprocess, watchdog};
use super::supervisor;

/// Between two of these calls the first spawn does all that it does. Those are not among them that libc makes
/// while it holds a lock that fork(2) takes, as its allocator does.
const CALLS: [(&str, libc::c_long); 12] = [
    ("clone3", libc::SYS_clone3),
    ("clone", libc::SYS_clone),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("sigaltstack", libc::SYS_sigaltstack),
    ("set_robust_list", libc::SYS_set_robust_list),
    ("rseq", libc::SYS_rseq),
    ("set_tid_address", libc::SYS_set_tid_address),
    ("prctl", libc::SYS_prctl),
    ("exit", libc::SYS_exit),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
    ("getrlimit", libc::SYS_prlimit64),
];

/// The child's pid; 0 before the fork.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// What handled SIGSEGV and SIGBUS before the first spawn.
static BEFORE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn handlers() -> [usize; 2] {
    [libc::SIGSEGV, libc::SIGBUS].map(|signal| unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action);
        action.sa_sigaction
    })
}

/// In the supervisor, while the first spawn stands still.
fn fork() {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(20);
        for round in 0..3 {
            assert_eq!(rawthread::spawn(move || round).join().unwrap(), round);
            let waker = rawthread::current();
            let task = rawthread::warm::spawn(move || waker.unpark());
            rawthread::park();
            task.join().unwrap();
        }
        let before = BEFORE.each_ref().map(|at| at.load(Ordering::Relaxed));
        // A stack overflow is reported in the child, too.
        let installed = handlers().iter().zip(before).all(|(now, was)| *now != was);
        unsafe { libc::_exit(if installed { 0 } else { 3 }) };
    }
    CHILD.store(pid, Ordering::Release);
}

/// A process whose first spawn is held at its `passed + 1`-th `call`; its exit status is the child's, 100 if there
/// were not so many, 101 if there are no supervisors here.
fn held_at(call: libc::c_long, passed: u32) -> i32 {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(40);
        let status = std::thread::spawn(move || {
            for (at, handler) in BEFORE.iter().zip(handlers()) {
                at.store(handler, Ordering::Relaxed);
            }
            if !supervisor::supervise(call) {
                return 101;
            }
            supervisor::act_at(passed, fork);
            rawthread::spawn(|| ()).join().unwrap();
            supervisor::disarm();
            let (child, mut status) = (CHILD.load(Ordering::Acquire), 0);
            if child == 0 {
                return 100;
            }
            unsafe { libc::waitpid(child, &mut status, 0) };
            if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                102
            }
        });
        unsafe { libc::_exit(status.join().unwrap_or(103)) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        104
    }
}

/// The child's own first spawn works, and nothing of what comes with it is left out.
#[test]
fn a_child_forked_amid_the_first_spawn_makes_its_own() {
    if !in_subprocess("first_fork::a_child_forked_amid_the_first_spawn_makes_its_own") {
        return;
    }
    if MUSL {
        skip!("musl's fork waits for the lock that its pthread_create holds amid its calls");
    }
    let mut held = 0;
    for (name, call) in CALLS {
        for passed in 0..12 {
            match held_at(call, passed) {
                0 => held += 1,
                100 => break,
                101 => skip!("no supervisors here"),
                status => {
                    panic!("{status} where the first spawn makes its call {passed} of {name}")
                }
            }
        }
    }
    assert!(held > 10, "{held}");
}
