//! Results of a table as JSON and as a plot.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{machine, rounds};

/// What one bench measured.
pub(crate) struct Report {
    /// The name of the bench.
    pub(crate) bench: &'static str,
    /// The contender that the plot's bars are relative to.
    pub(crate) reference: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// What one work cost each contender.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) contenders: Vec<Measured>,
}

/// What one contender needed for one work: a value per round.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// Microseconds by the clock.
    pub(crate) wall: Vec<f64>,
    /// Microseconds of processor time of the process. Empty if not measured.
    pub(crate) cpu: Vec<f64>,
    /// The largest resident set of the process, in KiB. Empty if not measured.
    pub(crate) peak: Vec<f64>,
}

impl Row {
    /// Median of the rounds' ratios of `value` between two contenders.
    pub(crate) fn ratio(&self, of: &str, to: &str, value: fn(&Measured) -> &[f64]) -> f64 {
        let find = |name| self.contenders.iter().find(|found| found.name == name);
        match (find(of), find(to)) {
            (Some(of), Some(to)) => rounds::ratio(value(of), value(to)),
            _ => f64::NAN,
        }
    }
}

impl Report {
    /// Writes `<bench>.json` and `<bench>.svg` into the directory of the arguments `--output DIR`, or
    /// into cargo's directory for temporary files.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub(crate) fn write(&self, arguments: &[&str]) {
        let given = arguments.iter().position(|word| *word == "--output");
        let directory = match given {
            Some(at) => PathBuf::from(arguments.get(at + 1).expect("a directory after --output")),
            None => Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
        };
        std::fs::create_dir_all(&directory).expect("the directory for the report");
        for (extension, text) in [("json", self.json()), ("svg", self.svg())] {
            let path = directory.join(self.bench).with_extension(extension);
            std::fs::write(&path, text).expect("the report");
            println!("wrote {}", path.display());
        }
    }

    fn json(&self) -> String {
        let mut out = String::new();
        let (bench, machine) = (self.bench, escape(machine::describe(), "\\\""));
        let _ = writeln!(out, "{{\n  \"bench\": \"{bench}\",");
        let _ = writeln!(
            out,
            "  \"command\": \"cargo bench --bench {bench} -- table\","
        );
        let _ = writeln!(out, "  \"machine\": \"{machine}\",\n  \"rows\": [");
        for (index, row) in self.rows.iter().enumerate() {
            let work = escape(&row.work, "\\\"");
            let _ = writeln!(out, "    {{\"work\": \"{work}\", \"contenders\": [");
            for (index, measured) in row.contenders.iter().enumerate() {
                let comma = separator(index, row.contenders.len());
                let _ = write!(out, "      {{\"name\": \"{}\"", measured.name);
                let values = [
                    ("wall_us", &measured.wall),
                    ("cpu_us", &measured.cpu),
                    ("peak_kib", &measured.peak),
                ];
                for (key, values) in values {
                    if !values.is_empty() {
                        let median = rounds::median(values.iter().copied());
                        let all: Vec<_> =
                            values.iter().map(|value| format!("{value:.5}")).collect();
                        let all = all.join(", ");
                        let _ = write!(out, ", \"{key}\": {median:.5}, \"{key}_rounds\": [{all}]");
                    }
                }
                let _ = writeln!(out, "}}{comma}");
            }
            let _ = writeln!(out, "    ]}}{}", separator(index, self.rows.len()));
        }
        out.push_str("  ]\n}\n");
        out
    }

    /// Bars of time relative to the reference, one group for each row. A bar that would be longer than
    /// three times the reference's is cut and ends in an arrow.
    fn svg(&self) -> String {
        const BAR: usize = 16;
        const LEFT: f64 = 230.0;
        const UNIT: f64 = 150.0;
        const LONGEST: f64 = 3.0;
        let bars: usize = self.rows.iter().map(|row| row.contenders.len() + 2).sum();
        let height = (bars + 4) * BAR;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"900\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"8\" y=\"18\" font-weight=\"bold\">Time relative to {} (shorter is better)</text>\n",
            self.reference
        );
        let machine = escape(machine::describe(), "");
        let _ = writeln!(out, "<text x=\"8\" y=\"34\" fill=\"#555\">{machine}</text>");
        let mut y = 4 * BAR;
        for row in &self.rows {
            let work = escape(&row.work, "");
            let _ = writeln!(
                out,
                "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{work}</text>"
            );
            let x = LEFT + UNIT;
            let _ = writeln!(
                out,
                "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\" stroke=\"#d33\" stroke-dasharray=\"2\"/>",
                y + 4,
                y + row.contenders.len() * BAR + 2
            );
            for measured in &row.contenders {
                y += BAR;
                let ratio = row.ratio(&measured.name, self.reference, |measured| &measured.wall);
                if ratio.is_nan() {
                    continue;
                }
                let (width, cut) = (ratio.min(LONGEST) * UNIT, ratio > LONGEST);
                let color = match measured.name.as_str() {
                    "rawthread" => "#2a6fbb",
                    "warm" | "warm unverified" => "#7fb2e5",
                    _ => "#bbbbbb",
                };
                let wall = rounds::median(measured.wall.iter().copied());
                let arrow = if cut { " →" } else { "" };
                let _ = writeln!(
                    out,
                    "<text x=\"{:.0}\" y=\"{y}\" text-anchor=\"end\">{}</text>\
                     <rect x=\"{LEFT:.0}\" y=\"{}\" width=\"{width:.1}\" height=\"12\" fill=\"{color}\"/>\
                     <text x=\"{:.1}\" y=\"{y}\" stroke=\"white\" stroke-width=\"3\" \
                     paint-order=\"stroke\">{ratio:.2}{arrow} ({wall:.1} µs)</text>",
                    LEFT - 6.0,
                    escape(&measured.name, ""),
                    y - 11,
                    LEFT + width + 6.0,
                );
            }
            y += 2 * BAR;
        }
        out.push_str("</svg>\n");
        out
    }
}

fn separator(index: usize, len: usize) -> &'static str {
    if index + 1 < len { "," } else { "" }
}

/// Escapes `backslashed` with a backslash (JSON), or the characters that XML reserves if that is empty.
fn escape(text: &str, backslashed: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            _ if backslashed.contains(character) => out.extend(['\\', character]),
            '&' if backslashed.is_empty() => out.push_str("&amp;"),
            '<' if backslashed.is_empty() => out.push_str("&lt;"),
            _ => out.push(character),
        }
    }
    out
}
