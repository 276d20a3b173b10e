//! The limits that an error names.

/// A limit on threads, processes, mappings, memory or descriptors.
///
/// ```
/// use rawthread::Limit;
///
/// assert_eq!(Limit::Processes.name(), "RLIMIT_NPROC");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// `RLIMIT_NPROC`: tasks of the user, see `getrlimit(2)`.
    Processes,
    /// `pids.max` of the control group or of one above it.
    CgroupPids,
    /// `/proc/sys/kernel/threads-max`: tasks on the machine.
    ThreadsMax,
    /// `/proc/sys/kernel/pid_max`: ids in the pid namespace.
    PidMax,
    /// `/proc/sys/vm/max_map_count`: mappings in one address space.
    MapCount,
    /// `RLIMIT_AS`: bytes of address space of the process.
    AddressSpace,
    /// `RLIMIT_DATA`: bytes of private writable memory of the process, stacks included.
    Data,
    /// `RLIMIT_MEMLOCK`: bytes that the process may lock, where it locks all that it maps
    /// (`mlockall(2)` with `MCL_FUTURE`).
    LockedMemory,
    /// Memory, or what the kernel is willing to promise of it (`vm.overcommit_memory`).
    Memory,
    /// `RLIMIT_NOFILE`: descriptors of the process.
    OpenFiles,
    /// `/proc/sys/user/max_*_namespaces`, or 32 nested levels.
    Namespaces,
}

impl Limit {
    /// Returns the name of the limit, as the system's documentation has it.
    ///
    /// ```
    /// assert_eq!(rawthread::Limit::MapCount.name(), "vm.max_map_count");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => "RLIMIT_NPROC",
            Self::CgroupPids => "pids.max",
            Self::ThreadsMax => "kernel.threads-max",
            Self::PidMax => "kernel.pid_max",
            Self::MapCount => "vm.max_map_count",
            Self::AddressSpace => "RLIMIT_AS",
            Self::Data => "RLIMIT_DATA",
            Self::LockedMemory => "RLIMIT_MEMLOCK",
            Self::Memory => "memory",
            Self::OpenFiles => "RLIMIT_NOFILE",
            Self::Namespaces => "user.max_*_namespaces",
        }
    }

    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::Processes => "Run fewer tasks as this user, or raise it with `ulimit -u`.",
            Self::CgroupPids => "Run fewer tasks in this control group, or raise its pids.max.",
            Self::ThreadsMax => "Run fewer tasks on this machine, or raise the sysctl.",
            Self::PidMax => "Run fewer tasks in this pid namespace, or raise the sysctl.",
            Self::MapCount => "Use fewer threads or mappings, or raise the sysctl.",
            Self::AddressSpace => "Ask for smaller stacks, or raise it with `ulimit -v`.",
            Self::Data => "Ask for smaller stacks, or raise it with `ulimit -d`.",
            Self::LockedMemory => {
                "Ask for smaller stacks, raise it with `ulimit -l`, or lock less than all \
                 (munlockall)."
            }
            Self::Memory => "Free some, ask for smaller stacks, or allow overcommit.",
            Self::OpenFiles => "Close descriptors, or raise it with `ulimit -n`.",
            Self::Namespaces => {
                "They nest 32 deep; or leave some unused, or raise the sysctls in /proc/sys/user."
            }
        }
    }
}
