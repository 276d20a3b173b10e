//! The attributes that a new thread inherits, and that a task on a pooled thread could leave changed.
#![allow(unsafe_code, reason = "the kernel boundary")]

use core::ptr;

use super::arch::{syscall1, syscall2, syscall3, syscall5};
use super::credentials::{self, Capabilities};
use super::errno::Errno;
use super::sched::{self, SchedAttr};

/// What a new thread inherits from its spawner, beside the signal mask, the name and the
/// floating-point control registers.
///
/// Held whole and compared whole: two threads with equal values may do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InheritedAttrs {
    credentials: Credentials,
    settings: Settings,
}

/// What a thread may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Real, effective, saved and filesystem id.
    users: [u32; 4],
    groups: [u32; 4],
    supplementary: Supplementary,
    capabilities: Capabilities,
    /// Only of `CAP_SYS_ADMIN`: the kernel tells one bit of the bounding set a call.
    bounded: bool,
    ambient: u64,
    filtered: bool,
}

/// What every thread may change for itself; some of it other threads and processes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    affinity: [u64; 16],
    scheduling: SchedAttr,
    /// `SECBIT_KEEP_CAPS` is every thread's to change.
    secure_bits: isize,
    timer_slack: isize,
    io_priority: isize,
    personality: isize,
    memory_policy: MemoryPolicy,
}

/// Supplementary groups, in the kernel's order, which is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Supplementary {
    count: usize,
    groups: [u32; 64],
}

/// `get_mempolicy(2)`'s mode and nodes, or its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryPolicy {
    returned: isize,
    mode: i32,
    nodes: [u64; 16],
}

impl InheritedAttrs {
    /// The attributes of the calling thread; `None` where they cannot be read or compared: then its
    /// tasks need new threads, and it serves no second task:
    ///
    /// * `no_new_privs` is set: then a thread may confine itself further at any time by a seccomp
    ///   filter or a Landlock domain, of which the kernel tells too little to compare them;
    /// * it runs under a seccomp filter, and `CAP_SYS_ADMIN`, with which it could have added the
    ///   filter itself, is in its bounding set;
    /// * more than 1024 processors, 1024 memory nodes or 64 supplementary groups; an emulator.
    ///
    /// The prctl calls come first: a filter that ends the process at an unusual call usually came
    /// with `no_new_privs`.
    pub(crate) fn current() -> Option<Self> {
        if has_no_new_privs() {
            return None;
        }
        // A kernel without seccomp says EINVAL.
        let filtered = match control(libc::PR_GET_SECCOMP, 0) {
            0 => false,
            refused if refused == -(libc::EINVAL as isize) => false,
            _ => true,
        };
        let bounded = control(libc::PR_CAPBSET_READ, credentials::CAP_SYS_ADMIN as usize) != 1;
        if filtered && !bounded {
            return None;
        }
        let capabilities = credentials::capability_sets()?;
        Some(Self {
            credentials: Credentials {
                users: ids(libc::SYS_getresuid, libc::SYS_setfsuid)?,
                groups: ids(libc::SYS_getresgid, libc::SYS_setfsgid)?,
                supplementary: Supplementary::current()?,
                capabilities,
                bounded,
                ambient: ambient(&capabilities),
                filtered,
            },
            settings: Settings::current()?,
        })
    }

    /// As [`InheritedAttrs::current`], of a thread whose credentials are known: half the questions.
    pub(crate) fn current_with(credentials: &Credentials) -> Option<Self> {
        if has_no_new_privs() {
            return None;
        }
        Some(Self {
            credentials: *credentials,
            settings: Settings::current()?,
        })
    }

    /// The credentials, if the thread cannot change them while its process has another thread: all four
    /// user ids are equal, and so are the group ids; it has no capability in any set; no filter.
    ///
    /// Then setresuid, setfsuid and the like find no other id that they may set, setgroups, capset
    /// and the bounding set want a capability (kernel/sys.c, kernel/groups.c, security/commoncap.c), and a
    /// user namespace, which would give all of them, can be made or entered by the only thread of a
    /// process alone (kernel/fork.c, kernel/user_namespace.c). `no_new_privs` is asked each time: a thread
    /// without it and without CAP_SYS_ADMIN installs no filter, and one that another thread installs for
    /// all (SECCOMP_FILTER_FLAG_TSYNC) is all threads' filter.
    pub(crate) fn closed_credentials(&self) -> Option<&Credentials> {
        let Credentials {
            users,
            groups,
            capabilities: sets,
            ambient,
            filtered,
            ..
        } = &self.credentials;
        let alike = |ids: &[u32; 4]| ids.iter().all(|id| *id == ids[0]);
        let powerless = sets.effective | sets.permitted | sets.inheritable | ambient == 0;
        (alike(users) && alike(groups) && powerless && !filtered).then_some(&self.credentials)
    }
}

impl Settings {
    fn current() -> Option<Self> {
        let mut affinity = [0; 16];
        sched::get_affinity(0, &mut affinity).ok()?;
        Some(Self {
            affinity,
            scheduling: sched::get_attributes(0).ok()?,
            secure_bits: control(libc::PR_GET_SECUREBITS, 0),
            timer_slack: control(libc::PR_GET_TIMERSLACK, 0),
            io_priority: io_priority(),
            personality: personality(),
            memory_policy: MemoryPolicy::current()?,
        })
    }
}

fn has_no_new_privs() -> bool {
    control(libc::PR_GET_NO_NEW_PRIVS, 0) != 0
}

/// `prctl(2)` with a request that takes a number and writes nothing; its answer or negative errno.
fn control(request: i32, argument: usize) -> isize {
    // SAFETY: the requests above touch no memory.
    unsafe { syscall5(libc::SYS_prctl, request as usize, argument, 0, 0, 0) }
}

/// Real, effective, saved and filesystem id.
fn ids(three: i64, filesystem: i64) -> Option<[u32; 4]> {
    let mut ids = [0u32; 4];
    let base = ids.as_mut_ptr();
    // SAFETY: the kernel writes one word to each of the first three elements.
    let returned = unsafe {
        syscall3(
            three,
            base as usize,
            base.add(1) as usize,
            base.add(2) as usize,
        )
    };
    Errno::check(returned).ok()?;
    // SAFETY: no user has the id -1: the call changes nothing and returns the present one.
    ids[3] = unsafe { syscall1(filesystem, u32::MAX as usize) } as u32;
    Some(ids)
}

impl Supplementary {
    /// `None` if there are too many.
    fn current() -> Option<Self> {
        let mut groups = [0; 64];
        // SAFETY: the kernel writes at most so many ids.
        let returned = unsafe {
            syscall2(
                libc::SYS_getgroups,
                groups.len(),
                groups.as_mut_ptr() as usize,
            )
        };
        let count = Errno::check(returned).ok()?;
        Some(Self { count, groups })
    }
}

/// The ambient set, each of whose bits is permitted and inheritable, too: mostly none can be.
fn ambient(capabilities: &Capabilities) -> u64 {
    let mut possible = capabilities.permitted & capabilities.inheritable;
    let mut ambient = 0;
    while possible != 0 {
        let bit = possible.trailing_zeros();
        possible &= possible - 1;
        // SAFETY: no memory.
        let set = unsafe {
            syscall5(
                libc::SYS_prctl,
                libc::PR_CAP_AMBIENT as usize,
                libc::PR_CAP_AMBIENT_IS_SET as usize,
                bit as usize,
                0,
                0,
            )
        };
        ambient |= u64::from(set == 1) << bit;
    }
    ambient
}

fn io_priority() -> isize {
    const IOPRIO_WHO_PROCESS: usize = 1;
    // SAFETY: the calling thread; no memory.
    unsafe { syscall2(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) }
}

fn personality() -> isize {
    // SAFETY: this value asks and changes nothing.
    unsafe { syscall1(libc::SYS_personality, 0xffff_ffff) }
}

impl MemoryPolicy {
    /// An errno is a value as another: where the call is refused, by a sandbox or by a kernel for
    /// machines of one node, so is the one that sets it. `None` if the nodes do not fit.
    fn current() -> Option<Self> {
        let mut new = Self {
            returned: 0,
            mode: 0,
            nodes: [0; 16],
        };
        // SAFETY: the kernel writes one word and at most so many bits.
        new.returned = unsafe {
            syscall5(
                libc::SYS_get_mempolicy,
                ptr::from_mut(&mut new.mode) as usize,
                new.nodes.as_mut_ptr() as usize,
                size_of_val(&new.nodes) * 8,
                0,
                0,
            )
        };
        (new.returned != -(libc::EINVAL as isize)).then_some(new)
    }
}

/// Whether thread `tid` of process `pid`, the caller's, shares working directory and descriptors with
/// the process's first thread (`kcmp(2)`); false if the kernel refuses the call.
pub(crate) fn shares_fs_and_files(pid: i32, tid: i32) -> bool {
    const KCMP_FILES: usize = 2;
    const KCMP_FS: usize = 3;
    let (pid, tid) = (pid as usize, tid as usize);
    [KCMP_FILES, KCMP_FS].into_iter().all(|kind| {
        // SAFETY: compares two tasks' structures; no memory.
        unsafe { syscall5(libc::SYS_kcmp, pid, tid, kind, 0, 0) == 0 }
    })
}
