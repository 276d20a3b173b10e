//! Finds out which limit an errno stands for: the kernel does not say, so compare each limit with
//! its use.
//!
//! That happens a moment after the refusal. The error names the limit that is full then; if tasks
//! ended in between, the one that is nearly full; and if none is near, no limit.

use super::cgroup;
use super::procfs::{self, FixedPath, LineReader};
use crate::error::{Error, Limit};
use crate::flags::{Call, Caller, CloneFlags, Fact};
use crate::sys::{Errno, credentials, limits, signal};

/// The error for a task that clone could not create; `None` if no limit is near.
pub(super) fn clone_error(errno: Errno) -> Option<Error> {
    match errno {
        Errno::EAGAIN => match Usage::closest() {
            Some(near) if near.is_nearly_full() => Some(near.error(errno)),
            // The one EAGAIN that is no limit's (kernel/sched/core.c, sched_fork).
            _ if Caller::current().has_fact(Fact::DeadlineWithoutReset) => Some(Error::refused(
                "a thread under SCHED_DEADLINE cannot make others",
                "Set SCHED_FLAG_RESET_ON_FORK; see sched(7).",
                errno,
            )),
            _ => None,
        },
        Errno::ENOMEM => Some(Error::at_limit(Limit::Memory, None, errno)),
        _ => None,
    }
}

/// The error for a mapping of `bytes` that could not be created or divided for want of memory.
pub(super) fn map_error(errno: Errno, bytes: usize) -> Error {
    mapping_limit(errno, bytes).unwrap_or_else(|| Error::at_limit(Limit::Memory, None, errno))
}

/// For a mapping of `bytes` that was to be locked as it was made (kernel/mm, mlock_future_ok):
/// `None` if that limit is not near.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl's constants are of another type"
)]
pub(super) fn locked(errno: Errno, bytes: usize) -> Option<Error> {
    let max = limits::rlimit(libc::RLIMIT_MEMLOCK as u32)?;
    let used = status_kb(b"VmLck:")?.saturating_mul(1024);
    (used.saturating_add(bytes as u64) > max)
        .then(|| Error::at_limit(Limit::LockedMemory, Some(max), errno))
}

/// For a thread of these flags: the rule by which clone answers this errno to the caller.
pub(super) fn refused(flags: CloneFlags, errno: Errno) -> Option<Error> {
    violated_rule(flags).filter(|error| error.raw_os_error() == Some(errno.number()))
}

/// For a thread of these flags: the rule by which clone refuses the caller, with the errno that clone answers.
fn violated_rule(flags: CloneFlags) -> Option<Error> {
    let caller = Caller::current();
    let rule = flags.verdict(Call::Clone3, 0, &caller).rule()?;
    let instead = if caller.has_fact(Fact::PendingPidNamespace) {
        "The caller's children belong to another pid namespace (unshare or setns with \
         CLONE_NEWPID) and its threads cannot: make threads before, or in a child process."
    } else {
        "CloneFlags::verdict tells before the call what is accepted."
    };
    Some(Error::refused(
        rule.description,
        instead,
        Errno::new(rule.errno),
    ))
}

/// The error for `pthread_create`, which returns EAGAIN for memory as well, and on musl for everything that
/// the kernel refuses; `None` if no limit is near and no rule forbids a thread.
#[cfg(feature = "hosted")]
pub(super) fn pthread_error(errno: Errno) -> Option<Error> {
    /// What malloc may ask the kernel for to give little: glibc's heap grows by some 132 KiB.
    const HEAP_STEP: usize = 256 * 1024;
    let full = Usage::closest().filter(|near| near.left == 0);
    // A thread on given memory has libc allocate a vector of TLS blocks: little.
    let bytes = crate::sys::memory::page_size();
    match full {
        Some(full) => Some(full.error(errno)),
        None => mapping_limit(errno, bytes)
            .or_else(|| clone_error(errno))
            .or_else(|| mapping_limit(errno, HEAP_STEP))
            .or_else(|| violated_rule(crate::flags::Preset::RAWTHREAD.flags)),
    }
}

/// The limit on tasks that is closest to being full.
struct Usage {
    limit: Limit,
    value: u64,
    /// How many more tasks it allows now.
    left: u64,
}

impl Usage {
    fn error(&self, errno: Errno) -> Error {
        Error::at_limit(self.limit, Some(self.value), errno)
    }

    /// Full, or so nearly that tasks which ended meanwhile explain the rest.
    fn is_nearly_full(&self) -> bool {
        self.left <= self.value / 8
    }

    fn closest() -> Option<Self> {
        let mut closest: Option<Self> = None;
        let mut consider = |limit, value: u64, left: u64| {
            if closest.as_ref().is_none_or(|other| left < other.left) {
                closest = Some(Self { limit, value, left });
            }
            closest.as_ref().is_some_and(|closest| closest.left == 0)
        };

        // The cheap checks first: the walk through /proc takes microseconds a process.
        let mut full = false;
        cgroup::for_each_pids(|max, current| {
            full |= consider(Limit::CgroupPids, max, max.saturating_sub(current));
        });
        let machine = system_tasks();
        if let (Some(max), Some(tasks)) = (
            limits::read_number(c"/proc/sys/kernel/threads-max"),
            machine,
        ) {
            full |= consider(Limit::ThreadsMax, max, max.saturating_sub(tasks));
        }
        if full {
            return closest;
        }

        let nproc_limit = nproc_limit();
        let seen = nproc_limit.and_then(user_tasks);
        if let (Some(max), Some(tasks)) = (nproc_limit, seen) {
            consider(Limit::Processes, max, max.saturating_sub(tasks));
        }
        if let Some(max) = limits::read_number(c"/proc/sys/kernel/pid_max") {
            consider(Limit::PidMax, max, free_pids(max));
        }
        if let (Some(max), None) = (nproc_limit, seen) {
            // The user's tasks in other pid namespaces count as well and cannot be seen; that
            // there are enough of them is the last explanation left.
            let left = machine.map_or(0, |tasks| max.saturating_sub(tasks));
            consider(Limit::Processes, max, left);
        }
        closest
    }
}

/// The number of tasks on the machine: that after the slash in `0.20 0.18 0.12 1/80 11206`, see
/// proc_loadavg(5).
fn system_tasks() -> Option<u64> {
    let mut lines = LineReader::of(c"/proc/loadavg")?;
    let mut parts = lines.next()?.split(|byte| *byte == b'/');
    limits::parse_number(parts.nth(1)?)
}

/// `RLIMIT_NPROC`, if it binds the caller: not root and the capable (kernel/fork.c, copy_process).
#[allow(
    clippy::unnecessary_cast,
    reason = "musl's constants are of another type"
)]
fn nproc_limit() -> Option<u64> {
    limits::rlimit(libc::RLIMIT_NPROC as u32)
        .filter(|_| !Caller::current().has_fact(Fact::ExemptFromProcessLimit))
}

/// The tasks of the caller's real user; `None` where there may be others that cannot be seen.
///
/// Stops at `enough`.
fn user_tasks(enough: u64) -> Option<u64> {
    /// include/linux/proc_ns.h, PROC_PID_INIT_INO.
    const FIRST_NAMESPACE: &[u8] = b"pid:[4026531836]";
    if !credentials::readlink(c"/proc/self/ns/pid")
        .ok()?
        .starts_with(FIRST_NAMESPACE)
    {
        return None;
    }
    let uid = credentials::real_uid();
    let mut tasks = 0;
    // Other users' processes may be hidden (hidepid), the user's own never are.
    procfs::for_each_numeric_entry(c"/proc", |pid| {
        if tasks < enough {
            tasks += process_threads(pid, uid.into()).unwrap_or(0);
        }
    })
    .ok()?;
    Some(tasks)
}

/// How many threads process `pid` has; 0 if it is another user's, `None` if it is gone.
fn process_threads(pid: &[u8], uid: u64) -> Option<u64> {
    let path = FixedPath::new(&[b"/proc/", pid, b"/status"])?;
    let mut lines = LineReader::of(path.as_c_str()?)?;
    loop {
        let line = lines.next()?;
        if let Some(owner) = procfs::parse_field(b"Uid:", line)
            && owner != uid
        {
            return Some(0);
        }
        if let Some(threads) = procfs::parse_field(b"Threads:", line) {
            return Some(threads);
        }
    }
}

/// How many ids below `max` are free in the caller's pid namespace; `max` if more than a few.
fn free_pids(max: u64) -> u64 {
    /// Ids below are not given out again after the first round (kernel/pid.c, RESERVED_PIDS).
    const RESERVED: u64 = 300;
    const FEW: usize = 64;
    let is_free = |id: &u64| signal::send_to_process(*id as i32, 0) == Err(Errno::ESRCH);
    // On a machine with ids left this stops soon; without, it costs 0.1 us for each.
    match (RESERVED..max).filter(is_free).take(FEW).count() {
        FEW => max,
        few => few as u64,
    }
}

/// The limit on mappings that forbids `bytes` more, if one does.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl's constants are of another type"
)]
fn mapping_limit(errno: Errno, bytes: usize) -> Option<Error> {
    /// Guards by mprotect divide a mapping of stacks: up to this many entries more.
    const PARTS: u64 = 4;
    // The one line that is no mapping of the process ([vsyscall]) counts into the margin.
    if let (Some(max), Some(lines)) = (
        limits::read_number(c"/proc/sys/vm/max_map_count"),
        LineReader::of(c"/proc/self/maps").map(LineReader::count),
    ) && lines + PARTS >= max
    {
        return Some(Error::at_limit(Limit::MapCount, Some(max), errno));
    }
    // The kernel checks in this order (mm/mmap.c, may_expand_vm).
    [
        (Limit::AddressSpace, libc::RLIMIT_AS as u32, &b"VmSize:"[..]),
        (Limit::Data, libc::RLIMIT_DATA as u32, b"VmData:"),
    ]
    .into_iter()
    .find_map(|(limit, resource, key)| {
        let max = limits::rlimit(resource)?;
        let used = status_kb(key)?.saturating_mul(1024);
        (used.saturating_add(bytes as u64) > max).then(|| Error::at_limit(limit, Some(max), errno))
    })
}

/// The number after `key` in `/proc/self/status`, in kB; see proc_pid_status(5).
fn status_kb(key: &[u8]) -> Option<u64> {
    let mut lines = LineReader::of(c"/proc/self/status")?;
    loop {
        if let Some(number) = procfs::parse_field(key, lines.next()?) {
            return Some(number);
        }
    }
}
