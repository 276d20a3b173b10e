//! Rounds: contenders take turns, so that other load on the machine slows all of them alike.
#![allow(unsafe_code, reason = "sleeps on a futex")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::contender::Contender;
use super::machine;

/// What contenders do; a *batch* is one measured piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Spawn a thread and join it, again and again.
    SpawnJoin,
    /// Spawn 64 threads, then join them in the same order.
    Spawn64Join64,
}

impl Workload {
    /// Threads that one batch makes.
    pub(crate) const fn batch(self) -> u32 {
        match self {
            Self::SpawnJoin => 50,
            Self::Spawn64Join64 => 64,
        }
    }

    /// Times one batch: by the clock, and in processor time of the process.
    pub(crate) fn run(self, contender: &mut dyn Contender) -> [Duration; 2] {
        fn nothing() {}
        let (cpu, start) = (machine::processor_time(), Instant::now());
        match self {
            Self::SpawnJoin => {
                for _ in 0..self.batch() {
                    contender.spawn(nothing);
                    contender.join();
                }
            }
            Self::Spawn64Join64 => {
                for _ in 0..self.batch() {
                    contender.spawn(nothing);
                }
                for _ in 0..self.batch() {
                    contender.join();
                }
            }
        }
        [start.elapsed(), machine::processor_time() - cpu]
    }

    /// Microseconds per thread and round, by the clock and of processor time, for each contender in order.
    ///
    /// In a round the contenders take `turns` turns of one batch each.
    pub(crate) fn measure(
        self,
        contenders: &mut [Box<dyn Contender>],
        rounds: usize,
        turns: u32,
    ) -> Vec<[Vec<f64>; 2]> {
        for contender in contenders.iter_mut() {
            for _ in 0..turns.min(8) {
                self.run(&mut **contender);
            }
        }
        let mut times = vec![<[Vec<f64>; 2]>::default(); contenders.len()];
        for _ in 0..rounds {
            let mut sums = vec![[Duration::ZERO; 2]; contenders.len()];
            for _ in 0..turns {
                for (contender, sums) in contenders.iter_mut().zip(&mut sums) {
                    let took = self.run(&mut **contender);
                    sums.iter_mut()
                        .zip(took)
                        .for_each(|(sum, took)| *sum += took);
                }
            }
            for (times, sums) in times.iter_mut().zip(sums) {
                for (times, sum) in times.iter_mut().zip(sums) {
                    times.push(sum.as_secs_f64() * 1e6 / f64::from(turns * self.batch()));
                }
            }
        }
        times
    }
}

/// Microseconds per thread, by the clock and of processor time, to make `count` threads in a process that
/// had none, until all of them run. They stay alive meanwhile.
pub(crate) fn cold(contender: &mut dyn Contender, count: u32) -> [f64; 2] {
    static ARRIVED: AtomicU32 = AtomicU32::new(0);
    static RELEASED: AtomicU32 = AtomicU32::new(0);

    /// What each thread does: counts itself, and sleeps until it is released.
    fn arrive() {
        ARRIVED.fetch_add(1, Ordering::Relaxed);
        while RELEASED.load(Ordering::Acquire) == 0 {
            futex(libc::FUTEX_WAIT, 0);
        }
    }

    fn futex(operation: i32, value: i32) {
        let word = RELEASED.as_ptr();
        let forever = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is static.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word,
                operation | libc::FUTEX_PRIVATE_FLAG,
                value,
                forever,
            )
        };
    }

    let (cpu, start) = (machine::processor_time(), Instant::now());
    for _ in 0..count {
        contender.spawn(arrive);
    }
    while ARRIVED.load(Ordering::Relaxed) < count {
        std::thread::yield_now();
    }
    let took = [start.elapsed(), machine::processor_time() - cpu];
    RELEASED.store(1, Ordering::Release);
    futex(libc::FUTEX_WAKE, i32::MAX);
    for _ in 0..count {
        contender.join();
    }
    took.map(|took| took.as_secs_f64() * 1e6 / f64::from(count))
}

/// How many rounds a full table has: as many as `RAWTHREAD_BENCH_ROUNDS` says, or `usual`.
pub(crate) fn count(usual: usize) -> usize {
    let given = std::env::var("RAWTHREAD_BENCH_ROUNDS").ok();
    let given = given.and_then(|count| count.parse().ok());
    given.filter(|count| *count > 0).unwrap_or(usual)
}

/// The middle value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// Median of the ratios of each round.
pub(crate) fn ratio(numerators: &[f64], denominators: &[f64]) -> f64 {
    median(numerators.iter().zip(denominators).map(|(a, b)| a / b))
}
