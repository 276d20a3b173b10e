//! Pooled tasks (`warm`) find what new threads find.
#![allow(unsafe_code, reason = "asks the kernel")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "libc calls that touch nothing but what stands beside them"
)]

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rawthread::warm;

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/support.rs"]
mod support;

mod builder;
mod float;
mod inherited;
mod unverified;

use common::{in_subprocess, warm_threads_are_kept, why_no_worker_is_kept};

fn tid() -> i32 {
    unsafe { libc::gettid() }
}

/// The kernel thread that serves the next task when nothing else runs; waits until it is idle. At once
/// where each task has a new thread.
fn settled() -> i32 {
    settled_by(|| warm::spawn(tid).join().unwrap())
}

/// [`settled`], for the tasks that `task` spawns.
fn settled_by(task: impl Fn() -> i32) -> i32 {
    let mut last = task();
    if why_no_worker_is_kept().is_some() {
        return last;
    }
    for _ in 0..1000 {
        let next = task();
        if next == last {
            return next;
        }
        last = next;
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no worker served two tasks in a row");
}

#[test]
fn a_kernel_thread_serves_many_tasks_and_each_sees_a_new_thread() {
    if !in_subprocess("a_kernel_thread_serves_many_tasks_and_each_sees_a_new_thread") {
        return;
    }
    static DROPS: AtomicU32 = AtomicU32::new(0);
    struct Noisy;
    impl Drop for Noisy {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
        static NOISY: Noisy = const { Noisy };
    }
    let (mut tids, mut ids) = (HashSet::new(), HashSet::new());
    for round in 1..=1000 {
        let (tid, id, count) = warm::spawn(|| {
            NOISY.with(|_| ());
            COUNT.set(COUNT.get() + 1);
            (tid(), rawthread::current().id(), COUNT.get())
        })
        .join()
        .unwrap();
        tids.insert(tid);
        assert!(ids.insert(id), "a thread id came twice");
        assert_eq!(count, 1, "a thread-local of an earlier task");
        assert_eq!(
            DROPS.load(Ordering::SeqCst),
            round,
            "destructors run before join returns"
        );
    }
    assert!(
        !warm_threads_are_kept() || tids.len() < 100,
        "{} kernel threads for 1000 tasks",
        tids.len()
    );
}

#[test]
fn panics_results_and_detaching_work_as_with_spawn() {
    let payload = warm::spawn(|| -> u8 { panic!("expected in this test") })
        .join()
        .unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"expected in this test")
    );
    static DROPS: AtomicU32 = AtomicU32::new(0);
    struct Result;
    impl Drop for Result {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    for _ in 0..500 {
        drop(warm::spawn(|| Result));
    }
    for _ in 0..500 {
        drop(warm::spawn(|| Result).join().unwrap());
    }
    while DROPS.load(Ordering::SeqCst) < 1000 {
        std::thread::yield_now();
    }
    let large = warm::spawn(|| [7u8; 100_000]).join().unwrap();
    assert!(large.iter().all(|byte| *byte == 7));
    let handle = warm::spawn(rawthread::park);
    let handle = handle.join_timeout(Duration::from_millis(5)).unwrap_err();
    assert!(!handle.is_finished());
    handle.thread().unpark();
    handle.join().unwrap();
}

#[test]
fn many_spawners_lose_no_task() {
    std::thread::scope(|scope| {
        for base in 0..4u64 {
            scope.spawn(move || {
                for round in 0..500 {
                    let handles: Vec<_> = (0..8)
                        .map(|n| warm::spawn(move || base * 100_000 + round * 10 + n))
                        .collect();
                    for (n, handle) in handles.into_iter().enumerate() {
                        assert_eq!(
                            handle.join().unwrap(),
                            base * 100_000 + round * 10 + n as u64
                        );
                    }
                }
            });
        }
    });
}

#[test]
fn tasks_race_with_the_end_of_idle_time() {
    if !in_subprocess("tasks_race_with_the_end_of_idle_time") {
        return;
    }
    warm::set_idle_time(Duration::from_micros(200));
    for round in 0..2000u64 {
        assert_eq!(warm::spawn(move || round).join().unwrap(), round);
        if round % 3 == 0 {
            std::thread::sleep(Duration::from_micros(150 + round % 100));
        }
    }
}

#[test]
fn idle_threads_leave_after_their_time_and_at_a_trim() {
    if !in_subprocess("idle_threads_leave_after_their_time_and_at_a_trim")
        || !warm_threads_are_kept()
    {
        return;
    }
    // By its tid: the number of threads may count one more, which libc or the harness just ends.
    let is_there = |tid: i32| std::path::Path::new(&format!("/proc/self/task/{tid}")).exists();
    warm::set_idle_time(Duration::from_millis(50));
    let worker = settled();
    common::poll_until("the idle thread leaves", || !is_there(worker));
    warm::set_idle_time(Duration::from_secs(3600));
    let worker = settled();
    std::thread::sleep(Duration::from_millis(100));
    assert!(is_there(worker));
    // A join returns before the thread that ran the task is idle, and a trim ends the idle ones: the
    // first one may come too early.
    common::poll_until("a trim ends the idle thread", || {
        rawthread::trim();
        !is_there(worker)
    });
}

#[test]
fn the_spawners_mask_and_name_are_inherited_each_time() {
    if !in_subprocess("the_spawners_mask_and_name_are_inherited_each_time") {
        return;
    }
    fn masked() -> bool {
        let mut set = unsafe { std::mem::zeroed() };
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
        unsafe { libc::sigismember(&set, libc::SIGUSR1) == 1 }
    }
    fn comm() -> String {
        let path = format!("/proc/self/task/{}/comm", tid());
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }
    settled();
    assert!(!warm::spawn(masked).join().unwrap());
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sigaddset(&mut set, libc::SIGUSR1) };
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    assert!(warm::spawn(masked).join().unwrap());
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
    assert!(!warm::spawn(masked).join().unwrap());
    // A task that names its thread does not name the next one.
    warm::spawn(|| unsafe { libc::prctl(libc::PR_SET_NAME, c"renamed".as_ptr()) })
        .join()
        .unwrap();
    let mine = comm();
    for _ in 0..10 {
        assert_eq!(warm::spawn(comm).join().unwrap(), mine);
    }
}

#[test]
fn a_thread_that_cannot_be_made_fresh_ends() {
    if !in_subprocess("a_thread_that_cannot_be_made_fresh_ends") {
        return;
    }
    let changes: [(&str, fn()); 4] = [
        ("affinity", || {
            let one = rawthread::CpuSet::current().unwrap().iter().next().unwrap();
            let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
            unsafe { libc::CPU_SET(one, &mut set) };
            unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
        }),
        ("nice", || {
            assert_eq!(
                unsafe { libc::setpriority(libc::PRIO_PROCESS, tid() as u32, 7) },
                0
            )
        }),
        ("directory", || {
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0)
        }),
        ("descriptors", || {
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0)
        }),
    ];
    for (what, change) in changes {
        let several = rawthread::available_parallelism().unwrap().get() > 1;
        if what == "affinity" && !several {
            println!("SKIP: one processor: its affinity cannot be narrowed");
            continue;
        }
        let changed = warm::spawn(move || {
            change();
            tid()
        });
        let spoilt = changed.join().unwrap();
        // Had it stayed it would be the one that became idle last, and serve soon.
        for _ in 0..50 {
            assert_ne!(warm::spawn(tid).join().unwrap(), spoilt, "{what}");
        }
    }
}

#[test]
fn a_pidfd_of_a_task_becomes_ready_at_its_end() {
    use std::os::fd::AsRawFd;
    if !in_subprocess("a_pidfd_of_a_task_becomes_ready_at_its_end") {
        return;
    }
    // A worker that became idle would end later, too.
    warm::set_idle_time(Duration::from_secs(3600));
    let handle = warm::spawn(rawthread::park);
    let descriptor = match handle.pidfd() {
        Ok(descriptor) => descriptor,
        Err(error) => {
            println!("SKIP: {error}");
            handle.thread().unpark();
            return handle.join().unwrap();
        }
    };
    handle.thread().unpark();
    handle.join().unwrap();
    let mut set = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    assert_eq!(unsafe { libc::poll(&mut set, 1, 60_000) }, 1);
}

#[test]
fn threads_are_warm_in_a_forked_child_too() {
    if !in_subprocess("threads_are_warm_in_a_forked_child_too") {
        return;
    }
    settled();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // The parent's idle threads do not exist here.
        let sum: u32 = (0..50)
            .map(|n| warm::spawn(move || n).join().unwrap())
            .sum();
        unsafe { libc::_exit(i32::from(sum != 1225)) };
    }
    let mut status = -1;
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(warm::spawn(|| 5).join().unwrap(), 5);
}

/// The control words of a worker's slot serve other threads once the worker is gone.
#[test]
fn a_finished_task_stays_finished_when_its_workers_slot_is_used_again() {
    if !in_subprocess("a_finished_task_stays_finished_when_its_workers_slot_is_used_again")
        || !warm_threads_are_kept()
    {
        return;
    }
    let handle = warm::spawn(|| 7);
    common::poll_until("the task is done", || handle.is_finished());
    let stack = handle.stack();
    common::poll_until("the worker has left", || {
        rawthread::trim();
        std::fs::read_dir("/proc/self/task").unwrap().count() <= 2
    });
    rawthread::trim();
    let others: Vec<_> = (0..8)
        .map(|_| {
            rawthread::Builder::new()
                .stack_size(64 << 10)
                .spawn(rawthread::park)
                .unwrap()
        })
        .collect();
    assert!(handle.is_finished());
    assert_eq!(handle.stack().guard, stack.guard);
    let handle = handle.join_timeout(std::time::Duration::from_secs(1));
    assert_eq!(handle.unwrap().unwrap(), 7);
    for other in others {
        other.thread().unpark();
        other.join().unwrap();
    }
}

/// Each thread is libc's own (`Support::Libc`), and the suite holds for it.
#[test]
fn threads_that_libc_makes_do_the_same() {
    support::rerun_by_libc(&[
        // Each task has a kernel thread of its own.
        "a_kernel_thread_serves_many_tasks",
        "float::a_task_has_its_spawners_rounding",
        "idle_threads_leave_after_their_time",
        "unverified::verified_and_unverified_tasks_have",
    ]);
}
