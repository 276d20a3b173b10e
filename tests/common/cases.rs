//! Cases made of seeds, and text that is nearly right.
#![allow(dead_code, reason = "each suite takes what it needs")]

// The unit tests of a crate without a prelude of std's use this file, too.
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;
use std::{eprintln, println};

/// Pseudo-random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Calls `check` with a generator for each of `count` seeds, or for as many as the time of a long run
/// has; says which one failed.
pub(crate) fn cases(count: u64, mut check: impl FnMut(&mut Random)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the case of RAWTHREAD_FUZZ_SEED={}", self.0);
            }
        }
    }
    let first = number("RAWTHREAD_FUZZ_SEED").unwrap_or(0);
    let seconds = number("RAWTHREAD_FUZZ_SECONDS").map(Duration::from_secs);
    let start = Instant::now();
    for seed in first.. {
        let is_over = match seconds {
            None => seed - first >= count,
            Some(seconds) => start.elapsed() >= seconds,
        };
        if is_over {
            println!("{} cases", seed - first);
            return;
        }
        let named = Named(seed);
        check(&mut Random(seed));
        drop(named);
    }
}

/// A line of the corpus with a few bytes changed, left out, doubled or taken from another line.
pub(crate) fn mutated(random: &mut Random, lines: &[&str], odd: &[&str]) -> String {
    let mut text: Vec<char> = random.of(lines).chars().collect();
    for _ in 0..random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(6)).min(text.len());
        match random.below(5) {
            0 => drop(text.drain(at..end)),
            1 => {
                let doubled = text[at..end].to_vec();
                text.splice(at..at, doubled);
            }
            2 => {
                text.splice(at..end, random.of(odd).chars());
            }
            3 => {
                let other: Vec<char> = random.of(lines).chars().collect();
                let from = random.below(other.len() + 1);
                text.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let any = char::from_u32(random.below(0x300) as u32).unwrap_or('x');
                text.insert(at, any);
            }
        }
    }
    text.into_iter().collect()
}
