//! Nothing is left of a thread, whatever became of it.

mod common;
#[macro_use]
#[path = "leaks/common.rs"]
mod scenarios;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

all_tests! {}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The race between a thread's end and what becomes of its handle, at many timings: each result
/// and each closure is dropped once, by its last owner.
#[test]
fn results_are_dropped_exactly_once() {
    const ROUNDS: usize = 20_000;
    let results: Vec<_> = (0..ROUNDS).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let closures: Vec<_> = (0..ROUNDS).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    for round in 0..ROUNDS {
        let result = Counted(results[round].clone());
        let captured = Counted(closures[round].clone());
        let (spins_here, spins_there) = (round * 7 % 400, round * 13 % 400);
        let thread = rawthread::spawn(move || {
            spin(spins_there);
            drop(captured);
            result
        });
        match round % 5 {
            0 => drop(thread),
            1 => {
                spin(spins_here);
                drop(thread);
            }
            2 => drop(thread.join().unwrap()),
            3 => {
                // A handle may go by way of another thread.
                rawthread::spawn(move || drop(thread)).join().unwrap();
            }
            _ => {
                while !thread.is_finished() {
                    rawthread::yield_now();
                }
                drop(thread);
            }
        }
    }
    let start = std::time::Instant::now();
    let all_once = || {
        let counts = || results.iter().chain(&closures);
        counts().all(|count| count.load(Ordering::Relaxed) == 1)
    };
    while !all_once() {
        let more = results
            .iter()
            .filter(|count| count.load(Ordering::Relaxed) > 1);
        assert_eq!(more.count(), 0, "dropped more than once");
        assert!(start.elapsed().as_secs() < 60, "some are never dropped");
        rawthread::sleep(std::time::Duration::from_millis(1));
    }
    // Late second drops would come now.
    rawthread::sleep(std::time::Duration::from_millis(20));
    assert!(all_once());
}

fn spin(times: usize) {
    for _ in 0..times {
        std::hint::spin_loop();
    }
}
