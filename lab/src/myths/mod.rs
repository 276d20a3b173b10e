//! `lab myths`: what one may have read, each claim with the experiment that confirms or refutes it.

mod claims;
mod experiments;
mod syscalls;

use std::io::Write;
use std::process::ExitCode;

use crate::ask::runner::{self, Outcome};
use crate::cli::{Arguments, UsageError};
use crate::json::Json;
use crate::style::{Style, Styler};
use claims::{CLAIMS, Claim, Truth};

fn title(index: usize, claim: &Claim) -> String {
    format!("{:2}  \"{}\"", index + 1, claim.says)
}

/// The word for the claim, and how it looks.
const fn word(truth: Truth) -> (&'static str, Style) {
    match truth {
        Truth::True => ("true", Style::Good),
        Truth::Half => ("half true", Style::Shared),
        Truth::False => ("false", Style::Bad),
    }
}

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let texts: Vec<_> = CLAIMS
        .iter()
        .map(|claim| format!("{} {}", claim.says, claim.fact))
        .collect();
    let selection = runner::select(arguments, "claim", &texts)?;
    let styler = Styler::for_stdout();
    let (mut outcomes, mut objects) = (Vec::new(), Vec::new());
    if !selection.list && !selection.json {
        println!("{}\n", styler.apply(Style::Quiet, "You may have read ..."));
    }
    for index in selection.chosen {
        let claim = &CLAIMS[index];
        let mut fields = vec![
            ("number", Json::from(index as u64 + 1)),
            ("claim", Json::text(claim.says)),
        ];
        if selection.list {
            if selection.json {
                objects.push(Json::Object(fields));
            } else {
                println!("{}", title(index, claim));
            }
            continue;
        }
        if !selection.json {
            let text = format!("\"{}\"", claim.says);
            for (line, part) in styler.wrap(&text, 94).iter().enumerate() {
                let number = if line == 0 {
                    (index + 1).to_string()
                } else {
                    String::new()
                };
                let part = format!("{number:>2}  {part}");
                println!("{}", styler.apply(Style::Title, &part));
            }
            let _ = std::io::stdout().flush();
        }
        let record = runner::perform("myths", claim.experiment);
        let shown = record.outcome == Outcome::Confirmed;
        let (truth, style) = word(claim.truth);
        if selection.json {
            fields.extend(record.to_json());
            fields.push(("claim_is", Json::maybe(shown.then_some(truth))));
            fields.push(("fact", Json::maybe(shown.then_some(claim.fact))));
            objects.push(Json::Object(fields));
        } else {
            record.print(styler);
            if shown {
                let text = format!("{truth}: {}", claim.fact);
                for (index, part) in styler.wrap(&text, 94).iter().enumerate() {
                    let part = match part.strip_prefix(truth) {
                        Some(rest) if index == 0 => {
                            format!("{}{rest}", styler.apply(style, truth))
                        }
                        _ => part.clone(),
                    };
                    println!("    {part}");
                }
            }
            println!();
        }
        outcomes.push(record.outcome);
    }
    if selection.json {
        println!("{}", Json::list(objects));
    }
    Ok(runner::conclude(&outcomes, selection.json, styler))
}
