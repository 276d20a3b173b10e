//! What the flags foretell, in the words of the tables: from the library's `effects`, not from
//! what was seen.

use rawthread::flags::{CloneFlags, Effect, Resource};

use super::{Aspect, Plan, signal_word};

/// For tests: the id of an aspect whose predictions are turned into their opposite, so that one
/// can see the lab notice.
pub(crate) const FALSIFY: &str = "RAWTHREAD_LAB_FALSIFY";

/// The word that should be seen.
pub(super) fn foretell(plan: Plan, aspect: Aspect) -> String {
    let word = word(plan, aspect);
    if std::env::var_os(FALSIFY).is_some_and(|id| id == aspect.id()) {
        return if word == "shared" { "copied" } else { "shared" }.into();
    }
    word
}

/// Of what resource the aspect is a part. Three are of none: an open file description is always
/// common, a maker sleeps by `VFORK` alone, and how the child ends is the plan's to say.
fn resource(aspect: Aspect) -> Option<Resource> {
    Some(match aspect {
        Aspect::Memory => Resource::Memory,
        Aspect::Descriptors => Resource::Descriptors,
        Aspect::Locks => Resource::RecordLocks,
        Aspect::Directory | Aspect::Root | Aspect::Umask => Resource::Directories,
        Aspect::Handlers => Resource::SignalHandlers,
        Aspect::Mask => Resource::SignalMask,
        Aspect::Pending => Resource::ProcessPending,
        Aspect::AlternateStack => Resource::AlternateStack,
        Aspect::Group => Resource::ProcessId,
        Aspect::Parent => Resource::Parent,
        Aspect::ExitSignal | Aspect::Wait => Resource::ExitSignal,
        Aspect::Undo => Resource::SemaphoreUndo,
        Aspect::IoContext => Resource::IoContext,
        Aspect::ThreadPointer => Resource::ThreadPointer,
        Aspect::RobustList => Resource::RobustList,
        Aspect::ClearedWord => Resource::ClearedWord,
        Aspect::DeathSignal => Resource::ParentDeathSignal,
        Aspect::Timer => Resource::IntervalTimers,
        Aspect::UserNs => Resource::UserNamespace,
        Aspect::PidNs => Resource::PidNamespace,
        Aspect::MountNs => Resource::MountNamespace,
        Aspect::NetNs => Resource::NetworkNamespace,
        Aspect::IpcNs => Resource::IpcNamespace,
        Aspect::UtsNs => Resource::UtsNamespace,
        Aspect::CgroupNs => Resource::CgroupNamespace,
        Aspect::TimeNs => Resource::TimeNamespace,
        Aspect::Offset | Aspect::Maker | Aspect::End => return None,
    })
}

fn word(plan: Plan, aspect: Aspect) -> String {
    let Some(resource) = resource(aspect) else {
        let word = match aspect {
            Aspect::Maker if plan.flags.contains(CloneFlags::VFORK) => "sleeps",
            Aspect::Maker => "runs on",
            Aspect::End if plan.exec => "execve",
            Aspect::End => "exit",
            _ => "shared",
        };
        return word.into();
    };
    let effect = plan.flags.effect_on(resource);
    let word = match (aspect, effect) {
        (Aspect::ExitSignal, Effect::New) => return signal_word(plan.exit_signal as i32),
        // The maker's thread group leader is a fork of the lab.
        (Aspect::ExitSignal, Effect::Copied) => "SIGCHLD",
        (Aspect::ExitSignal, _) => "none",
        (Aspect::Wait, _) if plan.leaves_no_zombie() => "nobody",
        (Aspect::Wait, Effect::New) if plan.exit_signal == libc::SIGCHLD as u32 => "wait",
        (Aspect::Wait, Effect::New) => "__WCLONE",
        // A thread is nobody's child, a sibling not its maker's.
        (Aspect::Wait, _) => "nobody",
        (Aspect::Group, Effect::Shared) => "joined",
        (Aspect::Parent, Effect::Shared) => "maker's",
        (Aspect::Parent, _) => "maker",
        (Aspect::ThreadPointer, Effect::New) => "given",
        (Aspect::ThreadPointer, _) => "maker's",
        (Aspect::ClearedWord, Effect::New) => "given",
        (
            Aspect::RobustList | Aspect::ClearedWord | Aspect::DeathSignal | Aspect::Timer,
            Effect::Reset,
        ) => "none",
        (Aspect::AlternateStack, Effect::Copied) => "kept",
        (Aspect::AlternateStack, _) => "dropped",
        (Aspect::Handlers, Effect::Reset) => "reset",
        (_, Effect::Shared) => "shared",
        (
            Aspect::UserNs
            | Aspect::PidNs
            | Aspect::MountNs
            | Aspect::NetNs
            | Aspect::IpcNs
            | Aspect::UtsNs
            | Aspect::CgroupNs
            | Aspect::TimeNs,
            _,
        ) => "new",
        (_, Effect::Copied) => "copied",
        (_, Effect::New | Effect::Reset) => "own",
    };
    word.into()
}
