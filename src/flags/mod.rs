//! What a clone flag means: pure data, no system call.

bitflags::bitflags! {
    /// placeholder
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CloneFlags: u64 {
        /// Share the address space.
        const VM = 0x100;
        /// Choose the child's cgroup.
        const INTO_CGROUP = 1 << 33;
    }
}
