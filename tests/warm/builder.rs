//! `warm::Builder` and `warm::scope`: what a task is given, and that the next one does not have it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};

use rawthread::{CpuSet, Signal, SignalSet, warm};

use crate::common::{in_subprocess, warm_threads_are_kept};

fn comm() -> String {
    std::fs::read_to_string("/proc/thread-self/comm")
        .unwrap()
        .trim_end()
        .into()
}

#[allow(unsafe_code, reason = "C functions")]
fn own_tid() -> i32 {
    // SAFETY: asks.
    unsafe { libc::gettid() }
}

#[allow(unsafe_code, reason = "C functions")]
fn is_blocked(signal: i32) -> bool {
    // SAFETY: zeroes are a set; the calls write and read it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

fn reused() -> bool {
    let libc_serves = rawthread::host().unwrap().support() == rawthread::Support::Libc;
    if libc_serves {
        println!("SKIP: each task has a thread of libc's");
    }
    !libc_serves && warm_threads_are_kept()
}

#[test]
fn a_name_and_a_mask_end_with_their_task() {
    if !in_subprocess("builder::a_name_and_a_mask_end_with_their_task") {
        return;
    }
    let own = comm();
    let mut tids = Vec::new();
    for round in 0..10 {
        let long = format!("a task with a long name, the {round}th");
        let usr1 = SignalSet::from_iter([Signal::new(libc::SIGUSR1).unwrap()]);
        let task = warm::Builder::new()
            .name(long.clone())
            .signal_mask(usr1)
            .try_spawn(|| {
                let blocked = [libc::SIGUSR1, libc::SIGUSR2].map(is_blocked);
                let name = rawthread::current().name().map(String::from);
                (name, comm(), blocked, own_tid())
            })
            .unwrap();
        assert_eq!(task.thread().name(), Some(&*long));
        let (name, comm_inside, blocked, tid) = task.join().unwrap();
        assert_eq!(name.as_deref(), Some(&*long));
        assert_eq!(comm_inside, &long[..15]);
        assert_eq!(blocked, [true, false]);
        tids.push(tid);

        let plain = warm::spawn(|| {
            let name = rawthread::current().name().map(String::from);
            (name, comm(), is_blocked(libc::SIGUSR1), own_tid())
        });
        let (name, comm_inside, blocked, tid) = plain.join().unwrap();
        assert_eq!((name, comm_inside, blocked), (None, own.clone(), false));
        tids.push(tid);
    }
    if reused() {
        tids.sort_unstable();
        tids.dedup();
        assert!(tids.len() < 20, "no worker served two tasks");
    }
}

#[test]
fn what_a_worker_cannot_have_back_is_given_to_a_new_thread() {
    let all = CpuSet::current().unwrap();
    let first: CpuSet = all.iter().take(1).collect();
    for _ in 0..10 {
        let settings = rawthread::Builder::new()
            .affinity(first.clone())
            .name("pinned".into());
        let pinned = warm::Builder::from(settings)
            .try_spawn(|| (CpuSet::current().unwrap(), comm()))
            .unwrap();
        assert_eq!(pinned.join().unwrap(), (first.clone(), "pinned".into()));
        let large = warm::Builder::from(rawthread::Builder::new().stack_size(16 << 20));
        let large = large.try_spawn(|| std::hint::black_box([1u8; 8 << 20]).len());
        assert_eq!(large.unwrap().join().unwrap(), 8 << 20);
        let plain = warm::spawn(|| CpuSet::current().unwrap());
        assert_eq!(plain.join().unwrap(), all);
    }
    let refused = warm::Builder::from(rawthread::Builder::new().affinity(CpuSet::default()));
    assert!(refused.try_spawn(|| ()).is_err());
    assert!(catch_unwind(|| warm::Builder::new().name("a\0b".into()).try_spawn(|| ())).is_err());
}

#[test]
fn tasks_of_a_scope_borrow_and_are_done_when_it_ends() {
    let done = AtomicUsize::new(0);
    for round in 1..=50 {
        let mut cells = vec![0; 8];
        warm::scope(|s| {
            for (n, cell) in cells.iter_mut().enumerate() {
                let done = &done;
                // Joined by the scope.
                s.spawn(move || {
                    *cell = n * n;
                    done.fetch_add(1, Relaxed);
                });
            }
            // A thread of its own, in the same scope.
            let thread = rawthread::Builder::new().spawn_scoped(s, || done.fetch_add(1, Relaxed));
            drop(thread.unwrap());
        });
        assert_eq!(cells, (0..8).map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(done.load(Relaxed), 9 * round);
    }
}

#[test]
fn a_scope_waits_for_destructors_of_its_tasks_thread_locals() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            rawthread::sleep(std::time::Duration::from_millis(5));
            self.0.fetch_add(1, Relaxed);
        }
    }
    thread_local!(static SLOW: std::cell::RefCell<Option<Slow>> = const { std::cell::RefCell::new(None) });
    let dropped = Arc::new(AtomicUsize::new(0));
    for round in 1..=5 {
        warm::scope(|s| {
            let dropped = dropped.clone();
            s.spawn(|| SLOW.set(Some(Slow(dropped))));
        });
        assert_eq!(dropped.load(Relaxed), round);
    }
}

#[test]
fn panics_of_tasks_are_the_scopes() {
    let ran = AtomicUsize::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        warm::scope(|s| {
            s.spawn(|| panic!("not joined"));
            s.spawn(|| ran.fetch_add(1, Relaxed));
        });
    }));
    assert!(caught.is_err());
    assert_eq!(ran.load(Relaxed), 1);
    // A join that returns the panic has handled it.
    warm::scope(|s| {
        let task = s.spawn(|| std::panic::panic_any(7));
        assert_eq!(task.join().unwrap_err().downcast_ref(), Some(&7));
        // The worker is fit for the next.
        assert_eq!(s.spawn(|| 8).join().unwrap(), 8);
    });
    // The scope's own panic waits for its tasks.
    let gate = Barrier::new(2);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        warm::scope(|s| {
            s.spawn(|| {
                gate.wait();
                ran.fetch_add(1, Relaxed);
            });
            gate.wait();
            panic!("the scope's");
        })
    }));
    assert!(caught.is_err());
    assert_eq!(ran.load(Relaxed), 2);
}

#[test]
fn scopes_nest_on_workers() {
    let sum = warm::scope(|s| {
        let outer = s.spawn(|| {
            let parts = [1, 2, 3];
            warm::scope(|inner| {
                let tasks = parts.each_ref().map(|n| inner.spawn(move || n * 10));
                tasks.map(|task| task.join().unwrap()).iter().sum::<i32>()
            })
        });
        outer.join().unwrap()
    });
    assert_eq!(sum, 60);
}
