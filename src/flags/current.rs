//! The caller as it is now: the one file of this room that looks at the running system.

use core::ffi::CStr;

use super::{Caller, CloneFlags, Fact, KernelVersion};
use crate::sys::{file, limits, rights, task};

impl Caller {
    /// The calling thread, as far as the system shows it: kernel, capabilities, ids, root
    /// directory, namespaces, scheduling, and limits of 0.
    ///
    /// Not seen, and taken for not so: limits that others use up as well (processes, threads,
    /// tids, cgroup), seccomp filters and security modules, a chroot to a mount point, and whatever
    /// `/proc` would tell where it is not mounted.
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
        let mut caller = Self::unprivileged().on(running_kernel());
        let mut note = |fact: Fact, is_so: bool| {
            if is_so {
                caller = caller.with(fact);
            }
        };

        let capabilities = rights::capabilities();
        let capable = |bit: u32| capabilities >> bit & 1 == 1;
        let admin = capable(rights::CAP_SYS_ADMIN);
        let (uid, effective_uid, effective_gid) = rights::ids();
        let uid_map = IdMap::read(c"/proc/self/uid_map", effective_uid);
        let gid_map = IdMap::read(c"/proc/self/gid_map", effective_gid);

        note(Fact::SysAdmin, admin);
        note(
            Fact::CheckpointRestore,
            (admin || capable(rights::CAP_CHECKPOINT_RESTORE)) && rights::governs(PID_LINK),
        );
        note(
            Fact::ExemptFromProcessLimit,
            uid_map.everything && (uid == 0 || admin || capable(rights::CAP_SYS_RESOURCE)),
        );
        note(
            Fact::ProcessLimitReached,
            limits::resource(libc::RLIMIT_NPROC as _) == Some(0),
        );
        note(Fact::UnmappedIds, !uid_map.maps || !gid_map.maps);
        note(
            Fact::UserNamespacesForbidden,
            !admin && limits::number_in(c"/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
        );
        note(Fact::Chrooted, chrooted());
        note(Fact::InitOfPidNamespace, task::pid() == 1);
        note(
            Fact::PendingPidNamespace,
            differ(
                c"/proc/thread-self/ns/pid",
                c"/proc/thread-self/ns/pid_for_children",
            ),
        );
        note(
            Fact::PendingTimeNamespace,
            differ(
                c"/proc/thread-self/ns/time",
                c"/proc/thread-self/ns/time_for_children",
            ),
        );
        note(
            Fact::DeadlineWithoutReset,
            rights::scheduling_policy() == libc::SCHED_DEADLINE,
        );

        for (flag, path) in NAMESPACE_LIMITS {
            if limits::number_in(path) == Some(0) {
                caller = caller.out_of(flag);
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
    let (release, len) = rights::kernel_release();
    core::str::from_utf8(&release[..len])
        .ok()
        .and_then(KernelVersion::parse)
        .unwrap_or(Caller::NEWEST_KERNEL)
}

/// Whether two namespace links name different namespaces. A namespace that waits for its first
/// process cannot be read yet, and differs.
fn differ(own: &CStr, childrens: &CStr) -> bool {
    match (rights::link(own), rights::link(childrens)) {
        (Ok(own), Ok(childrens)) => own != childrens,
        (Ok(_), Err(errno)) => errno.number() == libc::ENOENT && own == PID_LINK,
        (Err(_), _) => false,
    }
}

/// The link whose sibling is unreadable while its namespace waits for an init; an older kernel
/// without time namespaces has no such link at all.
const PID_LINK: &CStr = c"/proc/thread-self/ns/pid";

/// What a user namespace's map says of one id.
struct IdMap {
    /// The id has a mapping.
    maps: bool,
    /// The map is that of the machine's first namespace: every id is itself.
    everything: bool,
}

impl IdMap {
    fn read(path: &CStr, id: u32) -> Self {
        let mut map = Self {
            maps: false,
            everything: false,
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
                map.maps |= (inside..inside + count).contains(&u64::from(id));
                map.everything |= inside == 0 && outside == 0 && count == u64::from(u32::MAX);
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
                maps: true,
                everything: true,
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

/// Feeds a file to `look`; false if it could not be read to its end.
fn for_each_byte(path: &CStr, mut look: impl FnMut(u8)) -> bool {
    let Ok(file) = file::open_to_read(path) else {
        return false;
    };
    let mut buffer = [0u8; 512];
    loop {
        match file::read(file.number(), &mut buffer) {
            Ok(0) => return true,
            Ok(len) => buffer[..len].iter().for_each(|byte| look(*byte)),
            Err(_) => return false,
        }
    }
}
