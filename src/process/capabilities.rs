//! Sets of capabilities.

bitflags::bitflags! {
    /// A set of capabilities: the parts of root's rights, `capabilities(7)`.
    ///
    /// ```
    /// use rawthread::process::Capabilities;
    ///
    /// let few = Capabilities::NET_BIND_SERVICE | Capabilities::CHOWN;
    /// assert!(!few.contains(Capabilities::SYS_ADMIN));
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// `CAP_CHOWN`.
        const CHOWN = 1 << 0;
        /// `CAP_DAC_OVERRIDE`.
        const DAC_OVERRIDE = 1 << 1;
        /// `CAP_DAC_READ_SEARCH`.
        const DAC_READ_SEARCH = 1 << 2;
        /// `CAP_FOWNER`.
        const FOWNER = 1 << 3;
        /// `CAP_FSETID`.
        const FSETID = 1 << 4;
        /// `CAP_KILL`.
        const KILL = 1 << 5;
        /// `CAP_SETGID`.
        const SETGID = 1 << 6;
        /// `CAP_SETUID`.
        const SETUID = 1 << 7;
        /// `CAP_SETPCAP`.
        const SETPCAP = 1 << 8;
        /// `CAP_LINUX_IMMUTABLE`.
        const LINUX_IMMUTABLE = 1 << 9;
        /// `CAP_NET_BIND_SERVICE`.
        const NET_BIND_SERVICE = 1 << 10;
        /// `CAP_NET_BROADCAST`.
        const NET_BROADCAST = 1 << 11;
        /// `CAP_NET_ADMIN`.
        const NET_ADMIN = 1 << 12;
        /// `CAP_NET_RAW`.
        const NET_RAW = 1 << 13;
        /// `CAP_IPC_LOCK`.
        const IPC_LOCK = 1 << 14;
        /// `CAP_IPC_OWNER`.
        const IPC_OWNER = 1 << 15;
        /// `CAP_SYS_MODULE`.
        const SYS_MODULE = 1 << 16;
        /// `CAP_SYS_RAWIO`.
        const SYS_RAWIO = 1 << 17;
        /// `CAP_SYS_CHROOT`.
        const SYS_CHROOT = 1 << 18;
        /// `CAP_SYS_PTRACE`.
        const SYS_PTRACE = 1 << 19;
        /// `CAP_SYS_PACCT`.
        const SYS_PACCT = 1 << 20;
        /// `CAP_SYS_ADMIN`.
        const SYS_ADMIN = 1 << 21;
        /// `CAP_SYS_BOOT`.
        const SYS_BOOT = 1 << 22;
        /// `CAP_SYS_NICE`.
        const SYS_NICE = 1 << 23;
        /// `CAP_SYS_RESOURCE`.
        const SYS_RESOURCE = 1 << 24;
        /// `CAP_SYS_TIME`.
        const SYS_TIME = 1 << 25;
        /// `CAP_SYS_TTY_CONFIG`.
        const SYS_TTY_CONFIG = 1 << 26;
        /// `CAP_MKNOD`.
        const MKNOD = 1 << 27;
        /// `CAP_LEASE`.
        const LEASE = 1 << 28;
        /// `CAP_AUDIT_WRITE`.
        const AUDIT_WRITE = 1 << 29;
        /// `CAP_AUDIT_CONTROL`.
        const AUDIT_CONTROL = 1 << 30;
        /// `CAP_SETFCAP`.
        const SETFCAP = 1 << 31;
        /// `CAP_MAC_OVERRIDE`.
        const MAC_OVERRIDE = 1 << 32;
        /// `CAP_MAC_ADMIN`.
        const MAC_ADMIN = 1 << 33;
        /// `CAP_SYSLOG`.
        const SYSLOG = 1 << 34;
        /// `CAP_WAKE_ALARM`.
        const WAKE_ALARM = 1 << 35;
        /// `CAP_BLOCK_SUSPEND`.
        const BLOCK_SUSPEND = 1 << 36;
        /// `CAP_AUDIT_READ`.
        const AUDIT_READ = 1 << 37;
        /// `CAP_PERFMON`.
        const PERFMON = 1 << 38;
        /// `CAP_BPF`.
        const BPF = 1 << 39;
        /// `CAP_CHECKPOINT_RESTORE`.
        const CHECKPOINT_RESTORE = 1 << 40;
    }
}
