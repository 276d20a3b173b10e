//! Threads and tasks at their end, while a call uses their tid.
#![allow(unsafe_code, reason = "gives a thread memory of the test")]

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::time::Instant;

use super::builder::{Builder, spawn};
use super::join::handle::JoinHandle;
use super::park::park;
use super::warm;
use crate::runtime::record::{self, ThreadRef};
use crate::runtime::{Rt, Runtime};
use crate::sys::{signal, task};

/// Lets the thread end, and returns while it is at its end and a pin holds it there; then calls `held`.
fn held_at_its_end<T>(handle: &JoinHandle<T>, held: impl FnOnce()) {
    let state = handle.thread().record().state();
    let pin = state.pin_tid(Rt::fork_generation).expect("it runs");
    handle.thread().unpark();
    while !state.is_done() {
        std::thread::yield_now();
    }
    // Time for a thread that does not wait to be gone: without it a broken one might pass.
    std::thread::sleep(Duration::from_millis(20));
    held();
    drop(pin);
}

#[test]
fn a_thread_stays_while_its_tid_is_in_use() {
    let thread = spawn(park);
    held_at_its_end(&thread, || {
        assert_eq!(signal::send_to_thread(task::pid(), thread.tid(), 0), Ok(()));
    });
    thread.join().expect("no panic");
}

/// The kernel thread of a task goes on; its tid is no other task's while a call means this one.
#[test]
fn a_worker_serves_no_other_task_while_a_tasks_tid_is_in_use() {
    let task = warm::spawn(park);
    let tid = task.tid();
    held_at_its_end(&task, || {
        for _ in 0..4 {
            assert_ne!(warm::spawn(Rt::tid).join().expect("no panic"), tid);
        }
    });
    task.join().expect("no panic");
}

/// On memory of the caller's own a thread is not finished before it has left that.
#[test]
fn a_finished_thread_has_left_the_callers_stack() {
    let mut memory = std::vec![0u8; 256 * 1024];
    // SAFETY: no other code uses the vector until the thread is finished.
    let builder = unsafe { Builder::new().stack(memory.as_mut_ptr(), memory.len()) };
    let thread = match builder.try_spawn(park) {
        Ok(thread) => thread,
        Err(error) => return std::println!("SKIP: {error}"),
    };
    held_at_its_end(&thread, || assert!(!thread.is_finished()));
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    // What `Builder::stack` promises none: the control block of a thread of libc's lies there until the join.
    if !Rt::is_served_by_libc() {
        memory = std::vec::Vec::new();
    }
    thread.join().expect("no panic");
    drop(memory);
}

/// A thread that ended by a system call of its own is not done, and its number may be another thread's.
#[test]
fn a_thread_that_the_kernel_saw_end_is_asked_nothing() {
    let thread = spawn(park);
    let word = thread.slot().clear_tid();
    // As the kernel leaves it; until the thread ends, only this test looks at it.
    let alive = word.swap(0, Ordering::Relaxed);
    let answer = thread.affinity();
    word.store(alive, Ordering::Relaxed);
    assert_eq!(
        answer.expect_err("it is gone").raw_os_error(),
        Some(libc::ESRCH)
    );
    thread.affinity().expect("it lives");
    thread.thread().unpark();
    thread.join().expect("no panic");
}

/// In the child of a task that forked no thread gives back the pin of its worker's own record.
#[test]
fn a_worker_ends_in_the_child_of_its_task_though_its_own_tid_was_pinned() {
    if Rt::is_served_by_libc() {
        return std::println!("SKIP: each task has a thread of its own");
    }
    let child = warm::spawn(|| {
        let worker = (1..=record::last_id())
            .filter_map(ThreadRef::of_id)
            .find(|record| record.state().is_worker() && record.tid() == Rt::tid())
            .expect("the worker has a record");
        let pin = worker.state().pin_tid(Rt::fork_generation);
        // SAFETY: the child makes threads of this crate and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // It was another thread's.
            core::mem::forget(pin);
            drop(spawn(|| std::thread::sleep(Duration::from_millis(60))));
        }
        child
    })
    .join()
    .expect("no panic");
    let (start, mut status) = (Instant::now(), -1);
    // SAFETY: writes one word.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        // At its end a thread has all signals blocked.
        if start.elapsed() > Duration::from_secs(30) {
            // SAFETY: the child was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(status, 0, "the status of the child");
}
