//! How the tour looks: at most 100 columns, two lines to compare and one to explain for each row.

use rawthread::flags::CloneFlags;

use super::{COLUMNS, Visit};
use crate::paint::{Paint, Tone};
use crate::probe::{Finding, Outcome, Seen, signal_word};

/// Widths of the columns: the name, the kind of line, then `COLUMNS`.
const NAME: usize = 21;
const KIND: usize = 10;
const WIDTHS: [usize; COLUMNS.len()] = [8, 8, 8, 10, 8, 8, 9, 8];
/// Where the flags of a row end and its buffer begins.
const FLAGS: usize = 74;

pub(super) struct Table {
    paint: Paint,
}

impl Table {
    pub(super) fn new(paint: Paint) -> Self {
        Self { paint }
    }

    pub(super) fn head(&self) -> String {
        let paint = self.paint;
        let mut text = paint.heading("Twelve ways to make a task");
        text += "Each child tries to change what may be its maker's too. Predicted: what follows from \
                 the flags.\nObserved: what the kernel showed in this run. The third line: the \
                 flags, and the maker's buffer\nafter the child has written \"hello from child\" \
                 to it.\n\n";
        text += &" ".repeat(NAME + KIND);
        for (aspect, width) in COLUMNS.iter().zip(WIDTHS) {
            text += &paint.cell(Tone::Title, aspect.id(), width);
        }
        text.truncate(text.trim_end().len());
        text + "\n\n"
    }

    pub(super) fn row(&self, visit: &Visit) -> String {
        let paint = self.paint;
        let name = paint.cell(Tone::Title, visit.row.name, NAME);
        let flags = flags_line(visit);
        match &visit.outcome {
            Ok(Outcome::Made { buffer, .. }) => {
                let foretold = self.cells(visit, |finding| (Tone::Quiet, &finding.foretold));
                let observed = self.cells(visit, |finding| {
                    let tone = match (&finding.fact.seen, finding.differs()) {
                        (_, true) => Tone::Bad,
                        (Seen::Nothing, _) => Tone::Quiet,
                        (Seen::Word(word), _) => Tone::of(word),
                    };
                    (tone, finding.observed())
                });
                let verdict = if visit.is_wrong() {
                    paint.tone(Tone::Bad, "✗")
                } else {
                    paint.tone(Tone::Good, "✓")
                };
                let kind = |text| paint.cell(Tone::Quiet, text, KIND);
                let remark = paint.cell(Tone::Quiet, visit.row.remark, NAME);
                let flags = paint.cell(Tone::Quiet, &format!("  {flags}"), FLAGS);
                let elsewhere = self.elsewhere(visit);
                format!(
                    "{name}{}{}\n{remark}{}{observed}{verdict}\n{flags} \"{buffer}\"\n{elsewhere}\n",
                    kind("predicted"),
                    foretold.trim_end(),
                    kind("observed"),
                )
            }
            _ => {
                let (tone, verdict) = if visit.is_wrong() {
                    (Tone::Bad, "could not be made")
                } else {
                    (Tone::Plain, "needs a right that is missing here")
                };
                let flags = paint.tone(Tone::Quiet, &flags);
                let mut text = format!("{name}{}\n", paint.tone(tone, verdict));
                for line in self.paint.wrap(visit.trouble().unwrap_or(""), 96) {
                    text += &format!("  {line}\n");
                }
                text + &format!("  {flags}\n\n")
            }
        }
    }

    fn cells<'a>(&self, visit: &'a Visit, look: impl Fn(&'a Finding) -> (Tone, &'a str)) -> String {
        COLUMNS
            .iter()
            .zip(WIDTHS)
            .map(|(aspect, width)| {
                let (tone, text) = visit.finding(*aspect).map_or((Tone::Quiet, "-"), &look);
                self.paint.cell(tone, text, width)
            })
            .collect()
    }

    /// A line for what has no column: the container's namespaces, and anything that was not as
    /// predicted.
    fn elsewhere(&self, visit: &Visit) -> String {
        let new: Vec<_> = visit
            .findings()
            .iter()
            .filter(|finding| finding.observed() == "new" && !finding.differs())
            .map(|finding| finding.fact.aspect.id().trim_end_matches("-ns"))
            .collect();
        let mut text = String::new();
        if !new.is_empty() {
            text += &format!("  new namespaces, observed: {}\n", new.join(", "));
        }
        for finding in visit.findings().iter().filter(|finding| finding.differs()) {
            let line = format!(
                "  {}: predicted {}, observed {} ({})\n",
                finding.fact.aspect.title(),
                finding.foretold,
                finding.observed(),
                finding.fact.proof
            );
            text += &self.paint.tone(Tone::Bad, &line);
        }
        text
    }

    pub(super) fn foot(&self, visits: &[Visit]) -> String {
        let paint = self.paint;
        let mut text = paint.heading("The classic experiment");
        text += "One program, run twice: the child writes \"hello from child\" into a buffer of its \
                 maker's.\n\n";
        for visit in visits
            .iter()
            .filter(|visit| ["clone", "clone-vm"].contains(&visit.row.id))
        {
            let Ok(Outcome::Made { buffer, .. }) = &visit.outcome else {
                continue;
            };
            let shared = visit.row.flags.contains(CloneFlags::VM);
            text += &format!(
                "  {}{}the maker reads {}\n",
                paint.cell(Tone::Title, visit.row.name, 11),
                if shared {
                    "with CLONE_VM     "
                } else {
                    "without CLONE_VM  "
                },
                paint.tone(
                    if shared { Tone::Shared } else { Tone::Own },
                    &format!("\"{buffer}\"")
                )
            );
        }
        text + "\n" + &self.verdict(visits)
    }

    fn verdict(&self, visits: &[Visit]) -> String {
        let findings = || visits.iter().flat_map(Visit::findings);
        let seen = findings()
            .filter(|finding| finding.fact.seen != Seen::Nothing)
            .count();
        let wrong = findings().filter(|finding| finding.differs()).count();
        let not_made = visits.iter().filter(|visit| visit.trouble().is_some());
        let (failed, missing): (Vec<_>, Vec<_>) = not_made.partition(|visit| visit.is_wrong());
        let names = |visits: &[&Visit]| {
            let names: Vec<_> = visits.iter().map(|visit| visit.row.name).collect();
            names.join(", ")
        };
        let mut text = if wrong == 0 {
            let line = format!("{seen} observations, every one as predicted.\n");
            self.paint.tone(Tone::Good, &line)
        } else {
            let line = format!("{wrong} of {seen} observations differ from their prediction.\n");
            self.paint.tone(Tone::Bad, &line)
        };
        if !failed.is_empty() {
            let line = format!("Could not be made: {}.\n", names(&failed));
            text += &self.paint.tone(Tone::Bad, &line);
        }
        if !missing.is_empty() {
            text += &format!("Not made for want of a right: {}.\n", names(&missing));
        }
        text + "More: lab help.\n"
    }
}

/// The flags without their common prefix, and the exit signal.
fn flags_line(visit: &Visit) -> String {
    let flags = match visit.row.flags {
        flags if flags.is_empty() => "no flags".to_owned(),
        flags => flags.to_string().replace("CLONE_", ""),
    };
    match signal_word(visit.row.exit_signal as i32) {
        none if none == "none" => flags,
        signal => format!("{flags}, {signal}"),
    }
}
