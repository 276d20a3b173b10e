//! The contenders, behind one trait, and how they are timed: taking turns.

use std::hint::black_box;
use std::time::Instant;

use super::bare_clone::Slot;

/// Who makes threads.
pub(super) trait Contender {
    fn name(&self) -> &'static str;
    /// Makes `count` threads that end at once, then joins them all.
    fn run(&mut self, count: usize) -> Result<(), String>;
}

struct BareClone(Vec<Slot>);

impl Contender for BareClone {
    fn name(&self) -> &'static str {
        "bare clone"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        self.0.resize_with(count.max(self.0.len()), Slot::new);
        for slot in &self.0[..count] {
            slot.spawn()?;
        }
        self.0[..count].iter().for_each(Slot::join);
        Ok(())
    }
}

struct Library;

impl Contender for Library {
    fn name(&self) -> &'static str {
        "rawthread::spawn"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let threads: Vec<_> = (0..count)
            .map(|number| rawthread::spawn(move || black_box(number)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}

struct Std;

impl Contender for Std {
    fn name(&self) -> &'static str {
        "std::thread::spawn"
    }

    fn run(&mut self, count: usize) -> Result<(), String> {
        let threads: Vec<_> = (0..count)
            .map(|number| std::thread::spawn(move || black_box(number)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")?;
        }
        Ok(())
    }
}

/// Nanoseconds for one thread: the middle of the rounds, and their slowest tenth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    pub(super) middle: f64,
    pub(super) slow: f64,
}

/// The field, timed over `rounds`, `together` threads at once.
///
/// # Errors
/// One line: a contender could not make its threads.
pub(super) fn time(rounds: usize, together: usize) -> Result<Vec<(&'static str, Times)>, String> {
    let mut contenders: [Box<dyn Contender>; 3] = [
        Box::new(BareClone(Vec::new())),
        Box::new(Library),
        Box::new(Std),
    ];
    let mut seen = vec![Vec::with_capacity(rounds); contenders.len()];
    // A round has about as many threads whether they are alive together or one by one.
    let turns = 64 / together;
    for round in 0..=rounds {
        // Who begins changes from round to round.
        for place in 0..contenders.len() {
            let index = (round + place) % contenders.len();
            let start = Instant::now();
            for _ in 0..turns {
                contenders[index].run(together)?;
            }
            let each = start.elapsed().as_nanos() as f64 / (turns * together) as f64;
            // The first round fills the caches.
            if round > 0 {
                seen[index].push(each);
            }
        }
    }
    let names = contenders.iter().map(|contender| contender.name());
    Ok(names.zip(seen.into_iter().map(times)).collect())
}

fn times(mut seen: Vec<f64>) -> Times {
    seen.sort_by(f64::total_cmp);
    let at = |tenths: usize| seen[(seen.len() - 1) * tenths / 10];
    Times {
        middle: at(5),
        slow: at(9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        let seen = (0..=10).rev().map(f64::from).collect();
        let expected = Times {
            middle: 5.0,
            slow: 9.0,
        };
        assert_eq!(times(seen), expected);
        assert_eq!(times(vec![7.0]).middle, 7.0);
    }

    #[test]
    fn every_contender_finishes() {
        let seen = time(2, 8).unwrap();
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|(_, times)| times.middle > 0.0));
    }
}
