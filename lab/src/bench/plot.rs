//! Bars for the terminal.

use super::rounds::Measured;
use crate::style::{Style, Styler};

/// Characters for the longest bar.
const WIDTH: usize = 50;

/// One line for each contender: its bar up to the middle, a thin line on to the slowest tenth, and
/// how it compares to the first.
pub(super) fn draw(contenders: &[Measured], styler: Styler) -> String {
    let longest = contenders
        .iter()
        .fold(0.0, |most: f64, measured| most.max(measured.times.slow));
    let Some(first) = contenders.first() else {
        return String::new();
    };
    let mut text = String::new();
    for Measured { name, times } in contenders {
        let columns = |nanoseconds: f64| (nanoseconds / longest * WIDTH as f64).round() as usize;
        let bar = columns(times.middle).max(1);
        let tail = columns(times.slow).saturating_sub(bar);
        let style = if name.starts_with("rawthread") {
            Style::Good
        } else {
            Style::Own
        };
        text += &format!(
            "  {name:<20}{}{}{:blanks$}{:>8.1} µs  {:>6.2}\n",
            styler.apply(style, &"█".repeat(bar)),
            styler.apply(Style::Quiet, &"─".repeat(tail)),
            "",
            times.middle / 1000.0,
            times.middle / first.times.middle,
            blanks = WIDTH.saturating_sub(bar + tail),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rounds::Times;
    use super::*;

    #[test]
    fn bars_are_as_long_as_the_times() {
        let measured = |name: &str, middle| Measured {
            name: name.to_owned(),
            times: Times {
                middle,
                slow: middle,
            },
        };
        let contenders = [
            measured("bare clone", 10_000.0),
            measured("other", 50_000.0),
        ];
        let text = draw(&contenders, Styler::plain());
        let bars: Vec<_> = text.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(bars, [10, 50]);
        assert!(text.lines().all(|line| line.chars().count() <= 100));
        assert!(text.contains("10.0 µs    1.00"), "{text}");
        assert!(text.contains("50.0 µs    5.00"), "{text}");
    }
}
