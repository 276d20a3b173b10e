//! Rounds: the contenders take turns, so that what disturbs one disturbs all.

use std::time::Instant;

use super::contenders::Contender;

/// Nanoseconds for one task: the middle of the rounds, and their slowest tenth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    pub(super) middle: f64,
    pub(super) slow: f64,
}

/// A contender and its times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) times: Times,
}

/// A contender, and how many tasks one turn of it makes: `turns` times `together`.
pub(super) struct Entrant {
    pub(super) contender: Box<dyn Contender>,
    pub(super) together: usize,
    pub(super) turns: usize,
}

/// Times the entrants over `rounds`.
///
/// # Errors
/// One line: a contender could not make its tasks.
pub(super) fn time(rounds: usize, entrants: &mut [Entrant]) -> Result<Vec<Measured>, String> {
    let mut seen = vec![Vec::with_capacity(rounds); entrants.len()];
    for round in 0..=rounds {
        // The first contender changes from round to round.
        for place in 0..entrants.len() {
            let index = (round + place) % entrants.len();
            let Entrant {
                contender,
                together,
                turns,
            } = &mut entrants[index];
            let start = Instant::now();
            for _ in 0..*turns {
                let made = contender.run(*together);
                made.map_err(|why| format!("{}: {why}", contender.name()))?;
            }
            let each = start.elapsed().as_nanos() as f64 / (*turns * *together) as f64;
            // The first round fills the caches.
            if round > 0 {
                seen[index].push(each);
            }
        }
    }
    let names = entrants.iter().map(|entrant| entrant.contender.name());
    Ok(names
        .zip(seen)
        .map(|(name, seen)| Measured {
            name: name.to_owned(),
            times: times(seen),
        })
        .collect())
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
    use super::super::{contenders, processes};
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
        let all = contenders::threads().into_iter();
        let mut entrants: Vec<_> = all
            .chain(processes::processes())
            .map(|contender| Entrant {
                contender,
                together: 4,
                turns: 2,
            })
            .collect();
        let seen = time(2, &mut entrants).unwrap();
        assert_eq!(seen.len(), 9);
        assert!(seen.iter().all(|measured| measured.times.middle > 0.0));
    }
}
