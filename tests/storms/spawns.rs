//! Spawns of every kind at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rawthread::{Builder, JoinSet, SignalSet, warm};

use crate::common::poll_until;
use crate::watchdog::storm;

/// Pseudo-random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit
    }
}

/// Threads that were made, closures that ran, and spawns that were refused.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) made: AtomicU64,
    pub(crate) ran: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl Counts {
    pub(crate) const fn new() -> Self {
        Self {
            made: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn run(&self) {
        self.ran.fetch_add(1, Ordering::SeqCst);
    }

    fn count<T, E>(&self, spawned: Result<T, E>) -> Option<T> {
        match spawned {
            Ok(handle) => {
                self.made.fetch_add(1, Ordering::SeqCst);
                Some(handle)
            }
            Err(_) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                None
            }
        }
    }

    /// Waits until every closure has run that was said to.
    pub(crate) fn assert_none_lost(&self) {
        poll_until("every thread ran its closure", || {
            self.ran.load(Ordering::SeqCst) == self.made.load(Ordering::SeqCst)
        });
    }

    pub(crate) fn tell(&self, name: &str) {
        let [made, refused] = [&self.made, &self.refused].map(|n| n.load(Ordering::SeqCst));
        println!("storm {name}: {made} threads, none lost; {refused} spawns refused");
    }
}

/// Makes a thread, or a few, in one of many ways; joined, detached or forgotten by then.
pub(crate) fn one_of_any_kind(random: &mut Random, counts: &'static Counts) {
    match random.below(12) {
        0..3 => {
            if let Some(thread) = counts.count(Builder::new().spawn(|| counts.run())) {
                thread.join().unwrap();
            }
        }
        3..5 => drop(counts.count(Builder::new().spawn(|| counts.run()))),
        5 => {
            let size = (16 * 1024) << random.below(8);
            let thread = Builder::new().stack_size(size).name("sized".into());
            if let Some(thread) = counts.count(thread.spawn(|| counts.run())) {
                // It may be done or not.
                drop(thread.try_join());
            }
        }
        6 => rawthread::scope(|scope| {
            for _ in 0..3 {
                drop(counts.count(Builder::new().spawn_scoped(scope, || counts.run())));
            }
        }),
        7 => {
            let mut set = JoinSet::new();
            for _ in 0..3 {
                counts.count(set.spawn_with(Builder::new(), || counts.run()));
            }
            for _ in 0..random.below(4) {
                set.join_next();
            }
        }
        8 | 9 => {
            let task = counts.count(warm::try_spawn(|| counts.run()));
            if let Some(task) = task.filter(|_| random.below(2) == 0) {
                task.join().unwrap();
            }
        }
        10 => {
            let refuse = random.below(2) == 0;
            let thread = Builder::new()
                .signal_mask(SignalSet::all())
                .before_start(move || match refuse {
                    true => Err(rawthread::Error::from_raw_os_error(libc::EDOM)),
                    false => Ok(()),
                });
            if let Some(thread) = counts.count(thread.try_spawn(|| counts.run())) {
                thread.join().unwrap();
            }
        }
        _ => {
            if random.below(64) == 0 {
                rawthread::trim();
            }
            rawthread::yield_now();
        }
    }
}

/// Has `spawners` threads make others until the time is over; none is lost.
pub(crate) fn mixed(spawners: u64, until: Instant, counts: &'static Counts) {
    let threads: Vec<_> = (0..spawners)
        .filter_map(|seed| {
            let small = Builder::new().stack_size(64 * 1024);
            let spawner = small.spawn(move || {
                let mut random = Random(seed);
                // At least a few, however late the machine lets it begin.
                for n in 0.. {
                    if n >= 20 && Instant::now() >= until {
                        break;
                    }
                    one_of_any_kind(&mut random, counts);
                }
            });
            spawner.ok()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    counts.assert_none_lost();
}

#[test]
fn eight_spawners_lose_no_thread() {
    static COUNTS: Counts = Counts::new();
    if let Some(until) = storm("spawns::eight_spawners_lose_no_thread", |_| ()) {
        mixed(8, until, &COUNTS);
        assert!(COUNTS.made.load(Ordering::SeqCst) > 0);
        COUNTS.tell("of 8 spawners");
    }
}

#[test]
fn sixty_four_spawners_lose_no_thread() {
    static COUNTS: Counts = Counts::new();
    if let Some(until) = storm("spawns::sixty_four_spawners_lose_no_thread", |_| ()) {
        mixed(64, until, &COUNTS);
        assert!(COUNTS.made.load(Ordering::SeqCst) > 0);
        COUNTS.tell("of 64 spawners");
    }
}
