//! `threads()` and `dump`: each live thread once, and never another's data under its name.

#![allow(unsafe_code, reason = "ends a thread by a system call")]

use std::collections::{HashMap, HashSet};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use rawthread::{Builder, JoinSet, ThreadId, ThreadInfo, ThreadState, threads, warm};

use crate::common::{in_forked_child, in_subprocess, poll_until, warm_threads_are_kept};

fn own_tid() -> i32 {
    // SAFETY: asks.
    unsafe { libc::gettid() }
}

fn find(id: ThreadId) -> Option<ThreadInfo> {
    let found: Vec<_> = threads().filter(|thread| thread.id() == id).collect();
    assert!(found.len() <= 1, "found twice: {found:?}");
    found.into_iter().next()
}

fn named(name: &str) -> Builder {
    Builder::new().name(name.into())
}

fn assert_ended(thread: &ThreadInfo) {
    let errnos = [
        thread.cpu_time().unwrap_err().raw_os_error(),
        thread.stack().unwrap_err().raw_os_error(),
        thread.state().unwrap_err().raw_os_error(),
    ];
    assert_eq!(errnos, [Some(libc::ESRCH); 3]);
}

#[test]
fn every_kind_of_thread_is_found_once_and_then_no_more() {
    if !in_subprocess("threads::every_kind_of_thread_is_found_once_and_then_no_more") {
        return;
    }
    assert_eq!(
        threads().count(),
        0,
        "the main thread and libtest's are others'"
    );
    let long = "a name that is longer than the kernel keeps";
    let (sender, receiver) = mpsc::channel();
    let work = |name: &'static str| {
        let sender = sender.clone();
        move || {
            sender
                .send((name, rawthread::current(), own_tid()))
                .unwrap();
            rawthread::park();
        }
    };
    let joined = named(long).spawn(work("joined")).unwrap();
    drop(named("detached").spawn(work("detached")).unwrap());
    let mut set = JoinSet::new();
    set.spawn_with(named("set"), work("set")).unwrap();
    let task = warm::spawn(work("task"));
    rawthread::scope(|s| {
        named("scoped").spawn_scoped(s, work("scoped")).unwrap();
        let mut told = HashMap::new();
        for _ in 0..5 {
            let (name, thread, tid) = receiver.recv().unwrap();
            told.insert(thread.id(), (name, thread, tid));
        }
        let found: Vec<_> = threads().collect();
        assert_eq!(found.len(), 5, "{found:?}");
        for thread in &found {
            let (name, _, tid) = &told[&thread.id()];
            assert_eq!(thread.tid(), *tid, "{name}");
            let expected = match *name {
                "task" => None,
                "joined" => Some(long),
                name => Some(name),
            };
            assert_eq!(thread.name(), expected);
            assert!(!thread.is_idle_worker());
            assert!(thread.cpu_time().unwrap() < Duration::from_secs(60));
            let stack = thread.stack().unwrap();
            assert!(stack.size >= 2 << 20 && stack.guard > 0, "{stack:?}");
            assert!((1..=stack.size).contains(&stack.high_water), "{stack:?}");
            poll_until("it sleeps", || {
                thread.state().unwrap() == ThreadState::Sleeping
            });
        }
        for (_, thread, _) in told.values() {
            thread.unpark();
        }
        joined.join().unwrap();
        task.join().unwrap();
        set.join_next().unwrap().unwrap();
        poll_until("all have ended", || {
            threads().filter(|thread| !thread.is_idle_worker()).count() == 0
        });
        found.iter().for_each(assert_ended);
    });
    if warm_threads_are_kept() && !libc_serves() {
        poll_until("the worker waits", || {
            threads().any(|thread| thread.is_idle_worker())
        });
        rawthread::trim();
        poll_until("it left", || threads().count() == 0);
    }
}

/// With its tid and stack: the kernel made it, whether it has run or not.
#[test]
fn a_thread_is_listed_as_soon_as_its_spawn_has_returned() {
    for _ in 0..300 {
        let thread = rawthread::spawn(rawthread::park);
        let found = find(thread.thread().id()).expect("it lives");
        assert_eq!(found.tid(), thread.tid());
        assert_ne!(found.tid(), 0);
        found.cpu_time().unwrap();
        found.stack().unwrap();
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

fn libc_serves() -> bool {
    rawthread::host().unwrap().support() == rawthread::Support::Libc
}

/// Threads that stay are in every walk, once, while others come and go, and tids are used again.
#[test]
fn a_walk_is_consistent_while_threads_come_and_go() {
    static STOP: AtomicBool = AtomicBool::new(false);
    if !in_subprocess("threads::a_walk_is_consistent_while_threads_come_and_go") {
        return;
    }
    let begun = Arc::new(Barrier::new(21));
    let stay: Vec<_> = (0..20)
        .map(|n| {
            let begun = begun.clone();
            let body = move || {
                begun.wait();
                rawthread::park();
            };
            named(&format!("stays {n}")).spawn(body).unwrap()
        })
        .collect();
    // The kernel has a name as soon as the closure begins.
    begun.wait();
    let churn: Vec<_> = (0..3)
        .map(|kind| {
            std::thread::spawn(move || {
                while !STOP.load(Ordering::Relaxed) {
                    match kind {
                        0 => rawthread::spawn(|| ()).join().unwrap(),
                        1 => drop(named("short").spawn(|| ()).unwrap()),
                        _ => warm::spawn(|| ()).join().unwrap(),
                    }
                    if kind == 2 {
                        rawthread::trim();
                    }
                }
            })
        })
        .collect();
    let mut held = Vec::new();
    for walk in 0..300 {
        let mut ids = HashSet::new();
        let mut staying = 0;
        for thread in threads() {
            assert!(ids.insert(thread.id()), "found twice: {thread:?}");
            // Each question has an answer, or the thread has ended.
            let (cpu, stack) = (thread.cpu_time(), thread.stack());
            let comm = std::fs::read_to_string(format!("/proc/self/task/{}/comm", thread.tid()));
            if let Some(name) = thread.name().filter(|name| name.starts_with("stays")) {
                staying += 1;
                assert_eq!(comm.unwrap().trim_end(), name);
                assert!(cpu.is_ok() && stack.is_ok());
            } else if walk % 10 == 0 {
                held.push(thread);
            }
        }
        assert_eq!(staying, 20);
    }
    STOP.store(true, Ordering::Relaxed);
    churn.into_iter().for_each(|thread| thread.join().unwrap());
    rawthread::trim();
    poll_until("the others have ended", || threads().count() == 20);
    held.iter().for_each(assert_ended);
    for thread in stay {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}

/// A thread that leaves by `exit(2)` itself tells no one of it, but the kernel does.
#[test]
fn a_thread_that_left_by_a_system_call_is_not_listed() {
    if !in_subprocess("threads::a_thread_that_left_by_a_system_call_is_not_listed") {
        return;
    }
    if libc_serves() {
        println!("SKIP: libc waits for its own threads by other words");
        return;
    }
    let thread = named("leaves")
        .spawn(|| {
            rawthread::park();
            // SAFETY: nothing of the thread is used again.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        })
        .unwrap();
    let found = find(thread.thread().id()).expect("it lives");
    thread.thread().unpark();
    let task = format!("/proc/self/task/{}", thread.tid());
    poll_until("it has left", || !std::path::Path::new(&task).exists());
    assert!(find(thread.thread().id()).is_none());
    assert_ended(&found);
    std::mem::forget(thread);
}

/// No result will come, and a join that waits for one would spin without end.
#[test]
fn joining_a_thread_that_left_by_a_system_call_panics() {
    if !in_subprocess("threads::joining_a_thread_that_left_by_a_system_call_panics") {
        return;
    }
    if cfg!(target_env = "musl") {
        println!("SKIP: musl's own join waits for what such a thread leaves out");
        return;
    }
    // SAFETY: nothing of the thread is used again.
    let leave = || unsafe { libc::syscall(libc::SYS_exit, 0) };
    let joined = catch_unwind(|| rawthread::spawn(leave).join().is_ok());
    let text = *joined.unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("ended without a result"), "{text}");
    let timed = catch_unwind(|| {
        let _ = rawthread::spawn(leave).join_timeout(Duration::MAX);
    });
    assert!(timed.is_err());
    assert_eq!(rawthread::spawn(|| 1).join().unwrap(), 1);
}

/// The child of a fork has one thread, whatever the parent had.
#[test]
fn a_forked_child_lists_its_own_threads() {
    if !in_subprocess("threads::a_forked_child_lists_its_own_threads") {
        return;
    }
    let others: Vec<_> = (0..4).map(|_| rawthread::spawn(rawthread::park)).collect();
    let forks = rawthread::spawn(|| {
        let id = rawthread::current().id();
        let before: Vec<_> = threads().filter(|thread| thread.id() != id).collect();
        assert_eq!(before.len(), 4);
        in_forked_child(|| {
            before.iter().for_each(assert_ended);
            let own: Vec<_> = threads().collect();
            assert_eq!(own.len(), 1, "{own:?}");
            assert_eq!((own[0].id(), own[0].tid()), (id, own_tid()));
            let new = rawthread::spawn(rawthread::park);
            assert_eq!(threads().count(), 2);
            new.thread().unpark();
            new.join().unwrap();
        });
    });
    forks.join().unwrap();
    for other in others {
        other.thread().unpark();
        other.join().unwrap();
    }
}

/// A thread's own end waits while it is asked, and no longer.
#[test]
fn questions_and_ends_race() {
    for _ in 0..50 {
        let gate = Arc::new(Barrier::new(3));
        let tid = Arc::new(AtomicI32::new(0));
        let thread = {
            let (gate, tid) = (gate.clone(), tid.clone());
            named("races").spawn(move || {
                tid.store(own_tid(), Ordering::Relaxed);
                gate.wait();
            })
        };
        let thread = thread.unwrap();
        let id = thread.thread().id();
        poll_until("it runs", || tid.load(Ordering::Relaxed) != 0);
        let found = find(id).expect("it lives");
        let asker = {
            let gate = gate.clone();
            std::thread::spawn(move || {
                gate.wait();
                while found.cpu_time().is_ok() && found.stack().is_ok() {}
                assert_ended(&found);
            })
        };
        gate.wait();
        thread.join().unwrap();
        assert!(find(id).is_none());
        asker.join().unwrap();
    }
}

#[test]
fn a_dump_names_each_thread_and_where_it_waits() {
    if !in_subprocess("threads::a_dump_names_each_thread_and_where_it_waits") {
        return;
    }
    let parked = named("parked").spawn(rawthread::park).unwrap();
    poll_until("it sleeps", || {
        find(parked.thread().id()).is_some_and(|t| t.state().unwrap() == ThreadState::Sleeping)
    });
    let mut report = String::new();
    rawthread::dump(&mut report).unwrap();
    println!("{report}");
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines.len(), 3);
    let pid = std::process::id();
    assert_eq!(
        lines[0],
        format!("process {pid}: the main thread and 1 thread of rawthread")
    );
    assert!(lines[1].starts_with(&format!("tid {pid} \"main\": ")));
    assert!(lines[2].starts_with(&format!("tid {} \"parked\": sleeping; cpu ", parked.tid())));
    // Not every kernel and sandbox shows it.
    let call = format!("system call {} 0x", libc::SYS_futex);
    match std::fs::read_to_string(format!("/proc/self/task/{}/syscall", parked.tid())) {
        Ok(text) if !text.starts_with('0') => assert!(lines[2].contains(&call), "{}", lines[2]),
        other => println!("SKIP: the kernel does not show calls: {other:?}"),
    }
    parked.thread().unpark();
    parked.join().unwrap();
}
