//! How the tour looks: 80 columns, two lines to compare between one that names and one of flags.

use rawthread::flags::CloneFlags;

use super::result::{COLUMNS, RowResult};
use crate::probe::{Comparison, Observed, Outcome, signal_word};
use crate::style::{Style, Styler, wrap};

/// Widths of the columns: the kind of line, then `COLUMNS`.
const KIND: usize = 12;
const WIDTHS: [usize; COLUMNS.len()] = [8, 8, 8, 10, 8, 8, 9, 8];
/// How wide a name is, and a remark.
const NAME: usize = 22;
/// How long a sentence may be that is indented by two.
const TEXT: usize = 78;

pub(super) struct Table {
    styler: Styler,
}

impl Table {
    pub(super) fn new(styler: Styler) -> Self {
        Self { styler }
    }

    pub(super) fn header(&self) -> String {
        let styler = self.styler;
        let mut text = styler.heading("Twelve ways to make a task");
        text += "Each child tries to change what may be its maker's too, and writes \"hello from\n\
                 child\" to a buffer. Predicted: what follows from the flags. Observed: what the\n\
                 kernel showed in this run.\n\n";
        text += &" ".repeat(KIND);
        for (property, width) in COLUMNS.iter().zip(WIDTHS) {
            text += &styler.pad(Style::Title, property.id(), width);
        }
        text.truncate(text.trim_end().len());
        text + "\n\n"
    }

    pub(super) fn row(&self, result: &RowResult) -> String {
        let styler = self.styler;
        let name = styler.pad(Style::Title, result.row.name, NAME);
        let flags = flags_line(result);
        match &result.outcome {
            Ok(Outcome::Made { buffer, .. }) => {
                let predicted =
                    self.cells(result, |comparison| (Style::Quiet, &comparison.predicted));
                let observed = self.cells(result, |comparison| {
                    let style = match (&comparison.observation.observed, comparison.is_mismatch()) {
                        (_, true) => Style::Bad,
                        (Observed::Unavailable, _) => Style::Quiet,
                        (Observed::Word(word), _) => Style::of(word),
                    };
                    (style, comparison.observed())
                });
                let verdict = if result.is_wrong() {
                    styler.apply(Style::Bad, "✗")
                } else {
                    styler.apply(Style::Good, "✓")
                };
                let kind = |text| styler.pad(Style::Quiet, text, KIND);
                let remark = styler.pad(Style::Quiet, result.row.remark, NAME);
                let flags = styler.apply(Style::Quiet, &flags);
                let extra = self.extra(result);
                format!(
                    "{name}{remark}the maker reads \"{buffer}\"\n{}{}\n{}{observed}{verdict}\n  \
                     {flags}\n{extra}\n",
                    kind("  predicted"),
                    predicted.trim_end(),
                    kind("  observed"),
                )
            }
            _ => {
                let (style, verdict) = if result.is_wrong() {
                    (Style::Bad, "could not be made")
                } else {
                    (
                        Style::Plain,
                        "needs a right or a feature of the kernel that is missing here",
                    )
                };
                let flags = styler.apply(Style::Quiet, &flags);
                let mut text = format!("{name}{}\n", styler.apply(style, verdict));
                for line in wrap(result.failure().unwrap_or(""), TEXT) {
                    text += &format!("  {line}\n");
                }
                text + &format!("  {flags}\n\n")
            }
        }
    }

    fn cells<'a>(
        &self,
        result: &'a RowResult,
        look: impl Fn(&'a Comparison) -> (Style, &'a str),
    ) -> String {
        COLUMNS
            .iter()
            .zip(WIDTHS)
            .map(|(property, width)| {
                let (style, text) = result
                    .comparison(*property)
                    .map_or((Style::Quiet, "-"), &look);
                self.styler.pad(style, text, width)
            })
            .collect()
    }

    /// A line for what has no column: the container's namespaces, and anything that was not as
    /// predicted.
    fn extra(&self, result: &RowResult) -> String {
        let new: Vec<_> = result
            .comparisons()
            .iter()
            .filter(|comparison| comparison.observed() == "new" && !comparison.is_mismatch())
            .map(|comparison| comparison.observation.property.id().trim_end_matches("-ns"))
            .collect();
        let mut text = String::new();
        if !new.is_empty() {
            text += &format!("  new namespaces, observed: {}\n", new.join(", "));
        }
        for comparison in result
            .comparisons()
            .iter()
            .filter(|comparison| comparison.is_mismatch())
        {
            let difference = format!(
                "{}: predicted {}, observed {} ({})",
                comparison.observation.property.title(),
                comparison.predicted,
                comparison.observed(),
                comparison.observation.proof
            );
            for line in wrap(&difference, TEXT) {
                text += &self.styler.apply(Style::Bad, &format!("  {line}\n"));
            }
        }
        text
    }

    pub(super) fn footer(&self, results: &[RowResult]) -> String {
        let styler = self.styler;
        let mut text = styler.heading("The classic experiment");
        text += "One program, run twice: the child writes \"hello from child\" to a buffer of its\n\
                 maker's.\n\n";
        for result in results
            .iter()
            .filter(|result| ["clone", "clone-vm"].contains(&result.row.id))
        {
            let Ok(Outcome::Made { buffer, .. }) = &result.outcome else {
                continue;
            };
            let shared = result.row.flags.contains(CloneFlags::VM);
            text += &format!(
                "  {}{}the maker reads {}\n",
                styler.pad(Style::Title, result.row.name, 11),
                if shared {
                    "with CLONE_VM     "
                } else {
                    "without CLONE_VM  "
                },
                styler.apply(
                    if shared { Style::Shared } else { Style::Own },
                    &format!("\"{buffer}\"")
                )
            );
        }
        text + "\n" + &self.verdict(results)
    }

    fn verdict(&self, results: &[RowResult]) -> String {
        let comparisons = || results.iter().flat_map(RowResult::comparisons);
        let seen = comparisons()
            .filter(|comparison| comparison.observation.observed != Observed::Unavailable)
            .count();
        let wrong = comparisons()
            .filter(|comparison| comparison.is_mismatch())
            .count();
        let not_made = results.iter().filter(|result| result.failure().is_some());
        let (failed, missing): (Vec<_>, Vec<_>) = not_made.partition(|result| result.is_wrong());
        let names = |results: &[&RowResult]| {
            let names: Vec<_> = results.iter().map(|result| result.row.name).collect();
            names.join(", ")
        };
        let mut text = if seen == 0 {
            self.styler.apply(Style::Bad, "Nothing was observed.\n")
        } else if wrong == 0 {
            let line = format!("{seen} observations, every one as predicted.\n");
            self.styler.apply(Style::Good, &line)
        } else {
            let line = format!("{wrong} of {seen} observations differ from their prediction.\n");
            self.styler.apply(Style::Bad, &line)
        };
        if !failed.is_empty() {
            let line = format!("Could not be made: {}.\n", names(&failed));
            text += &self.styler.apply(Style::Bad, &line);
        }
        if !missing.is_empty() {
            text += &format!(
                "Not made for want of a right or a feature of the kernel: {}.\n",
                names(&missing)
            );
        }
        text + "More: lab help.\n"
    }
}

/// The flags without their common prefix, and the exit signal.
fn flags_line(result: &RowResult) -> String {
    let flags = match result.row.flags {
        flags if flags.is_empty() => "no flags".to_owned(),
        flags => flags.to_string().replace("CLONE_", ""),
    };
    match signal_word(result.row.exit_signal as i32) {
        none if none == "none" => flags,
        signal => format!("{flags}, {signal}"),
    }
}
