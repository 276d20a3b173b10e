//! Which known system makes tasks so.

use rawthread::flags::{CloneFlags, Preset};

use super::machine;
use super::task::{CloneRequest, Origin, Task};

/// A thread with a thread pointer, a tid word and a word to join on.
const POSIX: CloneFlags = Preset::NPTL.flags;
const MUSL: CloneFlags = POSIX.union(CloneFlags::DETACHED);
/// On amd64 Go sets the thread pointer by the call, elsewhere itself.
const GO_AMD64: CloneFlags = Preset::GO.flags.union(CloneFlags::SETTLS);
const VM_VFORK: CloneFlags = Preset::VFORK.flags;
const SPAWN_HANDLERS: CloneFlags = VM_VFORK.union(CloneFlags::CLEAR_SIGHAND);
const GO_CGROUP: CloneFlags = Preset::GO_EXEC.flags.union(CloneFlags::INTO_CGROUP);
const GO_CGROUP_OLD: CloneFlags = VM_VFORK.union(CloneFlags::INTO_CGROUP);

/// How a task came to be, in a few words.
pub(super) fn origin(task: &Task) -> String {
    match task.origin {
        Origin::Command => "the command".into(),
        Origin::Attached => "was there before".into(),
        Origin::Unseen => "by a call that began unseen".into(),
        Origin::Made { request, .. } => classify(request),
    }
}

/// The presets that a request fits best; or what can be said without.
pub(super) fn classify(request: CloneRequest) -> String {
    if !request.readable {
        return "arguments unreadable".into();
    }
    if let Some(name) = by_details(request) {
        return name.into();
    }
    let mut fits = Preset::matching(request.flags, request.exit_signal).peekable();
    let best = fits.peek().map(|(_, fit)| *fit);
    let names: Vec<_> = fits
        .filter(|(preset, fit)| Some(*fit) == best && matches_preset(request, preset))
        .map(|(preset, _)| preset.name)
        .collect();
    match names.as_slice() {
        [] if request.flags.contains(CloneFlags::VM) => "shares memory".into(),
        [] => "of its own kind".into(),
        names => names.join(" or "),
    }
}

/// What flags that share the same tell apart: words for the thread pointer and tids, a stack.
fn by_details(request: CloneRequest) -> Option<&'static str> {
    let CloneRequest {
        call,
        flags,
        own_stack,
        ..
    } = request;
    let sigchld = libc::SIGCHLD as u32;
    let has_vfork = machine::has_vfork(request.machine);
    Some(match (flags, request.exit_signal) {
        (POSIX, 0) => Preset::NPTL.name,
        (MUSL, 0) => "pthread_create (musl)",
        (GO_AMD64, 0) if call == "clone" => Preset::GO.name,
        (VM_VFORK, signal) if signal == sigchld => match (call, own_stack) {
            ("vfork", _) => Preset::VFORK.name,
            (_, true) => Preset::POSIX_SPAWN.name,
            // Go before 1.23: as vfork, by clone on the caller's stack.
            (_, false) if has_vfork => Preset::GO_EXEC.name,
            // There vfork is such a clone too.
            (_, false) => "vfork or Go exec.Command",
        },
        (SPAWN_HANDLERS, signal) if signal == sigchld => Preset::POSIX_SPAWN.name,
        (GO_CGROUP | GO_CGROUP_OLD, signal) if signal == sigchld => Preset::GO_EXEC.name,
        _ => return None,
    })
}

/// Of presets with the same flags: whether it can be this one.
fn matches_preset(request: CloneRequest, preset: &Preset) -> bool {
    let id = preset.id;
    if id == Preset::RAWTHREAD.id {
        // Named for the tour; to a tracer it is pthread_create.
        return false;
    }
    // Without memory of its own the child of a fork continues on its maker's stack.
    if id == Preset::CLONE.id || id == Preset::FORK.id {
        return (id == Preset::CLONE.id) == request.own_stack;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::task::clone_request as request;

    #[test]
    fn requests_are_named_after_their_makers() {
        assert_eq!(classify(request(0x3d_0f00, 0)), "pthread_create (NPTL)");
        assert_eq!(classify(request(0x7d_0f00, 0)), "pthread_create (musl)");
        assert_eq!(classify(request(0x5_0f00, 0)), "Go runtime thread");
        assert_eq!(classify(request(0xd_0f00, 0)), "Go runtime thread");
        // glibc's fork stores the tid as well.
        assert_eq!(classify(request(0x120_0000, 17)), "fork");
        assert_eq!(classify(request(0x300, 17)), "shares memory");
        assert_eq!(classify(request(0x200, 17)), "of its own kind");
    }

    #[test]
    fn stack_and_machine_tell_spawn_from_go_and_vfork() {
        let spawn = CloneRequest {
            own_stack: true,
            ..request(0x4100, 17)
        };
        assert_eq!(classify(spawn), "posix_spawn");
        let clear_handlers = CloneRequest {
            call: "clone3",
            own_stack: true,
            ..request(0x1_0000_4100, 17)
        };
        assert_eq!(classify(clear_handlers), "posix_spawn");
        let old_go = CloneRequest {
            machine: Some("i386"),
            ..request(0x4100, 17)
        };
        assert_eq!(classify(old_go), "Go exec.Command");
        assert_eq!(classify(request(0x5100, 17)), "Go exec.Command");
        let vfork = CloneRequest {
            call: "vfork",
            machine: Some("i386"),
            ..request(0x4100, 17)
        };
        assert_eq!(classify(vfork), "vfork");
    }

    #[test]
    fn what_could_not_be_read_is_not_named() {
        let unreadable = CloneRequest {
            readable: false,
            ..request(0, 17)
        };
        assert_eq!(classify(unreadable), "arguments unreadable");
    }
}
