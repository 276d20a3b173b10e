//! The command line of `lab ask`.

use std::io::Write;
use std::process::ExitCode;

use super::questions::{QUESTIONS, Question};
use super::runner::{self, Outcome};
use crate::cli::{Arguments, UsageError};
use crate::json::Json;
use crate::style::{Style, Styler};

fn title(index: usize, question: &Question) -> String {
    format!("{:2}  {}", index + 1, question.asks)
}

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let texts: Vec<_> = QUESTIONS
        .iter()
        .map(|question| format!("{} {}", question.asks, question.answer))
        .collect();
    let selection = runner::select(arguments, "question", &texts)?;
    let styler = Styler::for_stdout();
    let (mut outcomes, mut objects) = (Vec::new(), Vec::new());
    for index in selection.chosen {
        let question = &QUESTIONS[index];
        let mut fields = vec![
            ("number", Json::from(index as u64 + 1)),
            ("question", Json::text(question.asks)),
        ];
        if selection.list {
            if selection.json {
                objects.push(Json::Object(fields));
            } else {
                println!("{}", title(index, question));
            }
            continue;
        }
        if !selection.json {
            println!("{}", styler.apply(Style::Title, &title(index, question)));
            let _ = std::io::stdout().flush();
        }
        let record = runner::perform("ask", question.experiment);
        let answer = (record.outcome == Outcome::Confirmed).then_some(question.answer);
        if selection.json {
            fields.extend(record.to_json());
            fields.push(("answer", Json::maybe(answer)));
            objects.push(Json::Object(fields));
        } else {
            record.print(styler);
            for part in answer.map_or(Vec::new(), |answer| styler.wrap(answer, 94)) {
                println!("    {}", styler.apply(Style::Own, &part));
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
