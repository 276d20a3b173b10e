//! The results for programs: JSON, CSV and SVG.

use super::rounds::Measured;
use super::scenario::Outcome;
use crate::json::Json;

/// A list of scenarios with their contenders; nanoseconds.
pub(super) fn json(outcomes: &[Outcome]) -> Json {
    Json::list(outcomes.iter().map(|outcome| {
        let failure = outcome.measured.as_ref().err();
        let contenders = outcome.measured.iter().flatten().map(|measured| {
            Json::Object(vec![
                ("name", Json::text(&measured.name)),
                ("median_ns", Json::Number(measured.times.middle)),
                ("slowest_tenth_ns", Json::Number(measured.times.slow)),
            ])
        });
        Json::Object(vec![
            ("scenario", Json::text(outcome.scenario.id())),
            ("title", Json::text(outcome.scenario.title())),
            ("parent_bytes", Json::from(outcome.scenario.size as u64)),
            ("failed", Json::maybe(failure.map(String::as_str))),
            ("contenders", Json::list(contenders)),
        ])
    }))
}

/// One line for each scenario and contender. No field holds a comma or a quote.
pub(super) fn csv(outcomes: &[Outcome]) -> String {
    let mut text = String::from("scenario,parent_bytes,contender,median_ns,slowest_tenth_ns\n");
    for outcome in outcomes {
        for Measured { name, times } in outcome.measured.iter().flatten() {
            text += &format!(
                "{},{},{name},{:.0},{:.0}\n",
                outcome.scenario.id(),
                outcome.scenario.size,
                times.middle,
                times.slow
            );
        }
    }
    text
}

/// Sizes of the picture, in its units.
const WIDTH: usize = 760;
const LEFT: usize = 190;
const BARS: usize = 430;
const LINE: usize = 24;
const HEADING: usize = 44;

/// Horizontal bars, in colours for light and dark pages.
pub(super) fn svg(outcomes: &[Outcome], subtitle: &str) -> String {
    let mut body = String::new();
    let mut y = 40;
    for outcome in outcomes {
        let measured: Vec<_> = outcome.measured.iter().flatten().collect();
        let Some(first) = measured.first() else {
            continue;
        };
        let longest = measured
            .iter()
            .fold(0.0, |most: f64, measured| most.max(measured.times.slow));
        body += &text("title", 16, y + 18, &outcome.scenario.title());
        y += HEADING;
        for Measured { name, times } in &measured {
            let length = |time: f64| time / longest * BARS as f64;
            let class = if name.starts_with("rawthread") {
                "ours"
            } else {
                "bar"
            };
            body += &format!(
                "<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>\n\
                 <rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"16\"/>\n\
                 <line class=\"tail\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{}\" y2=\"{}\"/>\n",
                LEFT - 10,
                y + 13,
                escaped(name),
                y,
                length(times.middle).max(1.0),
                LEFT as f64 + length(times.middle),
                LEFT as f64 + length(times.slow),
                y + 8,
                y + 8,
            );
            let label = format!(
                "{:.1} µs, {:.2} x",
                times.middle / 1000.0,
                times.middle / first.times.middle
            );
            body += &text("value", LEFT + BARS + 10, y + 13, &label);
            y += LINE;
        }
        y += 12;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>What a task costs: microseconds, and multiples of the bare clone</title>\n\
         <style>\n\
         text {{ fill: #1f2328 }} .title {{ font-weight: 600 }} .name {{ text-anchor: end }}\n\
         .value, .sub {{ fill: #59636e }} .bar {{ fill: #8c959f }} .ours {{ fill: #1a7f37 }}\n\
         .tail {{ stroke: #59636e; stroke-width: 1.5 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .value, .sub {{ fill: \
         #9198a1 }} .bar {{ fill: #6e7681 }} .ours {{ fill: #3fb950 }} .tail {{ stroke: #9198a1 }} \
         }}\n\
         </style>\n{}{body}</svg>\n",
        text("sub", 16, 22, subtitle),
        height = y + 4,
    )
}

fn text(class: &str, x: usize, y: usize, words: &str) -> String {
    let words = escaped(words);
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{words}</text>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
