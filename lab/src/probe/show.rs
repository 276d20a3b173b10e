//! `lab probe`: one task of any flags, everything about it, and the proof of each.

use std::process::ExitCode;

use rawthread::flags::{Call, Caller, CloneFlags, Fact, Verdict};

use super::{Finding, Outcome, Plan, Refusal, Seen, Way};
use crate::cli::{Arguments, Misuse};
use crate::json::Json;
use crate::paint::{Paint, Tone};
use crate::request::{self, Request};

/// Widths of the columns; the last one is for the proof.
const NAME: usize = 24;
const WORD: usize = 11;
const PROOF: usize = 50;

impl Plan {
    /// Everything can be asked of this task: it is made just to be looked at.
    fn of(request: Request) -> Self {
        let flags = request.flags;
        // A thread, or a task with a thread pointer of its own, is beyond a process builder.
        let raw = flags.contains(CloneFlags::THREAD)
            || flags.contains(CloneFlags::SETTLS) && flags.fits_legacy();
        Self {
            flags,
            exit_signal: request.exit_signal,
            way: if raw { Way::Clone } else { Way::Process },
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
        if self.flags.contains(CloneFlags::PIDFD) && self.way == Way::Clone {
            caller = caller.with_fact(Fact::PidfdOverTid);
        }
        let call = match self.way {
            Way::Clone => Call::Clone,
            _ => Call::Clone3,
        };
        self.flags.verdict(call, self.exit_signal, &caller)
    }
}

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, Misuse> {
    let (request, json) = request::from_arguments(arguments)?;
    let plan = Plan::of(request);
    if plan.way == Way::Clone && !plan.flags.fits_legacy() {
        let beyond = plan.flags.bits() & !0xffff_ff00;
        return Err(Misuse(format!(
            "the lab makes threads by clone, which has no bits for {}: leave out that or THREAD",
            CloneFlags::from_bits_retain(beyond)
        )));
    }
    if [libc::SIGKILL, libc::SIGSTOP].contains(&(plan.exit_signal as i32)) {
        let signal = super::signal_word(plan.exit_signal as i32);
        return Err(Misuse(format!(
            "{signal} as exit signal would hit the maker at the child's end: take another"
        )));
    }
    let outcome = super::run(plan).map_err(Misuse)?;
    let verdict = plan.verdict();
    let right = is_right(&outcome, &verdict);
    if json {
        println!("{}", to_json(plan, &outcome, &verdict, right));
    } else {
        print!("{}", to_text(plan, &outcome, &verdict, right));
    }
    Ok(ExitCode::from(u8::from(!right)))
}

/// Whether the kernel did as foretold: made the task and shared what it should, or refused it with
/// the errno that it should.
fn is_right(outcome: &Outcome, verdict: &Verdict) -> bool {
    match outcome {
        Outcome::Made { .. } => verdict.is_accepted() && !outcome.differs(),
        Outcome::Refused(refusal) => {
            let foretold = verdict.errno();
            foretold == refusal.errno && foretold.is_some()
                // A sandbox or a limit cannot be foretold.
                || verdict.is_accepted() && refusal.is_for_want_of_a_right()
        }
    }
}

fn to_text(plan: Plan, outcome: &Outcome, verdict: &Verdict, right: bool) -> String {
    let paint = Paint::for_stdout();
    let mut text = String::new();
    for line in paint.wrap(&plan.flags.to_string().replace('|', " | "), 98) {
        text += &format!("{}\n", paint.tone(Tone::Title, &line));
    }
    text += &match plan.way {
        Way::Clone => "made by libc's clone(), on a bare stack\n\n".to_owned(),
        _ => "made by rawthread::process::Builder\n\n".to_owned(),
    };
    let tone = if right { Tone::Good } else { Tone::Bad };
    match outcome {
        Outcome::Made { findings, .. } => {
            text += &rows(paint, findings);
            let seen = findings.iter().filter(|f| f.fact.seen != Seen::Nothing);
            let wrong = findings.iter().filter(|finding| finding.differs()).count();
            let line = if !verdict.is_accepted() {
                format!("The kernel made it, though it should be {verdict}.")
            } else if wrong == 0 {
                format!("{} observations, every one as predicted.", seen.count())
            } else {
                format!("{wrong} of {} observations differ.", seen.count())
            };
            text += &format!("\n{}\n", paint.tone(tone, &line));
        }
        Outcome::Refused(refusal) => text += &refused(paint, tone, refusal, verdict),
    }
    text
}

fn refused(paint: Paint, tone: Tone, refusal: &Refusal, verdict: &Verdict) -> String {
    let mut text = String::new();
    for (name, story) in [
        ("predicted", verdict.to_string()),
        ("observed", refusal.why.clone()),
    ] {
        for (index, line) in paint.wrap(&story, 86).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            text += &format!("{}{line}\n", paint.cell(Tone::Quiet, name, 12));
        }
    }
    let line = match (tone, verdict.is_accepted()) {
        (Tone::Good, false) => "The kernel refused it, as predicted.",
        (Tone::Good, true) => "A right, a limit or a sandbox stands in the way.",
        _ => "This is not what was predicted.",
    };
    format!("{text}\n{}\n", paint.tone(tone, line))
}

fn rows(paint: Paint, findings: &[Finding]) -> String {
    let mut text = String::new();
    for (width, title) in [
        (NAME, ""),
        (WORD, "predicted"),
        (WORD, "observed"),
        (0, "how"),
    ] {
        text += &paint.cell(Tone::Title, title, width);
    }
    text += "\n";
    for finding in findings {
        let tone = match (&finding.fact.seen, finding.differs()) {
            (_, true) => Tone::Bad,
            (Seen::Nothing, _) => Tone::Quiet,
            (Seen::Word(word), _) => Tone::of(word),
        };
        let lines = paint.wrap(&finding.fact.proof, PROOF);
        text += &paint.cell(Tone::Plain, finding.fact.aspect.title(), NAME);
        text += &paint.cell(Tone::Quiet, &finding.foretold, WORD);
        text += &paint.cell(tone, finding.observed(), WORD);
        text += &format!("{}\n", paint.tone(Tone::Quiet, &lines[0]));
        for line in &lines[1..] {
            let indent = NAME + 2 * WORD;
            text += &format!("{:indent$}{}\n", "", paint.tone(Tone::Quiet, line));
        }
    }
    text
}

fn to_json(plan: Plan, outcome: &Outcome, verdict: &Verdict, right: bool) -> Json {
    let (findings, refusal) = match outcome {
        Outcome::Made { findings, .. } => (findings.as_slice(), None),
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
        ("cells", super::to_json(findings)),
    ])
}
