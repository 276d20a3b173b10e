//! What the new task shares with the caller, copies, gets new, or loses.

use super::CloneFlags;

/// The effect of clone flags on one resource of the new task.
///
/// ```
/// use rawthread::flags::{CloneFlags, Effect, Resource};
/// assert_eq!(CloneFlags::VM.effect_on(Resource::Memory), Effect::Shared);
/// assert_eq!(CloneFlags::empty().effect_on(Resource::Memory), Effect::Copied);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// One object for both tasks: what one changes, the other sees.
    Shared,
    /// A copy as it was at the call; each changes its own.
    Copied,
    /// An object of its own that does not start as the caller's.
    New,
    /// Nothing, or the default, whatever the caller has.
    Reset,
}

/// Declares [`Resource`]: for each its name and, for each effect that it can suffer, a sentence.
macro_rules! resources {
    ($($(#[doc = $doc:literal])+ $name:ident $label:literal {
        $($effect:ident: $sentence:literal,)+
    })+) => {
        /// A resource of a task that it may share with another. What `setrlimit(2)` limits is
        /// `process::Rlimit`.
        ///
        /// ```
        /// use rawthread::flags::{Effect, Resource};
        /// assert_eq!(Resource::Descriptors.name(), "descriptor table");
        /// let sentence = Resource::Descriptors.sentence(Effect::Copied).unwrap();
        /// assert!(sentence.contains("offset"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Resource {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Resource {
            /// Every resource.
            ///
            /// ```
            /// use rawthread::flags::Resource;
            /// assert_eq!(Resource::ALL[0], Resource::Memory);
            /// ```
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns its common name.
            ///
            /// ```
            /// use rawthread::flags::Resource;
            /// assert_eq!(Resource::Memory.name(), "memory");
            /// ```
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            /// Returns a sentence on this effect on the resource; `None` if no flags have that effect on it.
            ///
            /// ```
            /// use rawthread::flags::{Effect, Resource};
            /// assert!(Resource::Memory.sentence(Effect::Shared).is_some());
            /// assert_eq!(Resource::RobustList.sentence(Effect::Shared), None);
            /// ```
            #[must_use]
            pub const fn sentence(self, effect: Effect) -> Option<&'static str> {
                match (self, effect) {
                    $($((Self::$name, Effect::$effect) => Some($sentence),)+)+
                    _ => None,
                }
            }
        }
    };
}

resources! {
    /// The address space.
    Memory "memory" {
        Shared: "One address space: a store by one is read by the other.",
        Copied: "A private copy, page by page on the first write.",
    }
    /// The descriptor table.
    Descriptors "descriptor table" {
        Shared: "One table: what one opens or closes, the other has or loses.",
        Copied: "A copied table; the open files behind it, with their offsets, stay shared.",
    }
    /// The owner of POSIX record locks.
    RecordLocks "record locks" {
        Shared: "One owner (the descriptor table): one may lock what the other has locked.",
        New: "Another owner, which has no locks yet.",
    }
    /// Root directory, working directory, umask.
    Directories "cwd, root and umask" {
        Shared: "One of each: chdir, chroot or umask by one moves both.",
        Copied: "Copies: each moves alone.",
    }
    /// The table of signal handlers.
    SignalHandlers "signal handlers" {
        Shared: "One table: a handler set by one is the other's; and a pid namespace's init that dies (NEWPID) ignores SIGCHLD in it.",
        Copied: "A copied table.",
        Reset: "Handlers become the default action; ignored signals stay ignored.",
    }
    /// The signal mask.
    SignalMask "signal mask" {
        Copied: "Starts as the caller's; each thread blocks for itself.",
    }
    /// Signals pending for the thread.
    ThreadPending "pending signals of the thread" {
        Reset: "None.",
    }
    /// Signals pending for the process.
    ProcessPending "pending signals of the process" {
        Shared: "One queue for the thread group.",
        Reset: "None.",
    }
    /// The alternate signal stack.
    AlternateStack "alternate signal stack" {
        Copied: "The same address as the caller's (which is another place if memory is copied).",
        Reset: "None: two tasks in one memory cannot use one stack.",
    }
    /// The list of System V semaphore adjustments.
    SemaphoreUndo "semaphore adjustments" {
        Shared: "One list, undone when the last sharer ends.",
        New: "An empty list of its own, undone at its end.",
    }
    /// The I/O context.
    IoContext "I/O context" {
        Shared: "One context and one I/O priority.",
        Copied: "A context of its own with the caller's I/O priority.",
    }
    /// The list of robust futexes.
    RobustList "robust futex list" {
        Reset: "None: each thread registers its own.",
    }
    /// The registration for restartable sequences.
    Rseq "restartable sequences" {
        Copied: "Still registered, at the same address in the copied memory.",
        Reset: "None: each thread registers its own.",
    }
    /// The word that the kernel clears at the end.
    ClearedWord "word cleared at the end" {
        New: "The word given with the call.",
        Reset: "None.",
    }
    /// The thread pointer.
    ThreadPointer "thread pointer" {
        Copied: "The caller's, and with it the caller's thread-locals.",
        New: "The one given with the call.",
    }
    /// `setitimer` and `alarm`.
    IntervalTimers "interval timers" {
        Shared: "The thread group's.",
        Reset: "None runs.",
    }
    /// `timer_create`.
    PosixTimers "POSIX timers" {
        Shared: "The thread group's.",
        Reset: "None exists.",
    }
    /// The process CPU clock.
    CpuClock "process CPU clock" {
        Shared: "One clock counts for all threads of the group.",
        New: "A clock that starts at 0.",
    }
    /// The signal that a task gets when its parent dies, as it has requested.
    ParentDeathSignal "parent-death signal" {
        Reset: "None.",
    }
    /// Name, uids and gids, capabilities, niceness, processor affinity, seccomp filters.
    Attributes "name, ids, niceness, affinity" {
        Copied: "Starts with the caller's; the kernel keeps them for each thread alone.",
    }
    /// The process id.
    ProcessId "process id" {
        Shared: "The same getpid: a thread of one group.",
        New: "A process id of its own.",
    }
    /// The parent.
    Parent "parent" {
        Shared: "The caller's parent is its parent too.",
        New: "The caller is its parent.",
    }
    /// The signal that the parent gets.
    ExitSignal "exit signal" {
        Copied: "That of the caller's thread group leader.",
        New: "The one given with the call; unless it is SIGCHLD, wait needs __WALL or __WCLONE.",
        Reset: "None: a thread's end sends no signal, and no process can wait for it.",
    }
    /// The tracer.
    Tracer "tracer" {
        Shared: "The caller's tracer traces it too.",
        Reset: "None, unless the caller's tracer follows children.",
    }
    /// The cgroup.
    Cgroup "cgroup" {
        Shared: "The caller's cgroup.",
        New: "The cgroup given with the call.",
    }
    /// The `no_new_privs` attribute.
    NoNewPrivs "no_new_privs" {
        Copied: "As the caller's.",
        New: "Set: execve gives no more rights.",
    }
    /// The mount namespace.
    MountNamespace "mount namespace" {
        Shared: "The same mounts.",
        Copied: "A copy of the mount tree.",
        New: "An empty root and nothing else.",
    }
    /// The UTS namespace.
    UtsNamespace "UTS namespace" {
        Shared: "The same host name.",
        Copied: "A host name of its own, at first the caller's.",
    }
    /// The IPC namespace.
    IpcNamespace "IPC namespace" {
        Shared: "The same System V IPC objects and message queues.",
        New: "No IPC objects yet.",
    }
    /// The user namespace.
    UserNamespace "user namespace" {
        Shared: "The same ids.",
        New: "Ids without mapping yet, and every capability inside.",
    }
    /// The pid namespace.
    PidNamespace "pid namespace" {
        Shared: "Pids as the caller sees them, unless unshare chose another namespace for children.",
        New: "It is pid 1 of a namespace of its own.",
    }
    /// The network namespace.
    NetworkNamespace "network namespace" {
        Shared: "The same network.",
        New: "A loopback device that is down, and nothing else.",
    }
    /// The cgroup namespace.
    CgroupNamespace "cgroup namespace" {
        Shared: "The same view of the cgroup tree.",
        New: "Its own cgroup looks like the root.",
    }
    /// The time namespace.
    TimeNamespace "time namespace" {
        Shared: "The same clocks (with VM, NEWTIME waits for execve), unless unshare chose others.",
        Copied: "Offsets of its own, at first the caller's.",
    }
}

impl CloneFlags {
    /// Returns the effect of these flags on one resource, once the kernel has accepted them.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Effect, Preset, Resource};
    /// let fork = Preset::FORK.flags;
    /// assert_eq!(fork.effect_on(Resource::Parent), Effect::New);
    /// assert_eq!(fork.effect_on(Resource::ThreadPending), Effect::Reset);
    /// ```
    #[must_use]
    pub const fn effect_on(self, resource: Resource) -> Effect {
        use Effect::{Copied, New, Reset, Shared};
        /// The first of the two where the condition holds.
        const fn choose(condition: bool, then: Effect, otherwise: Effect) -> Effect {
            if condition { then } else { otherwise }
        }
        match resource {
            Resource::Memory => choose(self.contains(Self::VM), Shared, Copied),
            Resource::Descriptors => choose(self.contains(Self::FILES), Shared, Copied),
            Resource::RecordLocks => choose(self.contains(Self::FILES), Shared, New),
            Resource::Directories => choose(self.contains(Self::FS), Shared, Copied),
            Resource::SignalHandlers if self.contains(Self::CLEAR_SIGHAND) => Reset,
            Resource::SignalHandlers => choose(self.contains(Self::SIGHAND), Shared, Copied),
            Resource::SignalMask | Resource::Attributes => Copied,
            Resource::ThreadPending | Resource::RobustList | Resource::ParentDeathSignal => Reset,
            Resource::ProcessPending | Resource::IntervalTimers | Resource::PosixTimers => {
                choose(self.contains(Self::THREAD), Shared, Reset)
            }
            Resource::AlternateStack => {
                let alone = !self.contains(Self::VM) || self.contains(Self::VFORK);
                choose(alone, Copied, Reset)
            }
            Resource::SemaphoreUndo => choose(self.contains(Self::SYSVSEM), Shared, New),
            Resource::IoContext => choose(self.contains(Self::IO), Shared, Copied),
            Resource::Rseq => choose(self.contains(Self::VM), Reset, Copied),
            Resource::ClearedWord => choose(self.contains(Self::CHILD_CLEARTID), New, Reset),
            Resource::ThreadPointer => choose(self.contains(Self::SETTLS), New, Copied),
            Resource::CpuClock | Resource::ProcessId => {
                choose(self.contains(Self::THREAD), Shared, New)
            }
            Resource::Parent => {
                let sibling = self.intersects(Self::THREAD.union(Self::PARENT));
                choose(sibling, Shared, New)
            }
            Resource::ExitSignal if self.intersects(Self::THREAD.union(Self::AUTOREAP)) => Reset,
            Resource::ExitSignal => choose(self.contains(Self::PARENT), Copied, New),
            Resource::Tracer => choose(self.contains(Self::PTRACE), Shared, Reset),
            Resource::Cgroup => choose(self.contains(Self::INTO_CGROUP), New, Shared),
            Resource::NoNewPrivs => choose(self.contains(Self::NNP), New, Copied),
            Resource::MountNamespace if self.contains(Self::EMPTY_MNTNS) => New,
            Resource::MountNamespace => choose(self.contains(Self::NEWNS), Copied, Shared),
            Resource::UtsNamespace => choose(self.contains(Self::NEWUTS), Copied, Shared),
            Resource::IpcNamespace => choose(self.contains(Self::NEWIPC), New, Shared),
            Resource::UserNamespace => choose(self.contains(Self::NEWUSER), New, Shared),
            Resource::PidNamespace => choose(self.contains(Self::NEWPID), New, Shared),
            Resource::NetworkNamespace => choose(self.contains(Self::NEWNET), New, Shared),
            Resource::CgroupNamespace => choose(self.contains(Self::NEWCGROUP), New, Shared),
            Resource::TimeNamespace => {
                // One memory has one page of clock data: with VM the new namespace waits.
                let now = self.contains(Self::NEWTIME) && !self.contains(Self::VM);
                choose(now, Copied, Shared)
            }
        }
    }

    /// Iterates over the effects of these flags on every resource, once the kernel has accepted them; in the order
    /// of [`Resource::ALL`]. [`Resource::sentence`] puts each pair in words.
    ///
    /// ```
    /// use rawthread::flags::{CloneFlags, Effect, Resource};
    ///
    /// let shared: Vec<_> = (CloneFlags::VM | CloneFlags::FILES)
    ///     .effects()
    ///     .filter(|(_, effect)| *effect == Effect::Shared)
    ///     .map(|(resource, _)| resource.name())
    ///     .collect();
    /// assert!(shared.starts_with(&["memory", "descriptor table", "record locks"]));
    /// ```
    pub fn effects(self) -> impl Iterator<Item = (Resource, Effect)> + Clone {
        Resource::ALL
            .iter()
            .map(move |resource| (*resource, self.effect_on(*resource)))
    }
}
