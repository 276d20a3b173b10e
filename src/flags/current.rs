//! The caller as it is now: the one file of `flags` that reads the running system.

use core::ffi::CStr;

use super::{Caller, CloneFlags, Fact, KernelVersion};
use crate::sys::{credentials, file, limits, task};

impl Caller {
    /// Returns the calling thread's state as far as the system shows it: kernel, capabilities, ids,
    /// root directory, namespaces, scheduling, and limits of 0.
    ///
    /// Not seen, and taken for absent: limits that other tasks use up as well (processes, threads,
    /// tids, cgroup, namespaces), how deep namespaces are nested, whether the init of a pid namespace
    /// lives, seccomp filters and security modules, a chroot to a mount point, and the
    /// contents of `/proc` where it is not mounted.
    ///
    /// ```
    /// use rawthread::flags::{Call, Caller, Preset};
    ///
    /// let me = Caller::current();
    /// println!("on Linux {}: {:?}", me.kernel(), me.facts().collect::<Vec<_>>());
    /// assert!(Preset::NPTL.flags.verdict(Call::Clone, 0, &me).is_accepted());
    /// ```
    #[must_use]
    pub fn current() -> Self {
        let mut caller = Self::unprivileged().on_kernel(running_kernel());
        let mut record = |fact: Fact, is_so: bool| {
            if is_so {
                caller = caller.with_fact(fact);
            }
        };

        let capabilities = credentials::capabilities();
        let capable = |bit: u32| capabilities >> bit & 1 == 1;
        let admin = capable(credentials::CAP_SYS_ADMIN);
        let uid = credentials::real_uid();
        let uid_map = UidGidMap::read(c"/proc/self/uid_map", credentials::effective_uid());
        let gid_map = UidGidMap::read(c"/proc/self/gid_map", credentials::effective_gid());

        record(Fact::SysAdmin, admin);
        record(
            Fact::CheckpointRestore,
            (admin || capable(credentials::CAP_CHECKPOINT_RESTORE))
                && credentials::owns_namespace(PID_LINK),
        );
        record(
            Fact::ExemptFromProcessLimit,
            uid_map.is_identity && (uid == 0 || admin || capable(credentials::CAP_SYS_RESOURCE)),
        );
        record(
            Fact::ProcessLimitReached,
            limits::rlimit(libc::RLIMIT_NPROC as _) == Some(0),
        );
        record(
            Fact::UnmappedIds,
            !uid_map.contains_id || !gid_map.contains_id,
        );
        record(
            Fact::UserNamespacesForbidden,
            !admin && limits::read_number(c"/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
        );
        record(Fact::Chrooted, chrooted());
        record(Fact::InitOfPidNamespace, task::pid() == 1);
        record(
            Fact::PendingPidNamespace,
            namespaces_differ(
                c"/proc/thread-self/ns/pid",
                c"/proc/thread-self/ns/pid_for_children",
            ),
        );
        record(
            Fact::PendingTimeNamespace,
            namespaces_differ(
                c"/proc/thread-self/ns/time",
                c"/proc/thread-self/ns/time_for_children",
            ),
        );
        record(
            Fact::DeadlineWithoutReset,
            credentials::scheduling_policy() == libc::SCHED_DEADLINE,
        );

        for (flag, path) in NAMESPACE_LIMITS {
            if limits::read_number(path) == Some(0) {
                caller = caller.with_quota_exhausted(flag);
            }
        }
        caller
    }
}

const NAMESPACE_LIMITS: [(CloneFlags, &CStr); 8] = [
    (CloneFlags::NEWUSER, c"/proc/sys/user/max_user_namespaces"),
    (CloneFlags::NEWNS, c"/proc/sys/user/max_mnt_namespaces"),
    (CloneFlags::NEWPID, c"/proc/sys/user/max_pid_namespaces"),
    (CloneFlags::NEWUTS, c"/proc/sys/user/max_uts_namespaces"),
    (CloneFlags::NEWIPC, c"/proc/sys/user/max_ipc_namespaces"),
    (CloneFlags::NEWNET, c"/proc/sys/user/max_net_namespaces"),
    (
        CloneFlags::NEWCGROUP,
        c"/proc/sys/user/max_cgroup_namespaces",
    ),
    (CloneFlags::NEWTIME, c"/proc/sys/user/max_time_namespaces"),
];

fn running_kernel() -> KernelVersion {
    let (release, len) = credentials::kernel_release();
    core::str::from_utf8(&release[..len])
        .ok()
        .and_then(KernelVersion::parse)
        .unwrap_or(Caller::NEWEST_KERNEL)
}

/// Whether two namespace links name different namespaces. A namespace that waits for its first
/// process cannot be read yet, and differs.
fn namespaces_differ(own: &CStr, childrens: &CStr) -> bool {
    match (credentials::readlink(own), credentials::readlink(childrens)) {
        (Ok(own), Ok(childrens)) => own != childrens,
        (Ok(_), Err(errno)) => errno.number() == libc::ENOENT && own == PID_LINK,
        (Err(_), _) => false,
    }
}

/// The link whose sibling is unreadable while its namespace waits for an init; an older kernel
/// without time namespaces has no such link at all.
const PID_LINK: &CStr = c"/proc/thread-self/ns/pid";

/// What a user namespace's map contains for one id.
struct UidGidMap {
    /// The id has a mapping.
    contains_id: bool,
    /// The map is that of the machine's first namespace: every id is itself.
    is_identity: bool,
}

impl UidGidMap {
    fn read(path: &CStr, id: u32) -> Self {
        let mut map = Self {
            contains_id: false,
            is_identity: false,
        };
        // A line holds three numbers: first id inside, first id outside, how many.
        let mut numbers = [0u64; 3];
        let mut field = 0;
        let mut in_number = false;
        let read = for_each_byte(path, |byte| match byte {
            b'0'..=b'9' if field < 3 => {
                in_number = true;
                numbers[field] = numbers[field] * 10 + u64::from(byte - b'0');
            }
            b'\n' => {
                let [inside, outside, count] = numbers;
                map.contains_id |= (inside..inside + count).contains(&u64::from(id));
                map.is_identity |= inside == 0 && outside == 0 && count == u64::from(u32::MAX);
                (numbers, field, in_number) = ([0; 3], 0, false);
            }
            _ => {
                field += usize::from(in_number);
                in_number = false;
            }
        });
        // A kernel without user namespaces, or no /proc: as in the first namespace.
        if read {
            map
        } else {
            Self {
                contains_id: true,
                is_identity: true,
            }
        }
    }
}

/// Whether no mount point of this namespace is the root directory.
fn chrooted() -> bool {
    // The fifth field of a line is the mount point, seen from the reader's root.
    let (mut field, mut len, mut slash) = (0, 0, false);
    let mut found = false;
    let read = for_each_byte(c"/proc/self/mountinfo", |byte| match byte {
        b'\n' => (field, len) = (0, 0),
        b' ' => {
            found |= field == 4 && len == 1 && slash;
            (field, len) = (field + 1, 0);
        }
        _ => {
            slash = len == 0 && byte == b'/';
            len += 1;
        }
    });
    read && !found
}

/// Calls `look` with every byte of a file; false if it could not be read to its end.
fn for_each_byte(path: &CStr, mut look: impl FnMut(u8)) -> bool {
    let Ok(file) = file::open(path, libc::O_RDONLY) else {
        return false;
    };
    let mut buffer = [0u8; 512];
    loop {
        match file::read(file.as_raw(), &mut buffer) {
            Ok(0) => return true,
            Ok(len) => buffer[..len].iter().for_each(|byte| look(*byte)),
            Err(_) => return false,
        }
    }
}
