//! `lab probe`: one task of any flags, everything about it, and the proof of each.

use std::process::ExitCode;

use rawthread::flags::{Call, Caller, CloneFlags, Fact, Verdict};

use super::experiment::{self, Outcome};
use super::observation::{Comparison, Observed};
use super::plan::{Plan, Refusal, SpawnMethod, flags_title, signal_word};
use crate::cli::{Arguments, UsageError};
use crate::clone_spec::{self, CloneSpec};
use crate::json::Json;
use crate::output;
use crate::style::{Style, Styler};
use crate::subprocess;

/// Widths of the columns; the last one is for the proof.
const NAME: usize = 24;
const WORD: usize = 11;
const PROOF: usize = 50;

impl Plan {
    /// Everything can be asked of this task: it is made just to be looked at.
    fn of(spec: CloneSpec) -> Self {
        let flags = spec.flags;
        // A thread, or a task with a thread pointer of its own, is beyond a process builder.
        let raw = flags.contains(CloneFlags::THREAD)
            || flags.contains(CloneFlags::SETTLS) && flags.fits_legacy();
        Self {
            flags,
            exit_signal: spec.exit_signal,
            method: if raw {
                SpawnMethod::Clone
            } else {
                SpawnMethod::Process
            },
            exec: false,
            root: true,
        }
    }

    /// What the kernel should answer to this plan, here.
    fn verdict(self) -> Verdict {
        let mut caller = Caller::current();
        if self.flags.contains(CloneFlags::INTO_CGROUP) {
            // The probe has no cgroup to give.
            caller = caller.with_fact(Fact::CgroupNotV2);
        }
        if self.flags.contains(CloneFlags::PIDFD) && self.method == SpawnMethod::Clone {
            caller = caller.with_fact(Fact::PidfdOverTid);
        }
        let call = match self.method {
            SpawnMethod::Clone => Call::Clone,
            _ => Call::Clone3,
        };
        self.flags.verdict(call, self.exit_signal, &caller)
    }
}

/// The exit status where the experiment itself broke off or took too long.
const STATUS_UNFINISHED: u8 = 3;

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let (spec, json) = clone_spec::from_arguments(arguments)?;
    let plan = Plan::of(spec);
    if plan.method == SpawnMethod::Clone && !plan.flags.fits_legacy() {
        let beyond = plan.flags.bits() & !0xffff_ff00;
        return Err(UsageError(format!(
            "the lab makes threads by clone, which has no bits for {}: leave out that or THREAD",
            CloneFlags::from_bits_retain(beyond)
        )));
    }
    if [libc::SIGKILL, libc::SIGSTOP].contains(&(plan.exit_signal as i32)) {
        let signal = signal_word(plan.exit_signal as i32);
        return Err(UsageError(format!(
            "{signal} as exit signal would hit the maker at the child's end: take another"
        )));
    }
    let outcome = match subprocess::has_proc().and_then(|()| experiment::run(plan)) {
        Ok(outcome) => outcome,
        Err(why) => {
            output::complain(&format!(
                "the experiment did not finish, which shows nothing: {why}"
            ));
            return Ok(ExitCode::from(STATUS_UNFINISHED));
        }
    };
    let verdict = plan.verdict();
    let right = is_right(&outcome, &verdict);
    if json {
        println!("{}", to_json(plan, &outcome, &verdict, right));
    } else {
        print!("{}", to_text(plan, &outcome, &verdict, right));
    }
    Ok(ExitCode::from(u8::from(!right)))
}

/// Whether the kernel did as predicted: made the task and shared what it should, or refused it with
/// the errno that it should.
fn is_right(outcome: &Outcome, verdict: &Verdict) -> bool {
    match outcome {
        Outcome::Made { .. } => verdict.is_accepted() && !outcome.is_mismatch(),
        Outcome::Refused(refusal) => {
            let predicted = verdict.errno();
            predicted == refusal.errno && predicted.is_some()
                // A sandbox or a limit cannot be predicted.
                || verdict.is_accepted() && refusal.is_environmental()
        }
    }
}

fn to_text(plan: Plan, outcome: &Outcome, verdict: &Verdict, right: bool) -> String {
    let styler = Styler::for_stdout();
    let mut text = String::new();
    for line in styler.wrap(&flags_title(plan.flags), 98) {
        text += &format!("{}\n", styler.apply(Style::Title, &line));
    }
    text += &match plan.method {
        SpawnMethod::Clone => "made by libc's clone(), on a bare stack\n\n".to_owned(),
        _ => "made by rawthread::process::Builder\n\n".to_owned(),
    };
    let style = if right { Style::Good } else { Style::Bad };
    match outcome {
        Outcome::Made { comparisons, .. } => {
            text += &rows(styler, comparisons);
            let seen = comparisons
                .iter()
                .filter(|f| f.observation.observed != Observed::Unavailable);
            let wrong = comparisons
                .iter()
                .filter(|comparison| comparison.is_mismatch())
                .count();
            let line = if !verdict.is_accepted() {
                format!("The kernel made it, though it should be {verdict}.")
            } else if wrong == 0 {
                format!("{} observations, every one as predicted.", seen.count())
            } else {
                format!("{wrong} of {} observations differ.", seen.count())
            };
            text += &format!("\n{}\n", styler.apply(style, &line));
        }
        Outcome::Refused(refusal) => text += &refused(styler, style, refusal, verdict),
    }
    text
}

fn refused(styler: Styler, style: Style, refusal: &Refusal, verdict: &Verdict) -> String {
    let mut text = String::new();
    for (name, story) in [
        ("predicted", verdict.to_string()),
        ("observed", refusal.why.clone()),
    ] {
        for (index, line) in styler.wrap(&story, 86).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            text += &format!("{}{line}\n", styler.pad(Style::Quiet, name, 12));
        }
    }
    let line = match (style, verdict.is_accepted()) {
        (Style::Good, false) => "The kernel refused it, as predicted.",
        (Style::Good, true) => "A right, a limit or a sandbox stands in the way.",
        _ => "This is not what was predicted.",
    };
    format!("{text}\n{}\n", styler.apply(style, line))
}

fn rows(styler: Styler, comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for (width, title) in [
        (NAME, ""),
        (WORD, "predicted"),
        (WORD, "observed"),
        (0, "how"),
    ] {
        text += &styler.pad(Style::Title, title, width);
    }
    text += "\n";
    for comparison in comparisons {
        let style = match (&comparison.observation.observed, comparison.is_mismatch()) {
            (_, true) => Style::Bad,
            (Observed::Unavailable, _) => Style::Quiet,
            (Observed::Word(word), _) => Style::of(word),
        };
        let lines = styler.wrap(&comparison.observation.proof, PROOF);
        text += &styler.pad(Style::Plain, comparison.observation.property.title(), NAME);
        text += &styler.pad(Style::Quiet, &comparison.predicted, WORD);
        text += &styler.pad(style, comparison.observed(), WORD);
        text += &format!("{}\n", styler.apply(Style::Quiet, &lines[0]));
        for line in &lines[1..] {
            let indent = NAME + 2 * WORD;
            text += &format!("{:indent$}{}\n", "", styler.apply(Style::Quiet, line));
        }
    }
    text
}

fn to_json(plan: Plan, outcome: &Outcome, verdict: &Verdict, right: bool) -> Json {
    let (comparisons, refusal) = match outcome {
        Outcome::Made { comparisons, .. } => (comparisons.as_slice(), None),
        Outcome::Refused(refusal) => (&[][..], Some(refusal)),
    };
    let errno = |errno: Option<i32>| errno.map_or(Json::Null, |errno| Json::from(errno as u64));
    Json::Object(vec![
        ("flags", Json::text(plan.flags.to_string())),
        ("exit_signal", Json::from(u64::from(plan.exit_signal))),
        ("predicted_errno", errno(verdict.errno())),
        (
            "observed_errno",
            errno(refusal.and_then(|refusal| refusal.errno)),
        ),
        (
            "not_made",
            Json::maybe(refusal.map(|refusal| refusal.why.as_str())),
        ),
        ("as_predicted", Json::Bool(right)),
        ("cells", experiment::to_json(comparisons)),
    ])
}
