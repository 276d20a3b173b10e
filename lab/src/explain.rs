//! `lab explain`: what a set of flags means, without making anything.

use std::process::ExitCode;

use rawthread::flags::{Call, Caller, CloneFlags, Effect, Preset, PresetMatch, Verdict};

use crate::cli::{Arguments, Misuse};
use crate::json::Json;
use crate::paint::{Paint, Tone};
use crate::probe::signal_word;
use crate::request::{self, Request};

/// Where the second column begins, and how wide the third is.
const NAME: usize = 33;
const TEXT: usize = 64;

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, Misuse> {
    let (request, json) = request::from_arguments(arguments)?;
    if json {
        println!("{}", to_json(request));
    } else {
        print!("{}", to_text(request, Paint::for_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The caller who runs the lab.
const YOU: &str = "you, here";

/// What each call says to each caller.
fn verdicts(request: Request) -> Vec<(Call, String, Verdict)> {
    let callers = [
        (YOU.to_owned(), Caller::current()),
        (
            format!("a user, Linux {}", Caller::NEWEST_KERNEL),
            Caller::unprivileged(),
        ),
    ];
    let calls = match request.call {
        Some(call) => vec![call],
        None => vec![Call::Clone3, Call::Clone],
    };
    let mut verdicts = Vec::new();
    for call in calls {
        for (who, caller) in &callers {
            let Request {
                flags, exit_signal, ..
            } = request;
            verdicts.push((call, who.clone(), flags.verdict(call, exit_signal, caller)));
        }
    }
    verdicts
}

/// Whether no call makes a task so for the caller: what is shared is then what would be.
fn is_refused(request: Request) -> bool {
    let fits = |call| call == Call::Clone3 || request.flags.fits_legacy();
    !verdicts(request)
        .iter()
        .any(|(call, who, verdict)| who == YOU && fits(*call) && verdict.is_accepted())
}

const fn name_of(call: Call) -> &'static str {
    match call {
        Call::Clone => "clone",
        Call::Clone3 => "clone3",
    }
}

/// Each effect in a word, and its tone.
const EFFECTS: [(Effect, &str, Tone); 4] = [
    (Effect::Shared, "shared", Tone::Shared),
    (Effect::Copied, "copied", Tone::Own),
    (Effect::New, "new", Tone::Own),
    (Effect::Reset, "reset", Tone::Own),
];

fn to_text(request: Request, paint: Paint) -> String {
    let Request {
        flags, exit_signal, ..
    } = request;
    let mut text = String::new();
    for line in paint.wrap(&flags.to_string().replace('|', " | "), 98) {
        text += &format!("{}\n", paint.tone(Tone::Title, &line));
    }
    text += &format!(
        "{:#x}, exit signal {}\n\n",
        flags.bits() | u64::from(exit_signal),
        signal_word(exit_signal as i32)
    );
    text += &flags_section(flags, paint);
    text += &effects_section(flags, is_refused(request), paint);
    text += &verdict_section(request, paint);
    text + &users_section(flags, exit_signal, paint)
}

/// A name and, beside it, a text over as many lines as it needs.
fn beside(paint: Paint, tone: Tone, name: &str, text: &str) -> String {
    let mut out = String::new();
    for (index, line) in paint.wrap(text, TEXT).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        out += &format!("  {}{line}\n", paint.cell(tone, name, NAME));
    }
    out
}

fn flags_section(flags: CloneFlags, paint: Paint) -> String {
    let mut text = paint.heading("What the flags do");
    for info in flags.info() {
        text += &beside(paint, Tone::Plain, info.name, info.description);
        let source = format!("Linux {}, {}", info.since, info.man);
        text += &format!("  {:NAME$}{}\n", "", paint.tone(Tone::Quiet, &source));
    }
    if flags.unknown_bits() != 0 {
        let bits = format!("{:#x}", flags.unknown_bits());
        text += &beside(paint, Tone::Bad, &bits, "Bits that have no name.");
    }
    if flags.is_empty() {
        text += "  None: the new task is a copy of its maker.\n";
    }
    text + "\n"
}

fn effects_section(flags: CloneFlags, refused: bool, paint: Paint) -> String {
    let mut text = String::new();
    for (effect, _, tone) in EFFECTS {
        let title = match (effect, refused) {
            (Effect::Shared, false) => "Shared with its maker",
            (Effect::Shared, true) => "Would be shared with its maker",
            (Effect::Copied, false) => "Copied from its maker",
            (Effect::Copied, true) => "Would be copied from its maker",
            (Effect::New, false) => "New, of its own",
            (Effect::New, true) => "Would be new, of its own",
            (Effect::Reset, false) => "Not inherited",
            (Effect::Reset, true) => "Would not be inherited",
        };
        text += &paint.heading(title);
        for (resource, _) in flags.effects().filter(|(_, found)| *found == effect) {
            let sentence = resource.sentence(effect).unwrap_or("");
            text += &beside(paint, tone, resource.name(), sentence);
        }
        text += "\n";
    }
    text
}

fn verdict_section(request: Request, paint: Paint) -> String {
    let mut text = paint.heading("The kernel's answer");
    let all = verdicts(request);
    for call in [Call::Clone3, Call::Clone] {
        let of_call: Vec<_> = all.iter().filter(|(asked, ..)| *asked == call).collect();
        let [(_, _, first), rest @ ..] = &of_call[..] else {
            continue;
        };
        if call == Call::Clone && !request.flags.fits_legacy() {
            text += &beside(
                paint,
                Tone::Bad,
                "clone",
                "has no bits for all of these flags",
            );
        } else if rest
            .iter()
            .all(|(_, _, verdict)| verdict.rule() == first.rule())
        {
            text += &answer(paint, name_of(call), first);
        } else {
            for (_, who, verdict) in of_call {
                text += &answer(paint, &format!("{} by {who}", name_of(call)), verdict);
            }
        }
    }
    text + &other_rules(request, paint) + "\n"
}

fn answer(paint: Paint, name: &str, verdict: &Verdict) -> String {
    let tone = if verdict.is_accepted() {
        Tone::Good
    } else {
        Tone::Bad
    };
    beside(paint, tone, name, &verdict.to_string())
}

/// What would come next if the first rule were kept.
fn other_rules(request: Request, paint: Paint) -> String {
    let (call, caller) = (request.call.unwrap_or(Call::Clone3), Caller::current());
    request
        .flags
        .violated_rules(call, request.exit_signal, &caller)
        .skip(1)
        .map(|rule| beside(paint, Tone::Quiet, "broken as well", &rule.to_string()))
        .collect()
}

fn users_section(flags: CloneFlags, exit_signal: u32, paint: Paint) -> String {
    let mut text = paint.heading("Who makes tasks so");
    let mut nobody = true;
    for (preset, fit) in Preset::matching(flags, exit_signal) {
        nobody = false;
        let how = match fit {
            PresetMatch::Exact => "",
            PresetMatch::SameSharing => " (But for flags that only say where to store a number.)",
        };
        let story = format!("{}{how}", preset.description);
        text += &beside(paint, Tone::Plain, preset.name, &story);
    }
    if nobody {
        text += "  Nobody that the lab knows.\n";
    }
    text
}

fn to_json(request: Request) -> Json {
    let Request {
        flags, exit_signal, ..
    } = request;
    let described = flags.info().map(|info| {
        Json::Object(vec![
            ("name", Json::text(info.name)),
            ("does", Json::text(info.description)),
            ("since", Json::text(info.since.to_string())),
            ("source", Json::text(info.man)),
        ])
    });
    let effects = flags.effects().map(|(resource, effect)| {
        let word = EFFECTS.iter().find(|(known, ..)| *known == effect);
        Json::Object(vec![
            ("resource", Json::text(resource.name())),
            ("effect", Json::maybe(word.map(|(_, word, _)| *word))),
            ("means", Json::maybe(resource.sentence(effect))),
        ])
    });
    let answers = verdicts(request).into_iter().map(|(call, who, verdict)| {
        let rule = verdict.rule();
        Json::Object(vec![
            ("call", Json::text(name_of(call))),
            ("caller", Json::text(who)),
            (
                "can_ask",
                Json::Bool(call == Call::Clone3 || flags.fits_legacy()),
            ),
            ("accepted", Json::Bool(verdict.is_accepted())),
            ("rule", Json::maybe(rule.map(|rule| rule.id))),
            ("because", Json::maybe(rule.map(|rule| rule.description))),
            (
                "errno",
                verdict
                    .errno()
                    .map_or(Json::Null, |errno| Json::from(errno as u64)),
            ),
        ])
    });
    let users = Preset::matching(flags, exit_signal).map(|(preset, fit)| {
        Json::Object(vec![
            ("preset", Json::text(preset.id)),
            ("exact", Json::Bool(fit == PresetMatch::Exact)),
        ])
    });
    Json::Object(vec![
        ("flags", Json::text(flags.to_string())),
        ("bits", Json::text(format!("{:#x}", flags.bits()))),
        ("exit_signal", Json::from(u64::from(exit_signal))),
        ("does", Json::list(described)),
        ("effects", Json::list(effects)),
        ("verdicts", Json::list(answers)),
        ("users", Json::list(users)),
    ])
}
