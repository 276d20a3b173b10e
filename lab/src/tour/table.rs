//! How the tour looks: 80 columns, two lines to compare between one that names and one of flags.

use rawthread::flags::CloneFlags;

use super::{COLUMNS, Visit};
use crate::paint::{Paint, Tone, wrap};
use crate::probe::{Finding, Outcome, Seen, signal_word};

/// Widths of the columns: the kind of line, then `COLUMNS`.
const KIND: usize = 12;
const WIDTHS: [usize; COLUMNS.len()] = [8, 8, 8, 10, 8, 8, 9, 8];
/// How wide a name is, and a remark.
const NAME: usize = 22;
/// How long a sentence may be that is indented by two.
const TEXT: usize = 78;

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
        text += "Each child tries to change what may be its maker's too, and writes \"hello from\n\
                 child\" to a buffer. Predicted: what follows from the flags. Observed: what the\n\
                 kernel showed in this run.\n\n";
        text += &" ".repeat(KIND);
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
                let flags = paint.tone(Tone::Quiet, &flags);
                let elsewhere = self.elsewhere(visit);
                format!(
                    "{name}{remark}the maker reads \"{buffer}\"\n{}{}\n{}{observed}{verdict}\n  \
                     {flags}\n{elsewhere}\n",
                    kind("  predicted"),
                    foretold.trim_end(),
                    kind("  observed"),
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
                for line in wrap(visit.trouble().unwrap_or(""), TEXT) {
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
            let difference = format!(
                "{}: predicted {}, observed {} ({})",
                finding.fact.aspect.title(),
                finding.foretold,
                finding.observed(),
                finding.fact.proof
            );
            for line in wrap(&difference, TEXT) {
                text += &self.paint.tone(Tone::Bad, &format!("  {line}\n"));
            }
        }
        text
    }

    pub(super) fn foot(&self, visits: &[Visit]) -> String {
        let paint = self.paint;
        let mut text = paint.heading("The classic experiment");
        text += "One program, run twice: the child writes \"hello from child\" to a buffer of its\n\
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
