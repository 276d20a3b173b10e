//! Many spawns, of which each is counted, in memory that stays the same.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::poll_until;
use crate::watchdog::{spawns, storm};

/// Resident memory, in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.unwrap().trim().trim_end_matches(" kB").trim();
    number.parse().unwrap()
}

/// Lines of the process's memory map.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Half of them joined, half detached. Memory is compared with what it was when a tenth had been made.
#[test]
fn spawns_are_not_lost_and_memory_is_flat() {
    static RAN: AtomicU64 = AtomicU64::new(0);
    if storm("count::spawns_are_not_lost_and_memory_is_flat", |_| ()).is_none() {
        return;
    }
    let wanted = spawns();
    let mut made = 0;
    let mut spawn_to = |count: u64| {
        while made < count {
            let joined = rawthread::spawn(|| RAN.fetch_add(1, Ordering::Relaxed));
            drop(rawthread::spawn(|| RAN.fetch_add(1, Ordering::Relaxed)));
            joined.join().unwrap();
            made += 2;
        }
        poll_until("every thread ran", || RAN.load(Ordering::Relaxed) == made);
    };
    spawn_to(wanted / 10);
    let (first, first_mappings) = (resident(), mappings());
    spawn_to(wanted);
    let (last, last_mappings) = (resident(), mappings());
    println!(
        "storm of {wanted} spawns: {} lost; resident {first} KiB after a tenth, {last} KiB at the end; \
         {first_mappings} and {last_mappings} mappings",
        wanted.next_multiple_of(2) - RAN.load(Ordering::Relaxed),
    );
    // A burst may need a few stacks more than the bursts before it; a leak of a byte a thread would
    // show in the long run.
    assert!(last < first + 8 * 1024, "{first} KiB -> {last} KiB");
    assert!(last_mappings < first_mappings + 64);
}
