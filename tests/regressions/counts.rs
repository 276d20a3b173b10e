//! What counts threads counts right where a spawn fails and its closure panics when it is dropped.
//!
//! The count of a scope stayed one too high, and the scope never ended; a place in a `JoinSet`,
//! and with it the set's memory, was never given back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rawthread::{Builder, JoinSet};

use super::common;

/// Panics when it is dropped.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

/// No address space has such a stack.
fn refused() -> Builder {
    Builder::new().stack_size(1 << 60)
}

#[test]
fn a_scope_ends_though_a_closure_of_a_failed_spawn_panics() {
    if !common::in_subprocess("counts::a_scope_ends_though_a_closure_of_a_failed_spawn_panics") {
        return;
    }
    common::watchdog(60);
    rawthread::scope(|scope| {
        let grudge = Grudge;
        let spawn = || drop(refused().spawn_scoped(scope, move || drop(grudge)));
        assert!(catch_unwind(AssertUnwindSafe(spawn)).is_err());
    });
}

#[test]
fn a_set_is_as_before_though_a_closure_of_a_failed_spawn_panics() {
    if !common::in_subprocess(
        "counts::a_set_is_as_before_though_a_closure_of_a_failed_spawn_panics",
    ) {
        return;
    }
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let number = line.unwrap().trim().trim_end_matches(" kB").trim();
        number.parse::<usize>().unwrap()
    };
    std::panic::set_hook(Box::new(|_| {}));
    let fail = |times: usize| {
        for _ in 0..times {
            let mut set = JoinSet::new();
            let grudge = Grudge;
            let spawn = || drop(set.spawn_with(refused(), move || drop(grudge)));
            assert!(catch_unwind(AssertUnwindSafe(spawn)).is_err());
            assert_eq!(set.len(), 0);
            assert!(set.join_next().is_none());
        }
    };
    fail(1_000);
    let before = resident();
    // A place takes 64 bytes and more.
    fail(20_000);
    let after = resident();
    assert!(after < before + 512, "{before} KiB -> {after} KiB");
}
