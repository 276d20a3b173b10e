//! What is timed.

use super::contenders;
use super::processes;
use super::rounds::{Entrant, Measured};

/// What a scenario makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    /// One task at a time, of every kind, on one processor.
    OneTask,
    /// Many threads at once, on all processors.
    ManyThreads,
}

/// A workload, and how much memory its process has beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) makes: Makes,
    /// Bytes that the making process has written to.
    pub(super) size: usize,
}

/// A scenario and what came of it.
pub(super) struct Outcome {
    pub(super) scenario: Scenario,
    pub(super) measured: Result<Vec<Measured>, String>,
}

/// Threads alive at once in [`Makes::ManyThreads`], and in one round of a contender.
const THREADS: usize = 64;
/// Processes in one round: each costs as much as many threads.
const PROCESSES: usize = 8;

impl Scenario {
    /// Two for each size.
    pub(super) fn all(sizes: &[usize]) -> Vec<Self> {
        let each = |&size| {
            [Makes::OneTask, Makes::ManyThreads]
                .into_iter()
                .map(move |makes| Self { makes, size })
        };
        sizes.iter().flat_map(each).collect()
    }

    /// A word for programs.
    pub(super) fn id(self) -> &'static str {
        match self.makes {
            Makes::OneTask => "one",
            Makes::ManyThreads => "64-threads",
        }
    }

    pub(super) fn title(self) -> String {
        let title = match self.makes {
            Makes::OneTask => "Make one task and wait for it, on one processor",
            Makes::ManyThreads => "Spawn 64 threads, then join them, on all processors",
        };
        match self.size {
            0 => title.into(),
            size => format!("{title}; {} of parent", size_word(size)),
        }
    }

    pub(super) fn is_on_one_processor(self) -> bool {
        self.makes == Makes::OneTask
    }

    pub(super) fn entrants(self) -> Vec<Entrant> {
        let threads = contenders::threads().into_iter();
        match self.makes {
            Makes::ManyThreads => threads
                .map(|contender| Entrant {
                    contender,
                    together: THREADS,
                    turns: 1,
                })
                .collect(),
            Makes::OneTask => {
                let entrant = |turns| {
                    move |contender| Entrant {
                        contender,
                        together: 1,
                        turns,
                    }
                };
                let processes = processes::processes().into_iter();
                threads
                    .map(entrant(THREADS))
                    .chain(processes.map(entrant(PROCESSES)))
                    .collect()
            }
        }
    }
}

const UNITS: [(char, u32); 3] = [('G', 30), ('M', 20), ('K', 10)];

/// Reads "1M", "64K", "1G" or a number of bytes.
pub(super) fn parse_size(word: &str) -> Option<usize> {
    let upper = word.to_ascii_uppercase();
    let word = upper.trim_end_matches("IB").trim_end_matches('B');
    let unit = UNITS.iter().find(|(letter, _)| word.ends_with(*letter));
    let (number, shift) = match unit {
        Some((letter, shift)) => (word.trim_end_matches(*letter), *shift),
        None => (word, 0),
    };
    let number: usize = number.parse().ok()?;
    number.checked_mul(1 << shift)
}

fn size_word(size: usize) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, shift)| size.is_multiple_of(1 << shift));
    match unit {
        Some((letter, shift)) => format!("{} {letter}iB", size >> shift),
        None => format!("{size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (word, size, written) in [
            ("1M", 1 << 20, "1 MiB"),
            ("1GiB", 1 << 30, "1 GiB"),
            ("64k", 64 << 10, "64 KiB"),
            ("1500", 1500, "1500 bytes"),
        ] {
            assert_eq!(parse_size(word), Some(size));
            assert_eq!(size_word(size), written);
        }
        for word in [
            "",
            "M",
            "1T",
            "-1",
            "99999999999999999999G",
            "9999999999999G",
        ] {
            assert_eq!(parse_size(word), None, "{word}");
        }
    }
}
