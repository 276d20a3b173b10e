//! The things that a task shares with its maker, or has of its own.

/// One thing to look at. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Memory,
    Descriptors,
    Offset,
    Locks,
    Directory,
    Root,
    Umask,
    Handlers,
    Mask,
    Pending,
    AlternateStack,
    Group,
    Parent,
    ExitSignal,
    Wait,
    Undo,
    IoContext,
    ThreadPointer,
    Maker,
    End,
    UserNs,
    PidNs,
    MountNs,
    NetNs,
    IpcNs,
    UtsNs,
    CgroupNs,
    TimeNs,
}

impl Aspect {
    pub(crate) const ALL: [Self; 28] = [
        Self::Memory,
        Self::Descriptors,
        Self::Offset,
        Self::Locks,
        Self::Directory,
        Self::Root,
        Self::Umask,
        Self::Handlers,
        Self::Mask,
        Self::Pending,
        Self::AlternateStack,
        Self::Group,
        Self::Parent,
        Self::ExitSignal,
        Self::Wait,
        Self::Undo,
        Self::IoContext,
        Self::ThreadPointer,
        Self::Maker,
        Self::End,
        Self::UserNs,
        Self::PidNs,
        Self::MountNs,
        Self::NetNs,
        Self::IpcNs,
        Self::UtsNs,
        Self::CgroupNs,
        Self::TimeNs,
    ];

    /// A word for programs and for the command line.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "fds",
            Self::Offset => "offset",
            Self::Locks => "locks",
            Self::Directory => "cwd",
            Self::Root => "root",
            Self::Umask => "umask",
            Self::Handlers => "handlers",
            Self::Mask => "mask",
            Self::Pending => "pending",
            Self::AlternateStack => "altstack",
            Self::Group => "group",
            Self::Parent => "parent",
            Self::ExitSignal => "exit-signal",
            Self::Wait => "wait",
            Self::Undo => "undo",
            Self::IoContext => "io",
            Self::ThreadPointer => "tls",
            Self::Maker => "maker",
            Self::End => "end",
            Self::UserNs => "user-ns",
            Self::PidNs => "pid-ns",
            Self::MountNs => "mnt-ns",
            Self::NetNs => "net-ns",
            Self::IpcNs => "ipc-ns",
            Self::UtsNs => "uts-ns",
            Self::CgroupNs => "cgroup-ns",
            Self::TimeNs => "time-ns",
        }
    }

    /// What people call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptor table",
            Self::Offset => "file offset",
            Self::Locks => "owner of record locks",
            Self::Directory => "working directory",
            Self::Root => "root directory",
            Self::Umask => "umask",
            Self::Handlers => "signal handlers",
            Self::Mask => "signal mask",
            Self::Pending => "pending signals",
            Self::AlternateStack => "alternate signal stack",
            Self::Group => "thread group",
            Self::Parent => "parent",
            Self::ExitSignal => "exit signal",
            Self::Wait => "found by",
            Self::Undo => "semaphore undo list",
            Self::IoContext => "I/O context",
            Self::ThreadPointer => "thread pointer",
            Self::Maker => "its maker",
            Self::End => "its end",
            Self::UserNs => "user namespace",
            Self::PidNs => "pid namespace",
            Self::MountNs => "mount namespace",
            Self::NetNs => "network namespace",
            Self::IpcNs => "IPC namespace",
            Self::UtsNs => "UTS namespace",
            Self::CgroupNs => "cgroup namespace",
            Self::TimeNs => "time namespace",
        }
    }

    pub(crate) fn by_id(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.id() == word)
    }
}

/// The namespaces: what, the flag's bit, and the file under `/proc/TID/ns`.
pub(crate) const NAMESPACES: [(Aspect, &str); 8] = [
    (Aspect::UserNs, "user"),
    (Aspect::PidNs, "pid"),
    (Aspect::MountNs, "mnt"),
    (Aspect::NetNs, "net"),
    (Aspect::IpcNs, "ipc"),
    (Aspect::UtsNs, "uts"),
    (Aspect::CgroupNs, "cgroup"),
    (Aspect::TimeNs, "time"),
];
