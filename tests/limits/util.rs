//! What a test looks at in its process, and changes there.
#![allow(unsafe_code, reason = "asks the kernel about this process")]

/// Held by tests that change limits of the machine, or compare them.
pub(crate) static MACHINE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Open descriptors and map entries of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) descriptors: usize,
    pub(crate) maps: usize,
}

impl Holdings {
    pub(crate) fn now() -> Self {
        // /proc/self/fd would be closed to a process that changed its user.
        // SAFETY: asks about numbers.
        let open = |fd: &i32| unsafe { libc::fcntl(*fd, libc::F_GETFD) } != -1;
        Self {
            descriptors: (0..1024).filter(open).count(),
            maps: maps(),
        }
    }
}

/// Map entries of this process.
pub(crate) fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Threads that this process has in the kernel, those on their way out included. A listing of
/// `/proc/self/task` would end early where a thread leaves under it.
pub(crate) fn tasks() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

/// Sets soft and hard limit of `resource`.
pub(crate) fn set_limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the kernel reads one structure.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}
