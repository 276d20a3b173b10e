//! The tables agree with the kernel's header, with each other, and with themselves.

use std::collections::HashSet;

use rawthread::flags::{
    Call, Caller, CloneFlags, Condition, Effect, ExitSignalClass, Fact, FlagInfo, KernelVersion,
    Preset, Resource, Rule,
};

/// `include/uapi/linux/sched.h`, once more and by hand.
const HEADER: [(&str, u64); 31] = [
    ("NEWTIME", 0x80),
    ("VM", 0x100),
    ("FS", 0x200),
    ("FILES", 0x400),
    ("SIGHAND", 0x800),
    ("PIDFD", 0x1000),
    ("PTRACE", 0x2000),
    ("VFORK", 0x4000),
    ("PARENT", 0x8000),
    ("THREAD", 0x10000),
    ("NEWNS", 0x20000),
    ("SYSVSEM", 0x40000),
    ("SETTLS", 0x80000),
    ("PARENT_SETTID", 0x100000),
    ("CHILD_CLEARTID", 0x200000),
    ("DETACHED", 0x400000),
    ("UNTRACED", 0x800000),
    ("CHILD_SETTID", 0x1000000),
    ("NEWCGROUP", 0x2000000),
    ("NEWUTS", 0x4000000),
    ("NEWIPC", 0x8000000),
    ("NEWUSER", 0x10000000),
    ("NEWPID", 0x20000000),
    ("NEWNET", 0x40000000),
    ("IO", 0x80000000),
    ("CLEAR_SIGHAND", 0x100000000),
    ("INTO_CGROUP", 0x200000000),
    ("AUTOREAP", 0x400000000),
    ("NNP", 0x800000000),
    ("PIDFD_AUTOKILL", 0x1000000000),
    ("EMPTY_MNTNS", 0x2000000000),
];

#[test]
fn the_flags_are_those_of_the_header() {
    assert_eq!(FlagInfo::ALL.len(), HEADER.len());
    for (info, (name, bits)) in FlagInfo::ALL.iter().zip(HEADER) {
        assert_eq!(info.name, format!("CLONE_{name}"));
        assert_eq!(info.flag.bits(), bits, "{name}");
        assert_eq!(info.clone3_only, bits >> 32 != 0 || bits == 0x80, "{name}");
        assert!(
            info.description.ends_with('.'),
            "{name}: {}",
            info.description
        );
        assert_eq!(
            info.description.matches(". ").count(),
            0,
            "{name}: one sentence"
        );
        assert!(
            info.man.ends_with(')') || info.man.ends_with(".h"),
            "{name}: {}",
            info.man
        );
    }
    // The names of the constants are the names in the table.
    let constants: Vec<_> = CloneFlags::all()
        .iter_names()
        .map(|(name, flag)| (name, flag.bits()))
        .collect();
    assert_eq!(constants, HEADER);
}

fn all_differ<'a>(names: impl Iterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for name in names {
        assert!(seen.insert(name.to_lowercase()), "{name} twice");
    }
}

#[test]
fn presets_are_found_and_accepted() {
    all_differ(Preset::ALL.iter().map(|preset| preset.id));
    all_differ(Preset::ALL.iter().map(|preset| preset.name));
    for preset in Preset::ALL {
        assert_eq!(Preset::by_id(preset.id), Some(preset));
        assert_eq!(Preset::by_id(&preset.name.to_uppercase()), Some(preset));
        let mut found = Preset::matching(preset.flags, preset.exit_signal);
        assert!(found.any(|(found, _)| found == preset), "{}", preset.name);
        let verdict =
            preset
                .flags
                .verdict(preset.call, preset.exit_signal, &Caller::unprivileged());
        assert!(verdict.is_accepted(), "{}: {verdict}", preset.name);
        let known = Preset::by_id(preset.id).expect("found above");
        assert!(known.description.ends_with(['.', ')']) && !known.source.is_empty());
    }
    assert_eq!(Preset::matching(CloneFlags::IO, 9).count(), 0);
}

/// Flags, signal and caller that a condition is about, and nothing else.
fn example(when: &Condition, kernel: KernelVersion) -> (CloneFlags, u32, Caller) {
    let mut flags = when.all;
    for choice in [when.any, when.exhausted] {
        flags |= choice
            .iter()
            .find(|flag| !when.none.intersects(*flag))
            .unwrap_or_default();
    }
    if when.unknown_flag {
        flags |= CloneFlags::from_bits_retain(1 << 63);
    }
    let signal = match when.signal {
        ExitSignalClass::Anything => 0,
        ExitSignalClass::Given => 17,
        ExitSignalClass::Invalid => 99,
        ExitSignalClass::BeyondByte => 1 << 8,
    };
    let mut caller = Caller::unprivileged()
        .on_kernel(kernel)
        .with_quota_exhausted(when.exhausted);
    if let Some(fact) = when.with {
        caller = caller.with_fact(fact);
    }
    (flags, signal, caller)
}

#[test]
fn no_flag_and_no_rule_is_younger_than_the_newest_kernel() {
    let newest = Caller::NEWEST_KERNEL;
    for info in FlagInfo::ALL {
        let name = info.name;
        assert!(info.since <= newest, "{name}: raise Caller::NEWEST_KERNEL");
    }
    for rule in Rule::ALL {
        assert!(rule.since <= newest, "{rule}: raise Caller::NEWEST_KERNEL");
        // A lasting rule about one flag alone is not older than the flag.
        let only = FlagInfo::ALL
            .iter()
            .find(|info| info.clone3_only && rule.when.all == info.flag);
        if let Some(info) = only.filter(|_| rule.until.is_none()) {
            assert!(rule.since >= info.since, "{rule}: older than {}", info.name);
        }
    }
}

#[test]
fn every_rule_refuses_its_example_and_only_while_it_lasts() {
    all_differ(Rule::ALL.iter().map(|rule| rule.id));
    for rule in Rule::ALL {
        let call = rule.when.call.unwrap_or(Call::Clone3);
        let breaks = |kernel| {
            let (flags, signal, caller) = example(&rule.when, kernel);
            flags
                .violated_rules(call, signal, &caller)
                .any(|broken| broken == rule)
        };
        assert!(breaks(rule.since), "{rule}");
        let last = rule.until.map_or(Caller::NEWEST_KERNEL, |until| {
            assert!(!breaks(until), "{rule}");
            KernelVersion::new(until.major, until.minor - 1, 999)
        });
        // A flag may be younger than the rule that names it among others.
        assert!(breaks(last), "not in force on {last:?}: {rule}");
        assert!(!rule.exists_in(KernelVersion::new(1, 0, 0)), "{rule}");

        // Each part of the condition counts: without it the rule does not apply.
        let (flags, signal, caller) = example(&rule.when, last);
        let applies = |flags: CloneFlags, signal, caller: &Caller| {
            flags
                .violated_rules(call, signal, caller)
                .any(|broken| broken == rule)
        };
        for flag in rule.when.all {
            assert!(!applies(flags - flag, signal, &caller), "{rule}: {flag}");
        }
        for flag in rule.when.none {
            assert!(!applies(flags | flag, signal, &caller), "{rule}: {flag}");
        }
        if !rule.when.any.is_empty() {
            assert!(
                !applies(flags - rule.when.any, signal, &caller),
                "{rule}: any"
            );
        }
        if let Some(fact) = rule.when.with {
            assert!(
                !applies(flags, signal, &caller.without_fact(fact)),
                "{rule}: {fact:?}"
            );
        }
        if let Some(fact) = rule.when.unless {
            assert!(
                !applies(flags, signal, &caller.with_fact(fact)),
                "{rule}: {fact:?}"
            );
        }
        if rule.when.signal != ExitSignalClass::Anything {
            assert!(!applies(flags, 0, &caller), "{rule}: signal");
        }
    }
}

#[test]
fn steps_are_in_order() {
    let steps: String = Rule::ALL
        .iter()
        .filter_map(|rule| rule.id.chars().next())
        .collect();
    let mut in_order: Vec<char> = steps.chars().skip_while(|step| *step == 'S').collect();
    assert!(in_order.is_sorted(), "{steps}");
    in_order.dedup();
    assert_eq!(String::from_iter(in_order), "ABCDEFGHI");
}

#[test]
fn every_fact_matters_to_some_rule() {
    for fact in Fact::ALL {
        let asked = |rule: &Rule| rule.when.with == Some(*fact) || rule.when.unless == Some(*fact);
        assert!(Rule::ALL.iter().any(asked), "{fact:?}");
        assert!(
            fact.sentence().ends_with('.'),
            "{fact:?}: {}",
            fact.sentence()
        );
    }
    let everything = Fact::ALL
        .iter()
        .fold(Caller::unprivileged(), |caller, fact| {
            caller.with_fact(*fact)
        });
    assert!(
        everything.facts().eq(Fact::ALL.iter().copied()),
        "each fact has its own bit"
    );
}

#[test]
fn the_kernels_age_decides() {
    let verdict = |flags: CloneFlags, call, kernel: (u16, u16)| {
        let caller = Caller::privileged().on_kernel(KernelVersion::new(kernel.0, kernel.1, 0));
        flags.verdict(call, 0, &caller).rule().map(|rule| rule.id)
    };
    let thread_pidfd = Preset::GO.flags | CloneFlags::PIDFD;
    assert_eq!(verdict(thread_pidfd, Call::Clone3, (6, 8)), Some("D8"));
    assert_eq!(verdict(thread_pidfd, Call::Clone3, (6, 9)), None);
    // Before 5.2 clone did not know the bit and did not look at it.
    assert_eq!(verdict(thread_pidfd, Call::Clone, (5, 1)), None);
    assert_eq!(
        verdict(CloneFlags::empty(), Call::Clone3, (5, 2)),
        Some("A0")
    );
    for flag in [
        CloneFlags::AUTOREAP,
        CloneFlags::NNP,
        CloneFlags::EMPTY_MNTNS,
    ] {
        assert_eq!(verdict(flag, Call::Clone3, (7, 0)), Some("B1"), "{flag}");
        assert_eq!(verdict(flag, Call::Clone3, (7, 1)), None, "{flag}");
        assert_eq!(
            verdict(flag, Call::Clone, (7, 1)),
            None,
            "clone drops the upper half"
        );
    }
    let empty_and_fs = CloneFlags::EMPTY_MNTNS | CloneFlags::FS;
    assert_eq!(
        verdict(empty_and_fs, Call::Clone3, (7, 1)),
        Some("D1"),
        "a new mount namespace too"
    );
    assert_eq!(
        verdict(CloneFlags::NEWTIME, Call::Clone3, (6, 2)),
        Some("B2b")
    );
    assert_eq!(verdict(CloneFlags::NEWTIME, Call::Clone3, (6, 3)), None);
    assert_eq!(
        verdict(CloneFlags::PIDFD_AUTOKILL, Call::Clone3, (7, 1)),
        Some("D13")
    );
}

#[test]
fn what_happens_has_a_sentence_and_what_has_one_happens() {
    let mut seen = HashSet::new();
    let singles = FlagInfo::ALL.iter().map(|info| info.flag);
    let sets = singles.chain(Preset::ALL.iter().map(|preset| preset.flags));
    for flags in sets.chain([CloneFlags::empty()]) {
        for (resource, effect) in flags.effects() {
            let sentence = resource.sentence(effect);
            assert!(sentence.is_some(), "{flags}: {resource:?} {effect:?}");
            seen.insert((resource, effect));
        }
        assert!(
            flags
                .effects()
                .map(|(resource, _)| resource)
                .eq(Resource::ALL.iter().copied())
        );
    }
    for resource in Resource::ALL {
        for effect in [Effect::Shared, Effect::Copied, Effect::New, Effect::Reset] {
            let has_sentence = resource.sentence(effect).is_some();
            assert_eq!(
                has_sentence,
                seen.contains(&(*resource, effect)),
                "{resource:?} {effect:?}"
            );
        }
    }
    all_differ(Resource::ALL.iter().map(|resource| resource.name()));
}
