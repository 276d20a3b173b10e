//! The resources that `setrlimit(2)` limits.

/// A resource that `setrlimit(2)` limits.
///
/// ```
/// use rawthread::process::{Command, Rlimit};
///
/// let output = Command::new("sh")
///     .args(["-c", "ulimit -n"])
///     .rlimit(Rlimit::OpenFiles, 20, 20)
///     .output()?;
/// assert_eq!(output.stdout, b"20\n");
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rlimit {
    /// `RLIMIT_AS`: bytes of address space.
    AddressSpace,
    /// `RLIMIT_CORE`: bytes of a core file.
    Core,
    /// `RLIMIT_CPU`: seconds of processor time.
    Cpu,
    /// `RLIMIT_DATA`: bytes of private writable memory.
    Data,
    /// `RLIMIT_FSIZE`: bytes of a file written to.
    FileSize,
    /// `RLIMIT_MEMLOCK`: bytes locked in memory.
    LockedMemory,
    /// `RLIMIT_MSGQUEUE`: bytes in POSIX message queues.
    MessageQueues,
    /// `RLIMIT_NICE`: 20 minus the lowest nice value.
    Nice,
    /// `RLIMIT_NOFILE`: one more than the highest descriptor.
    OpenFiles,
    /// `RLIMIT_NPROC`: tasks of the user.
    Processes,
    /// `RLIMIT_RTPRIO`: the highest real-time priority.
    RealTimePriority,
    /// `RLIMIT_RTTIME`: microseconds of real-time work without sleeping.
    RealTimeWork,
    /// `RLIMIT_SIGPENDING`: queued signals of the user.
    PendingSignals,
    /// `RLIMIT_STACK`: bytes of the main thread's stack, arguments included.
    Stack,
}

impl Rlimit {
    /// No limit: `RLIM_INFINITY`.
    ///
    /// ```
    /// assert_eq!(rawthread::process::Rlimit::UNLIMITED, u64::MAX);
    /// ```
    pub const UNLIMITED: u64 = u64::MAX;

    #[allow(
        clippy::unnecessary_cast,
        reason = "musl's constants are of another type"
    )]
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::AddressSpace => libc::RLIMIT_AS as u32,
            Self::Core => libc::RLIMIT_CORE as u32,
            Self::Cpu => libc::RLIMIT_CPU as u32,
            Self::Data => libc::RLIMIT_DATA as u32,
            Self::FileSize => libc::RLIMIT_FSIZE as u32,
            Self::LockedMemory => libc::RLIMIT_MEMLOCK as u32,
            Self::MessageQueues => libc::RLIMIT_MSGQUEUE as u32,
            Self::Nice => libc::RLIMIT_NICE as u32,
            Self::OpenFiles => libc::RLIMIT_NOFILE as u32,
            Self::Processes => libc::RLIMIT_NPROC as u32,
            Self::RealTimePriority => libc::RLIMIT_RTPRIO as u32,
            Self::RealTimeWork => libc::RLIMIT_RTTIME as u32,
            Self::PendingSignals => libc::RLIMIT_SIGPENDING as u32,
            Self::Stack => libc::RLIMIT_STACK as u32,
        }
    }
}
