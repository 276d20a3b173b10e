//! What the measured processes do. Each scenario has a process of its own.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::committed::REPEATS;
use crate::tracer::{BEGIN, END, HOLD, SETTLE, mark};

/// Threads that are alive at once where memory is measured.
const FEW: i64 = 100;
const MANY: i64 = 1100;

pub(crate) fn run(scenario: &str) {
    use_one_processor();
    match scenario {
        "calls-first-spawn" => {
            mark(BEGIN);
            spawn_join();
            mark(SETTLE);
            mark(END);
        }
        "calls-spawn-join" => repeated(spawn_join),
        "calls-burst" => {
            burst();
            burst();
            mark(BEGIN);
            burst();
            burst();
            mark(END);
        }
        "calls-warm" => repeated(warm),
        "calls-warm-without-rights" => {
            give_up_rights();
            repeated(warm);
        }
        "calls-warm-unverified" => repeated(warm_unverified),
        "faults-first-spawn" => println!("{}", faults(spawn_join)),
        "faults-spawn-join" => println!("{}", repeated_faults(spawn_join)),
        "faults-warm" => println!("{}", repeated_faults(warm)),
        "faults-live" => println!("{}", live_threads_add(page_faults)),
        "bytes-live" => println!("{}", live_threads_add(resident_bytes) / 1000),
        "maps-live" => println!("{}", live_threads_add(map_entries)),
        _ => panic!("no scenario {scenario}"),
    }
}

fn spawn_join() {
    let handle = rawthread::spawn(|| mark(HOLD));
    handle.join().expect("no panic");
}

/// 64 small threads that are alive at once.
fn burst() {
    let handles: Vec<_> = (0..64).map(|_| rawthread::spawn(|| mark(HOLD))).collect();
    for handle in handles {
        handle.join().expect("no panic");
    }
    mark(SETTLE);
}

fn warm() {
    let handle = rawthread::warm::spawn(|| mark(HOLD));
    handle.join().expect("no panic");
}

/// Makes the process one of a user without any rights.
fn give_up_rights() {
    const NOBODY: u32 = 65534;
    // SAFETY: changes ids; without the right to do so there are no rights to give up.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setresgid(NOBODY, NOBODY, NOBODY);
        libc::setresuid(NOBODY, NOBODY, NOBODY);
    }
}

fn warm_unverified() {
    let handle = rawthread::warm::spawn_unverified(|| mark(HOLD));
    handle.join().expect("no panic");
}

fn repeated(work: fn()) {
    for _ in 0..REPEATS {
        work();
        mark(SETTLE);
    }
    mark(BEGIN);
    for _ in 0..REPEATS {
        work();
        mark(SETTLE);
    }
    mark(END);
}

fn repeated_faults(work: fn()) -> i64 {
    // The first ones use each stack of a small set for the first time.
    (0..10 * REPEATS).for_each(|_| work());
    faults(|| (0..REPEATS).for_each(|_| work()))
}

fn faults(work: impl FnOnce()) -> i64 {
    let before = page_faults();
    work();
    page_faults() - before
}

fn page_faults() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: a call that succeeds fills the structure.
    unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init().ru_minflt
    }
}

/// What 1,000 further live threads add to a value of the process. The threads run and sleep.
fn live_threads_add(value: fn() -> i64) -> i64 {
    static RUNNING: AtomicU32 = AtomicU32::new(0);
    let mut handles = Vec::with_capacity(MANY as usize);
    let mut grow_to = |count: i64| {
        while (handles.len() as i64) < count {
            handles.push(rawthread::spawn(|| {
                RUNNING.fetch_add(1, Ordering::Relaxed);
                // Not parked: with std that has std make a handle for the thread, on the heap.
                loop {
                    // SAFETY: sleeps.
                    unsafe { libc::pause() };
                }
            }));
        }
        while i64::from(RUNNING.load(Ordering::Relaxed)) < count {
            std::thread::yield_now();
        }
        value()
    };
    let few = grow_to(FEW);
    let many = grow_to(MANY);
    std::mem::forget(handles);
    many - few
}

/// Bytes of resident memory; `smaps_rollup` walks the tables, where `statm` is an estimate.
fn resident_bytes() -> i64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<i64>().ok()).expect("Rss") * 1024
}

fn map_entries() -> i64 {
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    maps.lines().count() as i64
}

/// Restricts this process, which has one thread, to the first processor that it may use: on one, a
/// join does not spin.
fn use_one_processor() {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the sets are plain bits, and `size` is their size.
    unsafe {
        let mut allowed = std::mem::zeroed::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &mut allowed), 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &allowed));
        let mut one = std::mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(first.expect("a processor"), &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
    }
}
