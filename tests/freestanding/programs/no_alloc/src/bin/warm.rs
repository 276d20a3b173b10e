//! The pool: one kernel thread runs many tasks, each of which finds what a new thread finds.
#![no_std]
#![no_main]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use rawthread::process::{Builder, Child, Fork, fork};
use rawthread::start::{self, print};
use rawthread::{CpuSet, Signal, warm};

rawthread::entry!(main);

unsafe extern "C" {
    fn ask(number: isize, a: usize, b: usize, c: usize, d: usize) -> isize;
    fn count_in_c() -> i32;
}

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const GETTID: isize = 186;
    pub const SIGALTSTACK: isize = 131;
    pub const SET_ROBUST_LIST: isize = 273;
    pub const SCHED_SETAFFINITY: isize = 203;
    pub const RT_SIGPROCMASK: isize = 14;
    pub const TKILL: isize = 200;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const GETTID: isize = 178;
    pub const SIGALTSTACK: isize = 132;
    pub const SET_ROBUST_LIST: isize = 99;
    pub const SCHED_SETAFFINITY: isize = 122;
    pub const RT_SIGPROCMASK: isize = 135;
    pub const TKILL: isize = 130;
}

fn tid() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { ask(number::GETTID, 0, 0, 0, 0) as i32 }
}

fn is_there(tid: i32) -> bool {
    // SAFETY: no signal is sent, no memory.
    unsafe { ask(number::TKILL, tid as usize, 0, 0, 0) == 0 }
}

/// Waits for a kernel thread's end, which is to come soon although idle ones stay.
fn assert_ends(tid: i32) {
    for _ in 0..20_000 {
        if !is_there(tid) {
            return;
        }
        rawthread::sleep(Duration::from_millis(1));
    }
    panic!("thread {tid} stays");
}

fn main() -> i32 {
    match start::args().nth(1).map(|argument| argument.to_bytes()) {
        Some(b"panic") => panics(),
        Some(b"storm") => storm(),
        _ => {
            warm::set_idle_time(Duration::MAX);
            let threads = fresh();
            assert!(threads < 100, "{threads} kernel threads for 300 tasks");
            let emulated = !kernel_state_is_fresh();
            spoilt_threads_end();
            large_and_detached();
            idle_threads_leave();
            // qemu-user stumbles over its own threads after a fork.
            if !emulated {
                forked();
            }
        }
    };
    print(format_args!("warm\n"));
    0
}

/// Waits until a kernel thread is idle.
fn settle() {
    let mut last = 0;
    while last != warm::spawn(tid).join().unwrap() {
        rawthread::sleep(Duration::from_millis(1));
        last = warm::spawn(tid).join().unwrap();
    }
    rawthread::sleep(Duration::from_millis(1));
}

/// Runs two tasks one after the other, until one kernel thread has served both.
fn two_on_one_thread(first: fn() -> i32, second: fn() -> i32) {
    for _ in 0..10_000 {
        if warm::spawn(first).join().unwrap() == warm::spawn(second).join().unwrap() {
            return;
        }
    }
    panic!("no thread served two tasks");
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

struct Noisy;

impl Drop for Noisy {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

rawthread::local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static NOISY: Noisy = const { Noisy };
}

/// Thread-locals, of both kinds, and ids of a new thread each time; how many kernel threads it
/// took.
fn fresh() -> usize {
    let (mut threads, mut tids, mut last_id) = (0, [0; 300], rawthread::current().id());
    for round in 1..=300 {
        let task = warm::spawn(|| {
            NOISY.with(|_| ());
            COUNT.set(COUNT.get() + 1);
            // SAFETY: counts.
            let in_c = unsafe { count_in_c() };
            let name = rawthread::current().name().is_some();
            (tid(), rawthread::current().id(), COUNT.get(), in_c, name)
        });
        let (told, handle) = (task.tid(), task.thread().id());
        let (tid, id, count, in_c, named) = task.join().unwrap();
        assert_eq!((count, in_c, named), (1, 42, false));
        assert_eq!((told, handle), (tid, id));
        assert_ne!(id, last_id);
        assert_eq!(
            DROPPED.load(Ordering::Relaxed),
            round,
            "a join comes after the destructors"
        );
        last_id = id;
        if !tids[..threads].contains(&tid) {
            tids[threads] = tid;
            threads += 1;
        }
    }
    threads
}

/// What a task told the kernel is not there for the next one; whether that kernel is a real one,
/// which takes robust lists.
fn kernel_state_is_fresh() -> bool {
    static MEMORY: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
    fn place() -> usize {
        (&raw const MEMORY).addr()
    }
    fn signal_stack() -> u64 {
        let mut stack = [0u64; 3];
        // SAFETY: the kernel writes one stack_t.
        unsafe { ask(number::SIGALTSTACK, 0, stack.as_mut_ptr().addr(), 0, 0) };
        stack[0]
    }
    two_on_one_thread(
        || {
            let stack = [place() as u64, 0, 8192];
            // SAFETY: permanent memory that no other code uses.
            let set = unsafe { ask(number::SIGALTSTACK, stack.as_ptr().addr(), 0, 0, 0) };
            assert_eq!((set, signal_stack()), (0, place() as u64));
            tid()
        },
        || {
            assert_eq!(signal_stack(), 0);
            tid()
        },
    );

    // The kernel looks through a robust list when the thread ends, and only then.
    let listed = warm::spawn(move || {
        let head = place();
        MEMORY[0].store(head as u64, Ordering::Relaxed);
        // SAFETY: an empty list in permanent memory.
        let set = unsafe { ask(number::SET_ROBUST_LIST, head, 24, 0, 0) };
        (set == 0).then(tid)
    });
    let listed = listed.join().unwrap();
    if let Some(listed) = listed {
        assert_ends(listed);
    }

    // The spawner's mask at the time of the spawn.
    fn mask(how: usize, set: &u64) -> u64 {
        let mut old = 0u64;
        let (set, old_place) = (core::ptr::from_ref(set), core::ptr::from_mut(&mut old));
        // SAFETY: the kernel reads and writes 8 bytes.
        unsafe { ask(number::RT_SIGPROCMASK, how, set.addr(), old_place.addr(), 8) };
        old
    }
    const USR1: u64 = 1 << 9;
    let masked = || warm::spawn(|| mask(0, &0)).join().unwrap() & USR1;
    settle();
    assert_eq!(masked(), 0);
    mask(0, &USR1);
    assert_eq!(masked(), USR1);
    mask(1, &USR1);
    assert_eq!(masked(), 0);
    two_on_one_thread(
        || {
            mask(0, &USR1);
            tid()
        },
        || {
            assert_eq!(mask(0, &0) & USR1, 0);
            tid()
        },
    );
    listed.is_some()
}

/// What cannot be put back ends the thread.
fn spoilt_threads_end() {
    let task = warm::spawn(|| {
        rawthread::park();
        tid()
    });
    task.signal(Signal::new(18).unwrap()).unwrap(); // SIGCONT, ignored
    task.thread().unpark();
    assert_ends(task.join().unwrap());

    if rawthread::try_available_parallelism().unwrap().get() == 1 {
        return;
    }
    let narrowed = warm::spawn(|| {
        let one = CpuSet::current().unwrap().iter().next().unwrap();
        let mut set = [0u64; 16];
        set[one / 64] = 1 << (one % 64);
        // SAFETY: the kernel reads 128 bytes.
        let set = unsafe { ask(number::SCHED_SETAFFINITY, 0, 128, set.as_ptr().addr(), 0) };
        assert_eq!(set, 0);
        tid()
    });
    assert_ends(narrowed.join().unwrap());
}

fn large_and_detached() {
    let bytes = core::hint::black_box([7u8; 50_000]);
    let large = warm::spawn(move || (bytes, [1u64; 100]));
    let (bytes, words) = large.join().unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7) && words.iter().sum::<u64>() == 100);

    DROPPED.store(0, Ordering::Relaxed);
    for round in 0..500u32 {
        let kept = Noisy;
        let small = warm::spawn(move || kept);
        let large = warm::spawn(move || (Noisy, [round; 200]));
        match round % 3 {
            0 => drop((small.join(), large.join())),
            1 => drop((small, large)),
            _ => {
                rawthread::yield_now();
                drop((large, small));
            }
        }
    }
    while DROPPED.load(Ordering::Relaxed) < 1000 {
        rawthread::yield_now();
    }
}

fn idle_threads_leave() {
    settle();
    // Idle workers exit; one that is about to be idle exits the next time.
    let last = warm::spawn(tid).join().unwrap();
    rawthread::sleep(Duration::from_millis(1));
    while is_there(last) {
        rawthread::trim();
        rawthread::sleep(Duration::from_millis(1));
    }
    warm::set_idle_time(Duration::from_millis(20));
    assert_ends(warm::spawn(tid).join().unwrap());
    // Tasks race with the end of the idle time.
    warm::set_idle_time(Duration::from_micros(200));
    for round in 0..1000u64 {
        assert_eq!(warm::spawn(move || round).join().unwrap(), round);
        if round % 3 == 0 {
            rawthread::sleep(Duration::from_micros(100 + round % 100));
        }
    }
    warm::set_idle_time(Duration::from_secs(10));
}

/// The parent's idle threads are not in a child, however it was made.
fn forked() {
    fn in_child() -> i32 {
        let sum: u32 = (0..50)
            .map(|number| warm::spawn(move || number).join().unwrap())
            .sum();
        i32::from(sum != 1225)
    }
    fn assert_well(mut child: Child) {
        let status = child.wait_timeout(Duration::from_secs(60)).unwrap();
        if status.is_none() {
            child.kill().unwrap();
        }
        assert_eq!(status.expect("an answer").code(), Some(0));
    }
    settle();
    // SAFETY: no other thread is in the middle of anything.
    match unsafe { fork() }.unwrap() {
        Fork::Parent(child) => assert_well(child),
        Fork::Child => start::exit(in_child()),
    }
    settle();
    // SAFETY: as above.
    assert_well(unsafe { Builder::new().spawn(in_child) }.unwrap());
}

/// Many spawners lose no task, whatever the threads' idle time.
fn storm() {
    // AArch64 may be emulated, a hundred times slower.
    const ROUNDS: u64 = if cfg!(target_arch = "x86_64") {
        400
    } else {
        60
    };
    for idle in [Duration::ZERO, Duration::from_micros(50), Duration::MAX] {
        warm::set_idle_time(idle);
        rawthread::scope(|scope| {
            for base in 1..=4u64 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let tasks: [_; 6] = core::array::from_fn(|number| {
                            warm::spawn(move || base * 100_000 + round * 10 + number as u64)
                        });
                        for (number, task) in tasks.into_iter().enumerate() {
                            let expected = base * 100_000 + round * 10 + number as u64;
                            assert_eq!(task.join().unwrap(), expected);
                        }
                    }
                });
            }
        });
    }
}

/// A task that panics ends with its kernel thread, and no other thread.
fn panics() {
    warm::set_idle_time(Duration::MAX);
    for round in 0..40 {
        settle();
        let task = warm::spawn(move || -> u64 {
            if round < 100 {
                panic!("of task {round}");
            }
            5
        });
        let spoilt = task.tid();
        if round % 2 == 0 {
            assert!(task.join().is_err());
        } else if round % 4 == 1 {
            while !task.is_finished() {
                rawthread::yield_now();
            }
        } else {
            drop(task);
        }
        assert_ends(spoilt);
        // Nor is anything left of it to the threads that come after.
        assert!(!rawthread::panicking());
        assert_eq!(rawthread::spawn(|| 6 * 7).join().unwrap(), 42);
    }
    // As the first task of its thread, whose handle the spawner may not have dropped yet.
    for _ in 0..20 {
        rawthread::trim();
        let tasks: [_; 4] = core::array::from_fn(|_| warm::spawn(|| panic!("of a first task")));
        for task in tasks {
            assert!(task.join().is_err());
        }
    }
}
