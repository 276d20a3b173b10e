//! A process with several copies of this crate: the program's, and those of two libraries, of which one has
//! libc make its threads. Each knows its own threads alone, and libc all.

use std::sync::atomic::{AtomicBool, Ordering};

use super::attack_unload::{Plugin, with_plugin};
use super::common::in_forked_child;

type GroupOfAThread = extern "C" fn() -> u32;

/// The library twice, each with memory of its own; the second asks for libc's threads.
fn copies(path: &str) -> Option<[GroupOfAThread; 2]> {
    let other = format!("{path}.other.so");
    std::fs::copy(path, &other).unwrap();
    let (raw, by_libc) = (Plugin::open(path)?, Plugin::open(&other)?);
    let serve: extern "C" fn() -> bool = by_libc.function("serve_by_libc");
    assert!(serve());
    let functions = [&raw, &by_libc].map(|copy| copy.function("group_of_a_thread"));
    assert_ne!(functions[0] as *const (), functions[1] as *const ());
    // They stay loaded.
    Some(functions)
}

/// What each copy's new threads have, spawned by a thread of each kind.
fn groups(copies: [GroupOfAThread; 2]) -> Vec<u32> {
    let ask = move || copies.map(|copy| copy());
    let mut all = ask().to_vec();
    all.extend(std::thread::spawn(ask).join().unwrap());
    all.extend(rawthread::spawn(ask).join().unwrap());
    all.extend(rawthread::warm::spawn(ask).join().unwrap());
    // SAFETY: asks.
    let own = || unsafe { libc::syscall(libc::SYS_getegid) as u32 };
    all.push(rawthread::spawn(own).join().unwrap());
    all
}

#[test]
fn a_change_of_ids_reaches_the_threads_of_every_copy() {
    with_plugin(
        "two_copies::a_change_of_ids_reaches_the_threads_of_every_copy",
        |path| {
            if unsafe { libc::geteuid() } != 0 {
                skip!("changing ids needs root");
            }
            let Some(copies) = copies(path) else {
                return;
            };
            // Before the first change every copy has idle threads.
            assert_eq!(groups(copies), [0; 9]);
            static STOP: AtomicBool = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !STOP.load(Ordering::Relaxed) {
                            groups(copies);
                        }
                    });
                }
                for round in 1..=100 {
                    let group = 1000 + round;
                    assert_eq!(unsafe { libc::setegid(group) }, 0);
                    assert_eq!(groups(copies), [group; 9], "round {round}");
                }
                STOP.store(true, Ordering::Relaxed);
            });
        },
    );
}

#[test]
fn a_forked_child_has_threads_of_every_copy() {
    with_plugin(
        "two_copies::a_forked_child_has_threads_of_every_copy",
        |path| {
            let Some(copies) = copies(path) else {
                return;
            };
            let before = groups(copies);
            let child = move || {
                in_forked_child(|| assert_eq!(groups(copies).len(), 9));
            };
            child();
            rawthread::spawn(child).join().unwrap();
            std::thread::spawn(child).join().unwrap();
            assert_eq!(groups(copies), before);
        },
    );
}
