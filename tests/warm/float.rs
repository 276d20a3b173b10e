//! A task, and a thread, has its spawner's floating-point environment: rounding and exceptions.

use std::hint::black_box;

use rawthread::warm;

use crate::common::{in_subprocess, warm_threads_are_kept};
use crate::{settled, tid};

#[link(name = "m")]
unsafe extern "C" {
    safe fn fesetround(mode: i32) -> i32;
    safe fn fegetround() -> i32;
    safe fn feraiseexcept(exceptions: i32) -> i32;
    safe fn feclearexcept(exceptions: i32) -> i32;
    safe fn fetestexcept(exceptions: i32) -> i32;
}

/// Modes other than the nearest: the architecture's own numbers.
fn modes() -> Vec<i32> {
    let known = [0x400, 0x800, 0xc00, 0x40_0000, 0x80_0000, 0xc0_0000];
    let modes: Vec<_> = known
        .into_iter()
        .filter(|mode| fesetround(*mode) == 0)
        .collect();
    fesetround(0);
    assert_eq!(modes.len(), 3);
    modes
}

/// The rounding mode as libc tells it and as arithmetic shows it, and the exceptions.
fn environment() -> (i32, u64, u64, i32) {
    let exceptions = fetestexcept(0x1f);
    let mode = fegetround();
    let third = |one: f64| (black_box(one) / black_box(3.0)).to_bits();
    (mode, third(1.0), third(-1.0), exceptions)
}

/// Calls `ask` under several environments, each after `disturb`.
fn under_each(mut check: impl FnMut((i32, u64, u64, i32))) {
    let mut seen = Vec::new();
    for mode in [0].into_iter().chain(modes()) {
        for exceptions in [0, 1, 2, 4, 8, 16, 0x1f] {
            fesetround(mode);
            feclearexcept(0x3f);
            feraiseexcept(exceptions);
            let own = environment();
            feclearexcept(0x3f);
            feraiseexcept(exceptions);
            check(own);
            seen.push(own);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 12, "the environments are the same: {seen:?}");
    fesetround(0);
}

#[test]
fn a_task_has_its_spawners_rounding_and_exceptions() {
    if !in_subprocess("float::a_task_has_its_spawners_rounding_and_exceptions")
        || !crate::common::warm_threads_are_kept()
    {
        return;
    }
    settled();
    let (mut tasks, mut threads) = (0, std::collections::HashSet::new());
    under_each(|own| {
        let (by, task) = warm::spawn(|| {
            let found = environment();
            // For the next one to find.
            feraiseexcept(0x1f);
            for mode in modes() {
                fesetround(mode);
            }
            (tid(), found)
        })
        .join()
        .unwrap();
        assert_eq!(task, own);
        tasks += 1;
        threads.insert(by);
    });
    let served = threads.len() < tasks;
    assert!(
        !warm_threads_are_kept() || served,
        "no thread served two tasks"
    );
}

#[test]
fn a_thread_has_its_spawners_rounding_and_exceptions() {
    if !in_subprocess("float::a_thread_has_its_spawners_rounding_and_exceptions") {
        return;
    }
    // The first thread on a slot begins in another way than the next.
    under_each(|own| {
        let several: Vec<_> = (0..3).map(|_| rawthread::spawn(environment)).collect();
        for thread in several {
            assert_eq!(thread.join().unwrap(), own);
        }
        let standard = std::thread::spawn(environment);
        assert_eq!(standard.join().unwrap(), own, "of std");
    });
}
