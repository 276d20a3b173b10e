//! `PiMutex`: exclusion, priority inheritance, and what the kernel says of holders.
#![allow(
    unsafe_code,
    reason = "drops a guard in a forked child, and reads a clock"
)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use rawthread::sync::{Mutex, PiMutex};
use rawthread::{Builder, CpuSet, Policy};

use crate::common::{in_forked_child, in_subprocess, keep, poll_until, watchdog};
use crate::{blocks_until, filter, panics};

fn errno<T>(result: Result<T, rawthread::Error>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Whether the kernel has priority-inheritance futexes here; says so where it has not.
fn has_pi() -> bool {
    let lock = PiMutex::new(());
    let _held = lock.lock();
    let answer = errno(lock.lock_checked());
    if answer != Some(libc::EDEADLK) {
        println!("SKIP: no FUTEX_LOCK_PI here: {answer:?}");
    }
    answer == Some(libc::EDEADLK)
}

#[test]
fn one_thread_at_a_time_has_the_data() {
    if !has_pi() {
        return;
    }
    static COUNT: PiMutex<u64> = PiMutex::new(0);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    std::thread::scope(|s| {
        for kind in 0..4 {
            s.spawn(move || {
                for round in 0..5_000 {
                    let mut count = match (kind + round) % 3 {
                        0 => loop {
                            if let Ok(guard) = COUNT.try_lock() {
                                break guard;
                            }
                            std::thread::yield_now();
                        },
                        1 => COUNT.lock_checked().unwrap(),
                        _ => COUNT.lock(),
                    };
                    assert_eq!(INSIDE.fetch_add(1, Ordering::Relaxed), 0);
                    *count += 1;
                    if round % 64 == 0 {
                        std::thread::yield_now(); // so that others wait in the kernel
                    }
                    assert_eq!(INSIDE.fetch_sub(1, Ordering::Relaxed), 1);
                }
            });
        }
    });
    assert_eq!(*COUNT.lock(), 20_000);
}

#[test]
fn a_lock_waits_for_the_guards_drop() {
    if !has_pi() {
        return;
    }
    let lock = PiMutex::new(1);
    let held = lock.lock();
    assert!(lock.try_lock().is_err());
    blocks_until(|| *lock.lock() += 1, || drop(held));
    assert_eq!(lock.into_inner(), 2);
}

/// Of a lock and of a circle of two.
#[test]
fn a_deadlock_is_an_error() {
    if !has_pi() {
        return;
    }
    let lock = PiMutex::new(());
    let held = lock.lock();
    assert_eq!(errno(lock.lock_checked()), Some(libc::EDEADLK));
    panics(|| drop(lock.lock()));
    drop(held);
    drop(lock.lock());

    let locks = [PiMutex::new(()), PiMutex::new(())];
    let both_hold = Barrier::new(2);
    let refused = AtomicU32::new(0);
    std::thread::scope(|s| {
        for own in 0..2 {
            let (locks, both_hold, refused) = (&locks, &both_hold, &refused);
            s.spawn(move || {
                let held = locks[own].lock();
                both_hold.wait();
                match errno(locks[1 - own].lock_checked()) {
                    None => {}
                    Some(libc::EDEADLK) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    other => panic!("{other:?}"),
                }
                drop(held);
            });
        }
    });
    assert_eq!(
        refused.load(Ordering::Relaxed),
        1,
        "one waits for the other"
    );
}

/// No thread gets a lock whose holder has ended, and none waits for it: what the leaked guard gave out
/// may be in use.
#[test]
fn a_holder_that_ended_is_an_error_and_gives_no_access() {
    if !has_pi() {
        return;
    }
    let lock: &'static PiMutex<i32> = keep(PiMutex::new(1));
    let leaking = || {
        let guard = keep(lock.lock());
        let leaked: &'static mut i32 = guard;
        leaked
    };
    // Reference and all go to another thread; the holder ends.
    let leaked = rawthread::spawn(leaking).join_reaped().unwrap();
    for _ in 0..2 {
        assert_eq!(errno(lock.lock_checked()), Some(libc::EOWNERDEAD));
        assert!(lock.try_lock().is_err());
    }
    panics(|| drop(lock.lock()));
    *leaked += 1;

    // With threads that wait already.
    let lock: &'static PiMutex<i32> = keep(PiMutex::new(1));
    let (sender, receiver) = mpsc::channel();
    let holder = rawthread::spawn(move || {
        std::mem::forget(lock.lock());
        sender.send(()).unwrap();
        rawthread::park();
    });
    receiver.recv().unwrap();
    let waiters: Vec<_> = (0..3)
        .map(|_| rawthread::spawn(|| errno(lock.lock_checked())))
        .collect();
    poll_until("all wait", || {
        waiters.iter().all(|waiter| is_in_futex(waiter.tid()))
    });
    holder.thread().unpark();
    holder.join().unwrap();
    for waiter in waiters {
        let answer = waiter.join_timeout(Duration::from_secs(60));
        assert_eq!(answer.expect("it waits").unwrap(), Some(libc::EOWNERDEAD));
    }
    assert_eq!(errno(lock.lock_checked()), Some(libc::EOWNERDEAD));
    assert!(lock.try_lock().is_err());
}

/// While a holder ends, the kernel says EINVAL for a moment to a thread that comes between its end and
/// the next waiter's wake: that is no answer to give on.
#[test]
fn a_holder_that_is_ending_is_the_same_error_as_one_that_ended() {
    if !in_subprocess("pi_mutex::a_holder_that_is_ending_is_the_same_error_as_one_that_ended")
        || !has_pi()
    {
        return;
    }
    for _ in 0..1500 {
        let lock: &'static PiMutex<i32> = keep(PiMutex::new(1));
        let gate: &'static Barrier = keep(Barrier::new(5));
        let lockers: Vec<_> = (0..4)
            .map(|_| {
                rawthread::spawn(move || {
                    gate.wait();
                    errno(lock.lock_checked())
                })
            })
            .collect();
        let holder = rawthread::spawn(move || {
            std::mem::forget(lock.lock());
            gate.wait();
        });
        holder.join().unwrap();
        for locker in lockers {
            assert_eq!(locker.join().unwrap(), Some(libc::EOWNERDEAD));
        }
    }
}

/// Whether the thread sleeps; an approximation where the kernel does not show calls.
fn is_in_futex(tid: i32) -> bool {
    let read = |file| std::fs::read_to_string(format!("/proc/self/task/{tid}/{file}"));
    let sleeps = read("stat").unwrap().contains(") S ");
    let call = read("syscall").unwrap_or_default();
    let futex = format!("{} ", libc::SYS_futex);
    sleeps && (call.starts_with(&futex) || call.is_empty() || call.starts_with('0'))
}

#[test]
fn a_guard_from_before_a_fork_unlocks_in_the_child() {
    if !in_subprocess("pi_mutex::a_guard_from_before_a_fork_unlocks_in_the_child") || !has_pi() {
        return;
    }
    static LOCK: PiMutex<i32> = PiMutex::new(0);
    let mut guard = LOCK.lock();
    // A thread of the parent's waits, in the kernel.
    let waiter = rawthread::spawn(|| *LOCK.lock() += 1);
    poll_until("it waits", || is_in_futex(waiter.tid()));
    // The child's copy of the guard is dropped in the child.
    in_forked_child(|| {
        let others = rawthread::spawn(|| errno(LOCK.lock_checked()));
        assert_eq!(others.join().unwrap(), Some(libc::EOWNERDEAD));
        *guard += 10;
        // SAFETY: the guard is not used in this process after this.
        drop(unsafe { std::ptr::read(&raw const guard) });
        for _ in 0..2 {
            rawthread::spawn(|| *LOCK.lock() += 1).join().unwrap();
        }
        assert_eq!(*LOCK.lock(), 12);
        let held = LOCK.lock();
        assert_eq!(errno(LOCK.lock_checked()), Some(libc::EDEADLK));
        let other = rawthread::spawn(|| *LOCK.lock());
        poll_until("it waits", || is_in_futex(other.tid()));
        drop(held);
        assert_eq!(other.join().unwrap(), 12);
    });
    drop(guard);
    waiter.join().unwrap();
    assert_eq!(*LOCK.lock(), 1);
}

#[test]
fn a_filter_that_refuses_the_wait_is_an_error() {
    if !in_subprocess("pi_mutex::a_filter_that_refuses_the_wait_is_an_error") {
        return;
    }
    let lock = PiMutex::new(0);
    let operation = (libc::FUTEX_LOCK_PI | libc::FUTEX_PRIVATE_FLAG) as u32;
    if !filter::refuse_where(libc::SYS_futex, Some((1, operation)), libc::ENOSYS) {
        println!("SKIP: no filters here");
        return;
    }
    let held = lock.lock();
    std::thread::scope(|s| {
        s.spawn(|| {
            assert_eq!(errno(lock.lock_checked()), Some(libc::ENOSYS));
            panics(|| drop(lock.lock()));
        });
    });
    drop(held);
    *lock.lock() += 1; // what is free is taken without a call
}

/// A lock of either kind, for the scenario below.
trait Lock: Default + Send + Sync + 'static {
    fn with(&self, inside: impl FnOnce());
}
impl Lock for Mutex<()> {
    fn with(&self, inside: impl FnOnce()) {
        let _guard = self.lock();
        inside();
    }
}
impl Lock for PiMutex<()> {
    fn with(&self, inside: impl FnOnce()) {
        let _guard = self.lock();
        inside();
    }
}

/// On one processor: a thread of low priority has the lock, one of high priority wants it, and one
/// between computes for a while. Whether the one between has finished when the high one gets the lock:
/// then it was inverted. `None` where the process may not have such threads.
fn is_inverted<L: Lock>() -> Option<bool> {
    let cpu: CpuSet = CpuSet::current().unwrap().iter().take(1).collect();
    let thread = |name: &str, priority| {
        Builder::new()
            .name(name.into())
            .affinity(cpu.clone())
            .scheduling(Policy::Fifo { priority })
    };
    let lock = Arc::new(L::default());
    let finished = Arc::new(AtomicBool::new(false));
    let middle = {
        let finished = finished.clone();
        let body = move || {
            rawthread::park();
            let begin = thread_time();
            while thread_time() - begin < Duration::from_millis(100) {}
            finished.store(true, Ordering::SeqCst);
        };
        thread("middle", 2).spawn(body).ok()?
    };
    let high = {
        let (lock, middle) = (lock.clone(), middle.thread().clone());
        let body = move || {
            rawthread::park();
            // It runs as soon as this thread waits, and not before.
            middle.unpark();
            let mut inverted = false;
            lock.with(|| inverted = finished.load(Ordering::SeqCst));
            inverted
        };
        thread("high", 3).spawn(body).unwrap()
    };
    let low = {
        let high = high.thread().clone();
        // The high one preempts it in the middle of this.
        let body = move || lock.with(|| high.unpark());
        thread("low", 1).spawn(body).unwrap()
    };
    low.join().unwrap();
    middle.join().unwrap();
    Some(high.join().unwrap())
}

fn thread_time() -> Duration {
    // SAFETY: zeroes are a timespec; the kernel writes one.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn it_ends_a_priority_inversion_that_mutex_has() {
    if !in_subprocess("pi_mutex::it_ends_a_priority_inversion_that_mutex_has") || !has_pi() {
        return;
    }
    watchdog(60);
    match is_inverted::<Mutex<()>>() {
        None => println!("SKIP: this process may not have SCHED_FIFO"),
        Some(inverted) => {
            assert!(
                inverted,
                "the high one waits for the low one, and that for the one between"
            );
            assert_eq!(is_inverted::<PiMutex<()>>(), Some(false));
        }
    }
}
