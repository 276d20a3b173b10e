//! The rows of the tour: the ways to make a task.

use rawthread::flags::{CloneFlags, Preset};

use crate::probe::{Plan, SpawnMethod};

/// One way to make a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) flags: CloneFlags,
    pub(super) exit_signal: u32,
    pub(super) method: SpawnMethod,
    /// The child becomes another program, as in `exec.Command`.
    pub(super) exec: bool,
    /// What makes it special, in at most 20 characters.
    pub(super) remark: &'static str,
}

impl Row {
    pub(super) fn plan(&self) -> Plan {
        Plan {
            flags: self.flags,
            exit_signal: self.exit_signal,
            method: self.method,
            exec: self.exec,
            root: false,
        }
    }
}

const fn row(
    preset: &Preset,
    name: &'static str,
    method: SpawnMethod,
    remark: &'static str,
) -> Row {
    Row {
        id: preset.id,
        name,
        flags: preset.flags,
        exit_signal: preset.exit_signal,
        method,
        exec: false,
        remark,
    }
}

const fn then_exec(row: Row) -> Row {
    Row { exec: true, ..row }
}

/// Every row, processes first.
#[rustfmt::skip]
pub(super) const ROWS: [Row; 12] = [
    row(&Preset::FORK, "fork", SpawnMethod::Fork,
        "a copy of everything"),
    row(&Preset::VFORK, "vfork", SpawnMethod::Process,
        "its maker sleeps"),
    then_exec(row(&Preset::POSIX_SPAWN, "posix_spawn's way", SpawnMethod::Process,
        "then execve")),
    row(&Preset::CLONE, "clone", SpawnMethod::Process,
        "without CLONE_VM"),
    row(&Preset::CLONE_VM, "clone vm", SpawnMethod::Process,
        "with CLONE_VM"),
    Row {
        id: "clone3",
        name: "clone3",
        flags: CloneFlags::CLEAR_SIGHAND,
        exit_signal: Preset::FORK.exit_signal,
        method: SpawnMethod::Process,
        exec: false,
        remark: "what only it can do",
    },
    row(&Preset::NPTL, Preset::NPTL.name, SpawnMethod::PosixThread,
        "made by std::thread"),
    row(&Preset::GO, "Go runtime thread", SpawnMethod::Clone,
        "without any libc"),
    then_exec(row(&Preset::GO_EXEC, "Go's exec.Command", SpawnMethod::Process,
        "a pidfd, then execve")),
    row(&Preset::LINUX_THREADS, "LinuxThreads of 1996", SpawnMethod::Process,
        "a thread with a pid"),
    row(&Preset::CONTAINER, "a container", SpawnMethod::Process,
        "own namespaces"),
    row(&Preset::RAWTHREAD, "rawthread::spawn", SpawnMethod::Library,
        "this library"),
];
