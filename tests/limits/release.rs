//! Address space goes back: under pressure, and by `trim`.
#![allow(unsafe_code, reason = "uses up the map entries of its own process")]

use rawthread::Builder;

use crate::common;
use crate::util;

/// Bytes of address space, of memory: `VmSize:`, `VmRSS:`.
fn used(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.unwrap().trim().trim_end_matches(" kB").trim();
    number.parse::<usize>().unwrap() * 1024
}

/// Threads one after the other, each of another size, which no slot of the others serves.
fn of_many_sizes() {
    for size in 1..=64 {
        let builder = Builder::new().stack_size(size << 20);
        let thread = builder
            .try_spawn(move || size)
            .unwrap_or_else(|error| panic!("{size} MiB: {error}"));
        assert_eq!(thread.join().unwrap(), size);
    }
}

/// The slots of all sizes before stayed mapped until they took the limit.
#[test]
fn stacks_of_many_sizes_one_after_the_other_under_rlimit_as() {
    if !common::in_subprocess("release::stacks_of_many_sizes_one_after_the_other_under_rlimit_as") {
        return;
    }
    util::set_limit(libc::RLIMIT_AS, (used("VmSize:") + (256 << 20)) as u64);
    of_many_sizes();
    of_many_sizes();
}

#[test]
fn many_small_stacks_make_room_for_a_large_one() {
    if !common::in_subprocess("release::many_small_stacks_make_room_for_a_large_one") {
        return;
    }
    util::park_once();
    util::set_limit(libc::RLIMIT_AS, (used("VmSize:") + (256 << 20)) as u64);
    for _ in 0..3 {
        let threads: Vec<_> = (0..100)
            .map(|_| rawthread::spawn(rawthread::park))
            .collect();
        // Some idle, some running: the running ones are not touched.
        let (gone, kept) = threads.split_at(90);
        gone.iter()
            .chain(kept)
            .for_each(|thread| assert!(thread.tid() > 0));
        let mut threads = threads;
        let running = threads.split_off(90);
        for thread in threads {
            thread.thread().unpark();
            thread.join_reaped().unwrap();
        }
        let large = Builder::new()
            .stack_size(150 << 20)
            .try_spawn(|| 7)
            .unwrap();
        assert_eq!(large.join_reaped().unwrap(), 7);
        for thread in running {
            thread.thread().unpark();
            thread.join_reaped().unwrap();
        }
    }
}

/// A thread that parks and asks for no handle takes no memory: glibc would give each of many an arena.
#[test]
fn threads_that_only_park_take_no_memory() {
    if !common::in_subprocess("release::threads_that_only_park_take_no_memory") {
        return;
    }
    util::park_once();
    let size = used("VmSize:");
    let threads: Vec<_> = (0..64).map(|_| rawthread::spawn(rawthread::park)).collect();
    common::poll_until("all sleep", || {
        threads.iter().all(|thread| util::sleeps(thread.tid()))
    });
    let grown = used("VmSize:") - size;
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    // Stacks with their guards and control blocks, and no arena of 64 MiB.
    assert!(grown < ((64 * 3 + 32) << 20), "{grown}");
}

/// Among threads that park as the first of a process, one learns how std knows a thread, and the others
/// wait for it: none is lost, and memory that is short ends nothing.
#[test]
fn many_threads_park_first_at_once() {
    for (test, limited) in [
        ("release::many_threads_park_first_at_once", false),
        ("release::many_threads_park_first_at_once", true),
    ] {
        if !common::is_child(test) {
            let mut command = common::rerun_self(test);
            if limited {
                command.env("RAWTHREAD_LIMITED", "1");
            }
            common::assert_output(test, &command.output().unwrap());
            continue;
        }
        common::watchdog(120);
        let limited = std::env::var_os("RAWTHREAD_LIMITED").is_some();
        let mut threads = Vec::with_capacity(3000);
        if limited {
            util::set_limit(libc::RLIMIT_AS, (used("VmSize:") + (200 << 20)) as u64);
        }
        for _ in 0..3000 {
            let small = Builder::new().stack_size(1 << 16);
            match small.try_spawn(rawthread::park) {
                Ok(thread) => threads.push(thread),
                Err(_) if limited => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(threads.len() > 100);
        for thread in threads {
            thread.thread().unpark();
            thread.join().unwrap();
        }
        return;
    }
}

/// What threads touched, and where they lay, is not the process's any more.
#[test]
fn a_trim_gives_address_space_back() {
    if !common::in_subprocess("release::a_trim_gives_address_space_back") {
        return;
    }
    util::park_once();
    rawthread::trim();
    let (size, resident) = (used("VmSize:"), used("VmRSS:"));
    for _ in 0..3 {
        let threads: Vec<_> = (0..64)
            .map(|_| {
                rawthread::spawn(|| {
                    std::hint::black_box([1u8; 1 << 20]);
                    rawthread::park();
                })
            })
            .collect();
        for thread in threads {
            thread.thread().unpark();
            thread.join_reaped().unwrap();
        }
        assert!(used("VmSize:") > size + 64 * (2 << 20));
        rawthread::trim();
        let (size_now, resident_now) = (used("VmSize:"), used("VmRSS:"));
        // malloc keeps arenas of 64 MiB of address space for a few threads.
        assert!(size_now < size + (64 << 20), "{size} -> {size_now}");
        assert!(
            resident_now < resident + (4 << 20),
            "{resident} -> {resident_now}"
        );
    }
}

/// What threads left in their stacks goes back without a call, but for 16 MiB of stacks, and the top
/// of each, some 40 KiB.
#[test]
fn what_many_threads_left_goes_back() {
    if !common::in_subprocess("release::what_many_threads_left_goes_back") {
        return;
    }
    const COUNT: usize = 300;
    rawthread::spawn(|| ()).join().unwrap();
    let before = used("VmRSS:");
    for round in 0..3 {
        let threads: Vec<_> = (0..COUNT)
            .map(|_| {
                rawthread::spawn(|| {
                    std::hint::black_box([0u8; 1 << 20]);
                    rawthread::park();
                })
            })
            .collect();
        common::poll_until("all have touched their stacks", || {
            used("VmRSS:") > before + COUNT * (1 << 20)
        });
        for thread in threads {
            thread.thread().unpark();
            thread.join().unwrap();
        }
        let after = used("VmRSS:");
        assert!(
            after < before + (24 << 20),
            "round {round}: {before} -> {after}"
        );
    }
}

/// A program may allow more or less than the default, and what is idle already follows.
#[test]
fn a_program_says_how_much_of_idle_stacks_stays() {
    if !common::in_subprocess("release::a_program_says_how_much_of_idle_stacks_stays") {
        return;
    }
    const COUNT: usize = 32;
    const TOUCHED: usize = COUNT << 20;
    /// Threads that touch 1 MiB each, all alive at once, and are joined; how much more is resident.
    fn left_by_threads(before: usize) -> usize {
        let threads: Vec<_> = (0..COUNT)
            .map(|_| {
                rawthread::spawn(|| {
                    std::hint::black_box([1u8; 1 << 20]);
                    rawthread::park();
                })
            })
            .collect();
        common::poll_until("all have touched their stacks", || {
            used("VmRSS:") > before + TOUCHED
        });
        for thread in threads {
            thread.thread().unpark();
            thread.join_reaped().unwrap();
        }
        used("VmRSS:").saturating_sub(before)
    }
    rawthread::spawn(|| ()).join().unwrap();
    let before = used("VmRSS:");
    rawthread::set_idle_memory(usize::MAX);
    let all = left_by_threads(before);
    assert!(all >= TOUCHED, "{all} of {TOUCHED}");
    // The top of each stack stays, some 40 KiB, and what malloc took.
    const TOPS: usize = COUNT * (64 << 10) + (2 << 20);
    rawthread::set_idle_memory(0);
    let at_once = used("VmRSS:").saturating_sub(before);
    assert!(at_once < TOPS, "{at_once} at once");
    let none = left_by_threads(before);
    assert!(none < TOPS + (1 << 20), "{none} with a bound of 0");
    rawthread::set_idle_memory(16 << 20);
    let some = left_by_threads(before);
    assert!(some < TOPS + (8 << 20), "{some} with the default");
}

/// Without memory for a task's closure there is an error: the allocator's answer ends no process.
#[test]
fn a_task_that_finds_no_memory_is_an_error() {
    const NAME: &str = "release::a_task_that_finds_no_memory_is_an_error";
    if !common::in_subprocess(NAME) {
        return;
    }
    util::park_once();
    // The stack that the limit would keep from growing.
    std::hint::black_box([1_u8; 256 << 10]);
    let closure = [7_u8; 9000];
    // For the harness, which goes on under the limit.
    let spare: Vec<_> = (5..14)
        .flat_map(|bits| (0..32).map(move |_| Vec::<u8>::with_capacity(1 << bits)))
        .collect();
    let (mut filled, mut size) = (Vec::with_capacity(1 << 16), 1 << 20);
    util::set_limit(libc::RLIMIT_AS, 1 << 20);
    while size >= 24 && filled.len() < filled.capacity() {
        let mut block = Vec::<u8>::new();
        match block.try_reserve_exact(size) {
            Ok(()) => filled.push(block),
            Err(_) => size /= 2,
        }
    }
    let tasks = [
        rawthread::warm::try_spawn(move || closure.len()),
        rawthread::warm::try_spawn_unverified(move || closure.len()),
    ];
    drop((filled, spare));
    for task in tasks {
        // On musl the task's thread needs none: the closure lies on the stack that `park_once` left.
        match task {
            Ok(task) if common::MUSL => assert_eq!(task.join().unwrap(), 9000),
            Ok(_) => panic!("there was memory"),
            Err(error) => println!("{error}"),
        }
    }
}
