//! Limits on memory: map entries, address space and data.
#![allow(unsafe_code, reason = "uses up the address space of its own process")]

use std::fs;

use rawthread::{Builder, Limit};

use crate::common;
use crate::many_threads::{Crowd, Expected};
use crate::util::{self, Holdings};

/// Uses up map entries until the kernel gives no more; returns the range that has them.
///
/// Neighbouring pages of different protection cannot share an entry.
fn use_up_map_entries(max: usize) -> (*mut libc::c_void, usize) {
    const PAGE: usize = 65536;
    let len = 2 * max * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping that no other code touches, changed inside its bounds.
    unsafe {
        let base = libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(base, libc::MAP_FAILED);
        for index in 0..max {
            let page = base.byte_add(2 * index * PAGE);
            if libc::mprotect(page, PAGE, libc::PROT_READ) != 0 {
                return (base, len);
            }
        }
    }
    panic!("{max} map entries, and no limit was met");
}

fn map_entries(builder: impl Fn() -> Builder) {
    let value: u64 = fs::read_to_string("/proc/sys/vm/max_map_count")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let expected = Expected {
        limit: Limit::MapCount,
        value,
        errno: libc::ENOMEM,
    };
    let mut crowd = Crowd::new();
    for _ in 0..10 {
        crowd.add(builder()).unwrap();
    }
    let (base, len) = use_up_map_entries(value as usize);
    expected.check(crowd.fill(20_000, &builder));
    let before = Holdings::now();
    for _ in 0..20 {
        expected.check(crowd.add(builder()).unwrap_err());
    }
    assert_eq!(Holdings::now(), before, "failed spawns leave something");
    // Ready slots need no entries.
    let count = crowd.len();
    crowd.shrink(count - 5);
    for _ in 0..5 {
        crowd.add(builder()).expect("five slots are ready");
    }
    // SAFETY: the range is the test's own.
    assert_eq!(unsafe { libc::munmap(base, len) }, 0);
    for _ in 0..200 {
        crowd.add(builder()).expect("the limit is lifted");
    }
    crowd.shrink(0);
}

#[test]
fn max_map_count() {
    if common::in_subprocess("memory::max_map_count") {
        map_entries(Builder::new);
    }
}

/// Other guards than the default one are installed at once, each in a mapping of its own.
#[test]
fn max_map_count_with_large_guards() {
    if common::in_subprocess("memory::max_map_count_with_large_guards") {
        map_entries(|| Builder::new().guard_size(64 * 1024));
    }
}

/// Locked memory takes no lightweight guards: they are made by mprotect and cost entries.
#[test]
fn max_map_count_with_guards_that_cost_entries() {
    if !common::in_subprocess("memory::max_map_count_with_guards_that_cost_entries") {
        return;
    }
    // SAFETY: no memory; locks pages of this process as they are touched.
    if unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) } != 0 {
        skip!("no right to lock memory");
    }
    map_entries(Builder::new);
}

fn bytes(limit: Limit, builder: impl Fn() -> Builder) {
    let (resource, key) = match limit {
        Limit::Data => (libc::RLIMIT_DATA, "VmData:"),
        _ => (libc::RLIMIT_AS, "VmSize:"),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let used = status.lines().find_map(|line| line.strip_prefix(key));
    let used = used.unwrap().trim().trim_end_matches(" kB");
    // Not a whole number of stacks.
    let value = used.parse::<u64>().unwrap() * 1024 + (100 << 20) + 12_345;
    let expected = Expected {
        limit,
        value,
        errno: libc::ENOMEM,
    };
    let mut crowd = Crowd::new();
    util::set_limit(resource, value);
    expected.check(crowd.fill(20_000, &builder));
    assert!(crowd.len() > 3, "{}", crowd.len());
    let before = Holdings::now();
    for _ in 0..50 {
        expected.check(crowd.add(builder()).unwrap_err());
    }
    assert_eq!(Holdings::now(), before, "failed spawns leave something");
    // What ended threads leave is used again.
    let count = crowd.len();
    crowd.shrink(1);
    for _ in 1..count {
        crowd.add(builder()).expect("slots are ready");
    }
    expected.check(crowd.add(builder()).unwrap_err());
    crowd.shrink(0);
}

#[test]
fn rlimit_as() {
    if common::in_subprocess("memory::rlimit_as") {
        bytes(Limit::AddressSpace, Builder::new);
    }
}

#[test]
fn rlimit_as_with_small_stacks() {
    if common::in_subprocess("memory::rlimit_as_with_small_stacks") {
        bytes(Limit::AddressSpace, || Builder::new().stack_size(1));
    }
}

#[test]
fn rlimit_data() {
    if common::in_subprocess("memory::rlimit_data") {
        bytes(Limit::Data, Builder::new);
    }
}

#[test]
fn rlimit_data_with_small_stacks() {
    if common::in_subprocess("memory::rlimit_data_with_small_stacks") {
        bytes(Limit::Data, || Builder::new().stack_size(1));
    }
}

#[test]
fn rlimit_as_at_the_very_first_thread() {
    if !common::in_subprocess("memory::rlimit_as_at_the_very_first_thread") {
        return;
    }
    util::set_limit(libc::RLIMIT_AS, 1 << 20);
    let expected = Expected {
        limit: Limit::AddressSpace,
        value: 1 << 20,
        errno: libc::ENOMEM,
    };
    expected.check(Builder::new().try_spawn(|| ()).unwrap_err());
}

/// The stack is there, and libc has no memory for what it keeps of a thread: pthread_create says EAGAIN, as
/// for a limit on tasks.
#[test]
fn rlimit_as_where_libc_needs_memory_for_a_thread() {
    if !common::in_subprocess("memory::rlimit_as_where_libc_needs_memory_for_a_thread") {
        return;
    }
    rawthread::serve_by_libc().unwrap();
    rawthread::reserve(4).unwrap();
    rawthread::spawn(|| ()).join().unwrap();
    let value = 1 << 20;
    util::set_limit(libc::RLIMIT_AS, value);
    let mut taken = Vec::new();
    // SAFETY: takes memory until libc has none, and gives it back.
    let outcome = unsafe {
        if taken.try_reserve_exact(1 << 12).is_ok() {
            drain(&mut taken);
        }
        let outcome = Builder::new().try_spawn(|| ()).map(|thread| thread.join());
        taken.into_iter().for_each(|block| libc::free(block));
        outcome
    };
    match outcome {
        Err(error) => Expected {
            limit: Limit::AddressSpace,
            value,
            errno: libc::EAGAIN,
        }
        .check(error),
        Ok(joined) => {
            joined.unwrap();
            println!("SKIP: this libc needs no memory for a thread on a stack of the caller's");
        }
    }
}

/// Takes all that malloc has, as far as `taken` has places.
///
/// # Safety
/// The caller frees what it gets.
unsafe fn drain(taken: &mut Vec<*mut libc::c_void>) {
    let mut size = 1 << 20;
    while size >= 16 && taken.len() < taken.capacity() {
        // SAFETY: any size is allowed.
        let block = unsafe { libc::malloc(size) };
        if block.is_null() {
            size /= 2;
        } else {
            taken.push(block);
        }
    }
}
