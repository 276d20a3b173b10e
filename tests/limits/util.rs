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

#[cfg(target_env = "gnu")]
pub(crate) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(crate) type Resource = libc::c_int;

/// Sets soft and hard limit of `resource`.
pub(crate) fn set_limit(resource: Resource, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the kernel reads one structure.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// The first thread of a process that parks learns how std knows a thread, which takes memory: an arena of
/// malloc's, perhaps. Later ones take none.
pub(crate) fn park_once() {
    let parked = rawthread::spawn(|| rawthread::park_timeout(std::time::Duration::ZERO));
    parked.join_reaped().unwrap();
}

/// Whether a thread of this process sleeps.
pub(crate) fn sleeps(tid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
    })
}
