//! The first guard of a process, by which the kind of all is chosen.

use std::fs;

use super::common::{in_subprocess, stack_pointer};
use super::filter;

/// Map entries without any access that may be guards: what malloc reserves for a thread's heap is larger.
fn inaccessible_entries() -> usize {
    const LONGEST_GUARD: usize = 1 << 16;
    let len = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(address(end)? - address(start)?)
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains(" ---p ") && len(line).unwrap() <= LONGEST_GUARD)
        .count()
}

/// Entries without access that four live threads add.
fn entries_of_guards() -> usize {
    let before = inaccessible_entries();
    let threads: Vec<_> = (0..4).map(|_| rawthread::spawn(rawthread::park)).collect();
    let added = inaccessible_entries() - before;
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    added
}

/// madvise(2): Linux 6.13.
fn has_lightweight_guards() -> bool {
    const MADV_GUARD_INSTALL: i32 = 102;
    unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        libc::madvise(page, 4096, MADV_GUARD_INSTALL) == 0
    }
}

/// The page table of a guard may not be had just then. The next guard is lightweight all the same.
#[test]
fn want_of_memory_at_the_first_guard_does_not_choose_the_kind() {
    if !in_subprocess("first_guard::want_of_memory_at_the_first_guard_does_not_choose_the_kind") {
        return;
    }
    if !has_lightweight_guards() {
        skip!("no lightweight guards here");
    }
    // The filter is this thread's alone.
    let refused = std::thread::spawn(|| {
        filter::refuse(libc::SYS_madvise, None, libc::ENOMEM)
            .then(|| rawthread::Builder::new().try_spawn(|| ()).map(drop))
    });
    match refused.join().unwrap() {
        Some(spawned) => {
            let error = spawned.expect_err("no guard could be had");
            assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
        }
        None => skip!("no filters here"),
    }
    assert_eq!(entries_of_guards(), 0);
}

/// As an emulator does that knows the call by name only.
#[test]
fn a_guard_that_is_only_pretended_is_not_taken_for_one() {
    if !in_subprocess("first_guard::a_guard_that_is_only_pretended_is_not_taken_for_one") {
        return;
    }
    if !filter::refuse(libc::SYS_madvise, None, 0) {
        skip!("no filters here");
    }
    assert!(entries_of_guards() >= 4);
}

/// The kinds of the mappings in which the threads' stacks lie: what smaps has behind `VmFlags:`
/// (proc_pid_smaps(5)).
fn flags_of_stacks(addresses: &[usize]) -> Vec<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut found = Vec::new();
    let mut is_stack = false;
    for line in smaps.lines() {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let address = |text| usize::from_str_radix(text, 16).ok();
        if let Some((start, end)) = range.and_then(|(start, end)| address(start).zip(address(end)))
        {
            is_stack = addresses.iter().any(|stack| (start..end).contains(stack));
        }
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_stack) {
            found.push(flags.to_owned());
        }
    }
    found
}

/// With transparent huge pages the first touch of a stack would make 2 MiB of it resident.
#[test]
fn no_stack_has_huge_pages() {
    if !in_subprocess("first_guard::no_stack_has_huge_pages") {
        return;
    }
    if !fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        skip!("a kernel without transparent huge pages");
    }
    let (sender, addresses) = std::sync::mpsc::channel();
    let park_and_tell = |sender: std::sync::mpsc::Sender<usize>| {
        sender.send(stack_pointer()).unwrap();
        rawthread::park();
    };
    let spawn = |_| {
        let sender = sender.clone();
        rawthread::spawn(move || park_and_tell(sender))
    };
    let threads: Vec<_> = (0..20).map(spawn).collect();
    let stacks: Vec<usize> = addresses.iter().take(threads.len()).collect();
    let flags = flags_of_stacks(&stacks);
    assert!(!flags.is_empty());
    for flags in flags {
        assert!(flags.split_whitespace().any(|flag| flag == "nh"), "{flags}");
    }
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
