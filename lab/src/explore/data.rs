//! The library's tables as JSON, for the page.

use rawthread::flags::{
    Call, Caller, CloneFlags, Effect, ExitSignalClass, Fact, FlagInfo, KernelVersion, Preset,
    Resource, Rule, signal_name,
};

use crate::json::Json;

/// Everything that the page computes with.
pub(super) fn tables() -> Json {
    let flags = FlagInfo::ALL.iter().map(flag);
    let effects = Resource::ALL.iter().map(|resource| effects_on(*resource));
    let facts = Fact::ALL.iter().map(|fact| {
        Json::Object(vec![
            ("id", Json::text(format!("{fact:?}"))),
            ("says", Json::text(fact.sentence())),
        ])
    });
    let signals = (1..).map_while(signal_name).map(Json::text);
    Json::Object(vec![
        ("flags", Json::list(flags)),
        ("rules", Json::list(Rule::ALL.iter().map(rule))),
        ("effects", Json::list(effects)),
        ("facts", Json::list(facts)),
        (
            "callers",
            Json::Object(vec![
                ("user", facts_of(&Caller::unprivileged())),
                ("root", facts_of(&Caller::privileged())),
            ]),
        ),
        ("presets", Json::list(Preset::ALL.iter().map(preset))),
        ("bookkeeping", bits(CloneFlags::BOOKKEEPING)),
        ("signals", Json::list(signals)),
        ("kernels", Json::list(kernels().into_iter().map(version))),
    ])
}

fn bits(flags: CloneFlags) -> Json {
    Json::text(format!("{:#x}", flags.bits()))
}

fn version(version: KernelVersion) -> Json {
    Json::list(
        [version.major, version.minor, version.patch].map(|part| Json::from(u64::from(part))),
    )
}

const fn call_name(call: Call) -> &'static str {
    match call {
        Call::Clone => "clone",
        Call::Clone3 => "clone3",
    }
}

fn facts_of(caller: &Caller) -> Json {
    Json::list(caller.facts().map(|fact| Json::text(format!("{fact:?}"))))
}

fn flag(info: &FlagInfo) -> Json {
    Json::Object(vec![
        ("name", Json::text(info.name)),
        ("bit", bits(info.flag)),
        ("does", Json::text(info.description)),
        ("since", version(info.since)),
        ("source", Json::text(info.man)),
        ("clone3", Json::Bool(info.clone3_only)),
    ])
}

fn preset(preset: &Preset) -> Json {
    Json::Object(vec![
        ("id", Json::text(preset.id)),
        ("name", Json::text(preset.name)),
        ("flags", bits(preset.flags)),
        ("signal", Json::from(u64::from(preset.exit_signal))),
        ("call", Json::text(call_name(preset.call))),
        ("story", Json::text(preset.description)),
    ])
}

fn rule(rule: &Rule) -> Json {
    let when = &rule.when;
    let fact = |fact: Option<Fact>| fact.map_or(Json::Null, |fact| Json::text(format!("{fact:?}")));
    let signal = match when.signal {
        ExitSignalClass::Anything => "Anything",
        ExitSignalClass::Given => "Given",
        ExitSignalClass::Invalid => "Invalid",
        ExitSignalClass::BeyondByte => "BeyondByte",
    };
    Json::Object(vec![
        ("id", Json::text(rule.id)),
        ("text", Json::text(rule.to_string())),
        ("since", version(rule.since)),
        ("until", rule.until.map_or(Json::Null, version)),
        ("call", Json::maybe(when.call.map(call_name))),
        ("all", bits(when.all)),
        ("any", bits(when.any)),
        ("none", bits(when.none)),
        ("with", fact(when.with)),
        ("unless", fact(when.unless)),
        ("exhausted", bits(when.exhausted)),
        ("signal", Json::text(signal)),
        ("unknown", Json::Bool(when.unknown_flag)),
    ])
}

/// The versions at which a flag or a rule comes or goes, newest first; the newest is the newest
/// that the rules were read from.
fn kernels() -> Vec<KernelVersion> {
    let oldest = KernelVersion::new(4, 9, 0);
    let flags = FlagInfo::ALL.iter().map(|info| info.since);
    let rules = Rule::ALL.iter();
    let mut all: Vec<_> = rules
        .flat_map(|rule| [Some(rule.since), rule.until].into_iter().flatten())
        .chain(flags)
        .chain([oldest, Caller::NEWEST_KERNEL, Caller::current().kernel()])
        .filter(|version| *version >= oldest)
        .collect();
    all.sort_unstable();
    all.dedup();
    all.reverse();
    all
}

/// The flags on which the effect on a resource depends: those that change it in some set of at
/// most two others.
fn relevant_flags(resource: Resource) -> Vec<CloneFlags> {
    let all: Vec<_> = FlagInfo::ALL.iter().map(|info| info.flag).collect();
    let mut bases = vec![CloneFlags::empty()];
    for &one in &all {
        bases.extend(all.iter().map(|&other| one | other));
    }
    let matters = |flag: &CloneFlags| {
        bases.iter().any(|&base| {
            (base | *flag).effect_on(resource) != base.difference(*flag).effect_on(resource)
        })
    };
    all.iter().copied().filter(matters).collect()
}

/// A truth table: the effect for every subset of the flags that matter, the first flag being the
/// lowest bit of the index.
fn effects_on(resource: Resource) -> Json {
    let relevant = relevant_flags(resource);
    let table = (0..1usize << relevant.len()).map(|index| {
        let chosen = relevant.iter().enumerate();
        let set = chosen
            .filter(|(place, _)| index >> place & 1 == 1)
            .fold(CloneFlags::empty(), |set, (_, flag)| set | *flag);
        Json::text(effect_name(set.effect_on(resource)))
    });
    let effects = [Effect::Shared, Effect::Copied, Effect::New, Effect::Reset];
    let says = effects.into_iter().filter_map(|effect| {
        let sentence = resource.sentence(effect)?;
        Some((effect_name(effect), Json::text(sentence)))
    });
    Json::Object(vec![
        ("name", Json::text(resource.name())),
        ("table", Json::list(table)),
        ("says", Json::Object(says.collect())),
        ("flags", Json::list(relevant.iter().copied().map(bits))),
    ])
}

const fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Shared => "Shared",
        Effect::Copied => "Copied",
        Effect::New => "New",
        Effect::Reset => "Reset",
    }
}
