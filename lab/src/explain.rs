//! `lab explain`: what a set of flags means, without making anything.

mod arguments;

use std::process::ExitCode;

use rawthread::flags::{Call, Caller, CloneFlags, Effect, Preset, PresetMatch, Verdict};

use crate::cli::{Arguments, UsageError};
use crate::clone_spec::{self, CloneSpec};
use crate::json::Json;
use crate::probe::{flags_title, signal_word};
use crate::style::{Style, Styler};

/// Where the second column begins, and how wide the third is.
const NAME: usize = 33;
const TEXT: usize = 64;

pub(crate) fn run(arguments: Arguments<'_>) -> Result<ExitCode, UsageError> {
    let (spec, json) = clone_spec::from_arguments(arguments)?;
    if json {
        println!("{}", to_json(spec));
    } else {
        print!("{}", to_text(spec, Styler::for_stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The caller who runs the lab.
const CURRENT_CALLER: &str = "you, here";

/// What each call says to each caller.
fn verdicts(spec: CloneSpec) -> Vec<(Call, String, Verdict)> {
    let callers = [
        (CURRENT_CALLER.to_owned(), Caller::current()),
        (
            format!("a user, Linux {}", Caller::NEWEST_KERNEL),
            Caller::unprivileged(),
        ),
    ];
    let calls = match spec.call {
        Some(call) => vec![call],
        None => vec![Call::Clone3, Call::Clone],
    };
    let mut verdicts = Vec::new();
    for call in calls {
        for (who, caller) in &callers {
            let CloneSpec {
                flags, exit_signal, ..
            } = spec;
            verdicts.push((call, who.clone(), flags.verdict(call, exit_signal, caller)));
        }
    }
    verdicts
}

/// Whether no call makes a task so for the caller: what is shared is then what would be.
fn is_refused(spec: CloneSpec) -> bool {
    let fits = |call| call == Call::Clone3 || spec.flags.fits_legacy();
    !verdicts(spec)
        .iter()
        .any(|(call, who, verdict)| who == CURRENT_CALLER && fits(*call) && verdict.is_accepted())
}

const fn name_of(call: Call) -> &'static str {
    match call {
        Call::Clone => "clone",
        Call::Clone3 => "clone3",
    }
}

/// Each effect in a word, and its tone.
const EFFECTS: [(Effect, &str, Style); 4] = [
    (Effect::Shared, "shared", Style::Shared),
    (Effect::Copied, "copied", Style::Own),
    (Effect::New, "new", Style::Own),
    (Effect::Reset, "reset", Style::Own),
];

fn to_text(spec: CloneSpec, styler: Styler) -> String {
    let CloneSpec {
        flags, exit_signal, ..
    } = spec;
    let mut text = String::new();
    for line in styler.wrap(&flags_title(flags), 98) {
        text += &format!("{}\n", styler.apply(Style::Title, &line));
    }
    text += &format!(
        "{:#x}, exit signal {}\n\n",
        flags.bits() | u64::from(exit_signal),
        signal_word(exit_signal as i32)
    );
    text += &flags_section(flags, styler);
    text += &effects_section(flags, is_refused(spec), styler);
    text += &verdict_section(spec, styler);
    text += &arguments_section(flags, exit_signal, styler);
    text + &presets_section(flags, exit_signal, styler)
}

/// A name and, beside it, a text over as many lines as it needs.
fn two_columns(styler: Styler, style: Style, name: &str, text: &str) -> String {
    let mut out = String::new();
    for (index, line) in styler.wrap(text, TEXT).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        out += &format!("  {}{line}\n", styler.pad(style, name, NAME));
    }
    out
}

fn flags_section(flags: CloneFlags, styler: Styler) -> String {
    let mut text = styler.heading("What the flags do");
    for info in flags.info() {
        text += &two_columns(styler, Style::Plain, info.name, info.description);
        let source = format!("Linux {}, {}", info.since, info.man);
        text += &format!("  {:NAME$}{}\n", "", styler.apply(Style::Quiet, &source));
    }
    if flags.unknown_bits() != 0 {
        let bits = format!("{:#x}", flags.unknown_bits());
        text += &two_columns(styler, Style::Bad, &bits, "Bits that have no name.");
    }
    if flags.is_empty() {
        text += "  None: the new task is a copy of its maker.\n";
    }
    text + "\n"
}

fn effects_section(flags: CloneFlags, refused: bool, styler: Styler) -> String {
    let mut text = String::new();
    for (effect, _, style) in EFFECTS {
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
        text += &styler.heading(title);
        for (resource, _) in flags.effects().filter(|(_, found)| *found == effect) {
            let sentence = resource.sentence(effect).unwrap_or("");
            text += &two_columns(styler, style, resource.name(), sentence);
        }
        text += "\n";
    }
    text
}

fn verdict_section(spec: CloneSpec, styler: Styler) -> String {
    let mut text = styler.heading("The kernel's answer");
    let all = verdicts(spec);
    for call in [Call::Clone3, Call::Clone] {
        let of_call: Vec<_> = all.iter().filter(|(asked, ..)| *asked == call).collect();
        let [(_, _, first), rest @ ..] = &of_call[..] else {
            continue;
        };
        if call == Call::Clone && !spec.flags.fits_legacy() {
            text += &two_columns(
                styler,
                Style::Bad,
                "clone",
                "has no bits for all of these flags",
            );
        } else if rest
            .iter()
            .all(|(_, _, verdict)| verdict.rule() == first.rule())
        {
            text += &answer(styler, name_of(call), first);
        } else {
            for (_, who, verdict) in of_call {
                text += &answer(styler, &format!("{} by {who}", name_of(call)), verdict);
            }
        }
    }
    text + &other_rules(spec, styler) + "\n"
}

fn answer(styler: Styler, name: &str, verdict: &Verdict) -> String {
    let style = if verdict.is_accepted() {
        Style::Good
    } else {
        Style::Bad
    };
    two_columns(styler, style, name, &verdict.to_string())
}

/// What would come next if the first rule were kept.
fn other_rules(spec: CloneSpec, styler: Styler) -> String {
    let (call, caller) = (spec.call.unwrap_or(Call::Clone3), Caller::current());
    spec.flags
        .violated_rules(call, spec.exit_signal, &caller)
        .skip(1)
        .map(|rule| two_columns(styler, Style::Quiet, "broken as well", &rule.to_string()))
        .collect()
}

fn presets_section(flags: CloneFlags, exit_signal: u32, styler: Styler) -> String {
    let mut text = styler.heading("Known systems that make such tasks");
    let mut none = true;
    for (preset, fit) in Preset::matching(flags, exit_signal) {
        none = false;
        let how = match fit {
            PresetMatch::Exact => "",
            PresetMatch::SameSharing => " (But for flags that only say where to store a number.)",
        };
        let story = format!("{}{how}", preset.description);
        text += &two_columns(styler, Style::Plain, preset.name, &story);
    }
    if none {
        text += "  None that the lab knows.\n";
    }
    text
}

/// The argument of clone3, field by field.
fn arguments_section(flags: CloneFlags, exit_signal: u32, styler: Styler) -> String {
    let mut text = styler.heading("The arguments: clone3's struct clone_args, and clone(2)");
    let signal = signal_word(exit_signal as i32);
    for field in &arguments::FIELDS {
        let value = field.value(flags, &signal);
        text += &two_columns(styler, Style::Plain, field.name, &value);
        let in_clone = format!("in clone(2): {}", field.in_clone);
        for line in styler.wrap(&in_clone, TEXT) {
            text += &format!("  {:NAME$}{}\n", "", styler.apply(Style::Quiet, &line));
        }
    }
    text + "\n"
}

fn to_json(spec: CloneSpec) -> Json {
    let CloneSpec {
        flags, exit_signal, ..
    } = spec;
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
    let answers = verdicts(spec).into_iter().map(|(call, who, verdict)| {
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
    let signal = signal_word(exit_signal as i32);
    let fields = arguments::FIELDS.iter().map(|field| {
        Json::Object(vec![
            ("field", Json::text(field.name)),
            ("value", Json::text(field.value(flags, &signal))),
            ("in_clone", Json::text(field.in_clone)),
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
        ("clone_args", Json::list(fields)),
        ("users", Json::list(users)),
    ])
}
