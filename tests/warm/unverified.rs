//! What `warm::spawn_unverified` promises, and what it does not touch.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rawthread::warm;

use crate::common::{in_subprocess, poll_until, warm_threads_are_kept};
use crate::{settled, settled_by, tid};

/// The worker that serves the next unverified task when nothing else runs; waits until it is idle.
fn settled_unverified() -> i32 {
    settled_by(|| warm::spawn_unverified(tid).join().unwrap())
}

fn nice() -> i32 {
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

#[test]
fn an_unverified_task_finds_fresh_thread_locals_and_its_spawners_mask() {
    if !in_subprocess(
        "unverified::an_unverified_task_finds_fresh_thread_locals_and_its_spawners_mask",
    ) {
        return;
    }
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    fn set_of(mask: i32, signal: i32) -> bool {
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        unsafe {
            libc::sigaddset(&mut set, signal);
            libc::pthread_sigmask(mask, &set, &mut set);
            libc::sigismember(&set, signal) == 1
        }
    }
    for round in 0..200 {
        let blocks = round % 2 == 0;
        set_of(
            if blocks {
                libc::SIG_BLOCK
            } else {
                libc::SIG_UNBLOCK
            },
            libc::SIGUSR1,
        );
        let (count, blocked) = warm::spawn_unverified(|| {
            COUNT.set(COUNT.get() + 1);
            (COUNT.get(), set_of(libc::SIG_BLOCK, libc::SIGUSR1))
        })
        .join()
        .unwrap();
        assert_eq!((count, blocked), (1, blocks));
    }
}

/// What an unverified task changes stays on its worker, and no task of `spawn` runs there.
#[test]
fn verified_and_unverified_tasks_have_workers_of_their_own() {
    if !in_subprocess("unverified::verified_and_unverified_tasks_have_workers_of_their_own")
        || !warm_threads_are_kept()
    {
        return;
    }
    static OVER: AtomicBool = AtomicBool::new(false);
    warm::set_idle_time(Duration::from_secs(3600));
    let verified = settled();
    let unverified = settled_unverified();
    assert_ne!(verified, unverified);
    let before = nice();
    let changed = warm::spawn_unverified(|| {
        let worker = tid();
        assert_eq!(
            unsafe { libc::setpriority(libc::PRIO_PROCESS, worker as u32, 7) },
            0
        );
        worker
    });
    let changed = changed.join().unwrap();
    // It is not checked, so it serves on as it is. The worker that became idle last serves first, so
    // each task holds its own until the changed one has been met.
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut held = Vec::new();
    poll_until("the changed worker serves again", || {
        let sender = sender.clone();
        held.push(warm::spawn_unverified(move || {
            sender.send((tid(), nice())).unwrap();
            poll_until("the last task began", || OVER.load(Ordering::SeqCst));
        }));
        let (by, nice) = receiver.recv().unwrap();
        assert!(by != changed || nice == 7);
        by == changed
    });
    OVER.store(true, Ordering::SeqCst);
    held.into_iter().for_each(|task| task.join().unwrap());
    for _ in 0..50 {
        let (by, nice) = warm::spawn(|| (tid(), nice())).join().unwrap();
        assert_ne!(by, changed);
        assert_eq!(nice, before);
    }
}

/// A task's descriptors are its spawner's, verified or not: an `OwnedFd` may have gone with it.
#[test]
fn an_unverified_task_has_its_spawners_descriptors() {
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
    use std::os::fd::AsRawFd;
    if !in_subprocess("unverified::an_unverified_task_has_its_spawners_descriptors") {
        return;
    }
    fn answers((mut reader, mut writer): (PipeReader, PipeWriter)) -> bool {
        writer.write_all(b"x").is_ok() && {
            let mut byte = [0];
            reader.read_exact(&mut byte).is_ok() && byte == *b"x"
        }
    }
    settled_unverified();
    // SAFETY: descriptors pass only among threads that share one table: this is the test.
    let private = unsafe { rawthread::Builder::new().private_fds() };
    let spawner = private.spawn(|| {
        for _ in 0..20 {
            let ends = pipe().unwrap();
            // Numbers that the process's own table has not.
            assert!(ends.0.as_raw_fd() > 2);
            assert!(warm::spawn_unverified(|| answers(ends)).join().unwrap());
        }
    });
    let spawner = match spawner {
        Ok(spawner) => spawner,
        Err(error) => {
            println!("SKIP: {error}");
            return;
        }
    };
    spawner.join().unwrap();
    // And those of the private table's tasks serve no spawner with the process's.
    for _ in 0..20 {
        let ends = pipe().unwrap();
        assert!(warm::spawn_unverified(|| answers(ends)).join().unwrap());
    }
}

/// A forked child has workers of its own, for the parent's do not exist there: nothing is compared that
/// would tell them apart.
#[test]
fn a_forked_child_sends_no_task_to_the_parents_workers() {
    if !in_subprocess("unverified::a_forked_child_sends_no_task_to_the_parents_workers") {
        return;
    }
    settled_unverified();
    crate::common::in_forked_child(|| {
        let sum: u32 = (0..50)
            .map(|n| warm::spawn_unverified(move || n).join().unwrap())
            .sum();
        assert_eq!(sum, 1225);
    });
}
