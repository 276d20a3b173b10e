//! What the flags predict, in the words of the tables: from the library's `effects`, not from
//! what was seen.

use rawthread::flags::{CloneFlags, Effect, Resource};

use super::plan::{Plan, signal_word};
use super::property::Property;

/// For tests: the id of an aspect whose predictions are turned into their opposite, so that one
/// can see the lab notice.
pub(crate) const FALSIFY: &str = "RAWTHREAD_LAB_FALSIFY";

/// The word that should be seen.
pub(super) fn predict(plan: Plan, property: Property) -> String {
    let word = word(plan, property);
    if std::env::var_os(FALSIFY).is_some_and(|id| id == property.id()) {
        return if word == "shared" { "copied" } else { "shared" }.into();
    }
    word
}

/// Of what resource the aspect is a part. Three are of none: an open file description is always
/// common, a maker sleeps by `VFORK` alone, and how the child ends is the plan's to say.
fn resource(property: Property) -> Option<Resource> {
    Some(match property {
        Property::Memory => Resource::Memory,
        Property::Descriptors => Resource::Descriptors,
        Property::Locks => Resource::RecordLocks,
        Property::Directory | Property::Root | Property::Umask => Resource::Directories,
        Property::Handlers => Resource::SignalHandlers,
        Property::Mask => Resource::SignalMask,
        Property::Pending => Resource::ProcessPending,
        Property::AlternateStack => Resource::AlternateStack,
        Property::Group => Resource::ProcessId,
        Property::Parent => Resource::Parent,
        Property::ExitSignal | Property::Wait => Resource::ExitSignal,
        Property::Undo => Resource::SemaphoreUndo,
        Property::IoContext => Resource::IoContext,
        Property::ThreadPointer => Resource::ThreadPointer,
        Property::RobustList => Resource::RobustList,
        Property::ClearedWord => Resource::ClearedWord,
        Property::DeathSignal => Resource::ParentDeathSignal,
        Property::Timer => Resource::IntervalTimers,
        Property::PosixTimer => Resource::PosixTimers,
        Property::CpuClock => Resource::CpuClock,
        Property::UserNs => Resource::UserNamespace,
        Property::PidNs => Resource::PidNamespace,
        Property::MountNs => Resource::MountNamespace,
        Property::NetNs => Resource::NetworkNamespace,
        Property::IpcNs => Resource::IpcNamespace,
        Property::UtsNs => Resource::UtsNamespace,
        Property::CgroupNs => Resource::CgroupNamespace,
        Property::TimeNs => Resource::TimeNamespace,
        Property::Offset | Property::Maker | Property::End => return None,
    })
}

fn word(plan: Plan, property: Property) -> String {
    let Some(resource) = resource(property) else {
        let word = match property {
            Property::Maker if plan.flags.contains(CloneFlags::VFORK) => "sleeps",
            Property::Maker => "runs on",
            Property::End if plan.exec => "execve",
            Property::End => "exit",
            _ => "shared",
        };
        return word.into();
    };
    let effect = plan.flags.effect_on(resource);
    let word = match (property, effect) {
        (Property::ExitSignal, Effect::New) => return signal_word(plan.exit_signal as i32),
        // The maker's thread group leader is a fork of the lab.
        (Property::ExitSignal, Effect::Copied) => "SIGCHLD",
        (Property::ExitSignal, _) => "none",
        (Property::Wait, _) if plan.leaves_no_zombie() => "none",
        (Property::Wait, Effect::New) if plan.exit_signal == libc::SIGCHLD as u32 => "wait",
        (Property::Wait, Effect::New) => "__WCLONE",
        // No wait of the maker finds a thread, or a sibling.
        (Property::Wait, _) => "none",
        (Property::Group, Effect::Shared) => "joined",
        (Property::Parent, Effect::Shared) => "maker's",
        (Property::Parent, _) => "maker",
        (Property::ThreadPointer, Effect::New) => "given",
        (Property::ThreadPointer, _) => "maker's",
        (Property::ClearedWord, Effect::New) => "given",
        (
            Property::RobustList
            | Property::ClearedWord
            | Property::DeathSignal
            | Property::Timer
            | Property::PosixTimer,
            Effect::Reset,
        ) => "none",
        (Property::AlternateStack, Effect::Copied) => "kept",
        (Property::AlternateStack, _) => "dropped",
        (Property::Handlers, Effect::Reset) => "reset",
        (_, Effect::Shared) => "shared",
        (
            Property::UserNs
            | Property::PidNs
            | Property::MountNs
            | Property::NetNs
            | Property::IpcNs
            | Property::UtsNs
            | Property::CgroupNs
            | Property::TimeNs,
            _,
        ) => "new",
        (_, Effect::Copied) => "copied",
        (_, Effect::New | Effect::Reset) => "own",
    };
    word.into()
}
