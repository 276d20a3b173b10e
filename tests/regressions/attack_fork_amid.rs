//! Forks in the middle of a spawn, and of a call that has pinned a thread: what the child has copied in
//! mid-state is not what it waits for, and what it makes is waited for.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rawthread::sync::PiMutex;
use rawthread::{JoinHandle, Signal, warm};

use super::common::{in_subprocess, poll_until, watchdog};
use super::{filter, supervisor};

/// How a test forks.
#[derive(Clone, Copy, Debug)]
enum How {
    Libc,
    /// Without libc's fork handlers: this crate learns of it when it is next asked for a thread.
    Bare,
}

impl How {
    fn fork(self) -> i32 {
        let pid = match self {
            Self::Libc => unsafe { libc::fork() },
            Self::Bare => unsafe {
                libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32
            },
        };
        assert!(pid >= 0);
        if pid == 0 {
            watchdog(20);
        }
        pid
    }
}

/// A thread that hangs at its end has all signals blocked: no watchdog of its own ends such a child.
fn assert_good_end(pid: i32, what: &str) {
    let (start, mut status) = (Instant::now(), -1);
    while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > Duration::from_secs(30) {
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(status, 0, "{what}: the status of the child");
}

thread_local!(static FORK: Cell<Option<How>> = const { Cell::new(None) });
thread_local!(static FORKED: Cell<Option<i32>> = const { Cell::new(None) });

fn fork_if_asked() {
    if let Some(how) = FORK.take() {
        FORKED.set(Some(how.fork()));
    }
}

/// A hook of the program's forks in the middle of a spawn. The count of the thread was the parent's, so
/// in the child the scope ended while its thread ran.
#[test]
fn a_scope_waits_where_a_hook_forked() {
    if !in_subprocess("attack_fork_amid::a_scope_waits_where_a_hook_forked") {
        return;
    }
    rawthread::add_spawn_hook(|_| {
        fork_if_asked();
        || ()
    });
    scopes_wait(|| ());
}

/// A fork that this crate has not noticed when a scope counts the next thread.
#[test]
fn a_scope_waits_where_its_closure_forked() {
    if !in_subprocess("attack_fork_amid::a_scope_waits_where_its_closure_forked") {
        return;
    }
    scopes_wait(fork_if_asked);
}

fn scopes_wait(before_spawn: fn()) {
    fn work(done: &AtomicBool) {
        rawthread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::SeqCst);
    }
    rawthread::spawn(|| ()).join().unwrap();
    for how in [How::Libc, How::Bare] {
        for tasks in [false, true] {
            let done = AtomicBool::new(false);
            if tasks {
                warm::scope(|s| {
                    s.spawn(|| ()).join().unwrap();
                    FORK.set(Some(how));
                    before_spawn();
                    s.spawn(|| work(&done));
                });
            } else {
                rawthread::scope(|s| {
                    s.spawn(|| ()).join().unwrap();
                    FORK.set(Some(how));
                    before_spawn();
                    s.spawn(|| work(&done));
                });
            }
            let is_done = done.load(Ordering::SeqCst);
            let pid = FORKED.take().expect("it was asked to fork");
            if pid == 0 {
                unsafe { libc::_exit(i32::from(!is_done)) };
            }
            assert!(is_done);
            assert_good_end(pid, &format!("tasks: {tasks}, {how:?}"));
        }
    }
}

/// What the handler's fork returned; -1 before.
static OF_HANDLER: AtomicI32 = AtomicI32::new(-1);
static SPAWNER: AtomicI32 = AtomicI32::new(0);

extern "C" fn fork_in_handler(_: i32) {
    OF_HANDLER.store(How::Libc.fork(), Ordering::SeqCst);
}

/// In the supervisor, which holds the spawner's clone: the kernel runs the handler before it makes the thread, and
/// the call once more after it, in the parent and in the child.
fn signal_spawner() {
    let spawner = SPAWNER.load(Ordering::SeqCst);
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), spawner, libc::SIGUSR1) };
}

/// A signal handler that forks between the count of a thread and its clone, which the kernel makes once more in
/// both processes: no step of the spawner's lies between. The thread that the child makes so was counted in the
/// parent. A scope waits for it all the same; a handle and a set, from which it borrows nothing, say that it is
/// the parent's.
#[test]
fn scopes_wait_and_handles_panic_where_a_handler_forked_before_the_clone() {
    fn work(done: &AtomicBool) {
        rawthread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::SeqCst);
    }
    fn in_scope(done: &'static AtomicBool, arm: fn()) {
        rawthread::scope(|s| {
            arm();
            let _ = rawthread::Builder::new().spawn_scoped(s, || work(done));
        });
    }
    fn in_task_scope(done: &'static AtomicBool, arm: fn()) {
        warm::scope(|s| {
            arm();
            s.spawn(|| work(done));
        });
    }
    fn in_set(done: &'static AtomicBool, arm: fn()) {
        let mut set = rawthread::JoinSet::new();
        arm();
        set.spawn(move || work(done));
        set.join_next().unwrap().unwrap();
    }
    fn joined(done: &'static AtomicBool, arm: fn()) {
        arm();
        rawthread::spawn(move || work(done)).join().unwrap();
    }
    type Case = fn(&'static AtomicBool, fn());
    const CASES: [(&str, Case, bool); 4] = [
        ("scope", in_scope, true),
        ("task scope", in_task_scope, true),
        ("set", in_set, false),
        ("joined", joined, false),
    ];
    if !in_subprocess(
        "attack_fork_amid::scopes_wait_and_handles_panic_where_a_handler_forked_before_the_clone",
    ) {
        return;
    }
    let host = rawthread::host().unwrap();
    if host.support() != rawthread::Support::Full {
        skip!("libc blocks signals where it makes a thread: the handler comes after it");
    }
    let minor = host.version().and_then(|version| version.split('.').nth(1));
    if minor.is_none_or(|minor| minor.parse().is_ok_and(|minor: u32| minor < 34)) {
        skip!(
            "with so old a glibc the first clone may be that which gives a slot back, and the child joins it in vain"
        );
    }
    watchdog(60);
    unsafe {
        libc::signal(
            libc::SIGUSR1,
            fork_in_handler as *const () as libc::sighandler_t,
        )
    };
    // Two idle slots: a case's thread needs a clone, and no thread of libc's.
    let idle = [(); 2].map(|()| rawthread::spawn(|| ()));
    // Reaped: a slot that its thread is still leaving is no idle one, and libc blocks signals where it makes a thread.
    idle.into_iter()
        .for_each(|thread| thread.join_reaped().unwrap());
    SPAWNER.store(unsafe { libc::gettid() }, Ordering::SeqCst);
    if !supervisor::supervise(libc::SYS_clone3) {
        skip!("no supervisors here");
    }
    for (name, case, waits) in CASES {
        let done: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        OF_HANDLER.store(-1, Ordering::SeqCst);
        let outcome = catch_unwind(|| case(done, || supervisor::act_at(0, signal_spawner)));
        let is_done = done.load(Ordering::SeqCst);
        let pid = OF_HANDLER.load(Ordering::SeqCst);
        if pid == 0 {
            let good = match outcome {
                Ok(()) => is_done,
                Err(payload) => {
                    let text = payload.downcast_ref::<String>().unwrap();
                    !waits && text.contains("the process that this one was forked from")
                }
            };
            unsafe { libc::_exit(i32::from(!good)) };
        }
        assert!(outcome.is_ok() && is_done, "{name}");
        if pid > 0 {
            assert_good_end(pid, name);
        } else {
            println!("SKIP: {name}: no thread was made by this crate's clone3");
            supervisor::disarm();
        }
    }
}

/// A thread signals itself by its handle, which pins its number; the handler forks. In the child the pin was
/// taken away, and given back: the thread waited at its end for 16 million pins.
#[test]
fn a_thread_ends_in_the_child_of_a_handler_that_forked_amid_its_own_signal() {
    static CHILD: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn fork(_: i32) {
        CHILD.store(How::Libc.fork(), Ordering::SeqCst);
    }
    if !in_subprocess(
        "attack_fork_amid::a_thread_ends_in_the_child_of_a_handler_that_forked_amid_its_own_signal",
    ) {
        return;
    }
    unsafe { libc::signal(libc::SIGUSR1, fork as *const () as libc::sighandler_t) };
    let (send, receive) = std::sync::mpsc::channel::<JoinHandle<()>>();
    let thread = rawthread::spawn(move || {
        let own = receive.recv().unwrap();
        own.signal(Signal::new(libc::SIGUSR1).unwrap()).unwrap();
        if CHILD.load(Ordering::SeqCst) == 0 {
            // This thread is not the last: it does not end the process.
            drop(rawthread::spawn(|| {
                rawthread::sleep(Duration::from_millis(60));
            }));
        }
        std::mem::forget(own);
    });
    send.send(thread).unwrap();
    while CHILD.load(Ordering::SeqCst) == -1 {
        rawthread::sleep(Duration::from_millis(1));
    }
    assert_good_end(CHILD.load(Ordering::SeqCst), "a signal to itself");
}

/// The kernel says EINVAL between the end of a lock's holder and the first step of the waiter that gets the
/// lock. Here a filter says it for longer.
#[test]
fn a_lock_is_asked_for_again_where_the_kernel_finds_no_owner() {
    if !in_subprocess("attack_fork_amid::a_lock_is_asked_for_again_where_the_kernel_finds_no_owner")
    {
        return;
    }
    static LOCK: PiMutex<()> = PiMutex::new(());
    static HELD: AtomicBool = AtomicBool::new(false);
    static ASKED: AtomicBool = AtomicBool::new(false);
    let holder = rawthread::spawn(|| {
        std::mem::forget(LOCK.lock());
        HELD.store(true, Ordering::SeqCst);
        poll_until("the lock is asked for", || ASKED.load(Ordering::SeqCst));
        rawthread::sleep(Duration::from_millis(20));
    });
    poll_until("the lock is held", || HELD.load(Ordering::SeqCst));
    let asked = rawthread::spawn(|| {
        let operation = (libc::FUTEX_LOCK_PI | libc::FUTEX_PRIVATE_FLAG) as u32;
        let filtered = filter::refuse_where(libc::SYS_futex, Some((1, operation)), libc::EINVAL);
        ASKED.store(true, Ordering::SeqCst);
        filtered.then(|| LOCK.lock_checked().map(drop).unwrap_err().raw_os_error())
    });
    let Some(answer) = asked.join().unwrap() else {
        skip!("no filters here");
    };
    assert_eq!(answer, Some(libc::EOWNERDEAD));
    holder.join().unwrap();
}
