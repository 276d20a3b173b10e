//! The question about limits: each that can be lowered here is met for real.
#![allow(
    unsafe_code,
    reason = "limits, mappings and identities of this process"
)]

use std::fs::read_to_string;

use rawthread::flags::{Caller, CloneFlags, KernelVersion};
use rawthread::process::Builder;

use super::log::ExperimentLog;
use super::support;
use crate::subprocess;

/// The first line of a file.
fn first_line(path: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// `pids.max` of this process's version 2 cgroup.
fn pids_max() -> Option<String> {
    let text = read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    first_line(&format!("/sys/fs/cgroup{path}/pids.max"))
}

pub(super) fn limits(log: &mut ExperimentLog) {
    // SAFETY: `rlimit` is plain data, and the kernel fills it.
    let processes = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NPROC, &mut limit);
        limit.rlim_cur
    };
    let unknown = || "none seen".to_owned();
    log.note(format!(
        "here: kernel.threads-max {}, kernel.pid_max {}, vm.max_map_count {}",
        first_line("/proc/sys/kernel/threads-max").unwrap_or_else(unknown),
        first_line("/proc/sys/kernel/pid_max").unwrap_or_else(unknown),
        first_line("/proc/sys/vm/max_map_count").unwrap_or_else(unknown),
    ));
    log.note(format!(
        "RLIMIT_NPROC {}, the cgroup's pids.max {}",
        if processes == libc::RLIM_INFINITY {
            "unlimited".into()
        } else {
            processes.to_string()
        },
        pids_max().unwrap_or_else(unknown)
    ));
    for (name, experiment) in [
        ("RLIMIT_AS", address_space as fn() -> String),
        ("RLIMIT_NPROC", processes_of_user),
        ("vm.max_map_count", mappings),
        ("pids.max", tasks_of_cgroup),
        ("kernel.pid_max", pids_of_namespace),
    ] {
        // Each in a fork: the limits of one must not stop the next.
        let seen = subprocess::run_in_fork(experiment);
        match seen
            .as_deref()
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
        {
            Ok(("met", text)) => log.check(true, text),
            Ok(("wrong", text)) => log.check(false, text),
            Ok((_, text)) => log.note(format!("{name} not met here: {text}")),
            Err(why) => log.note(format!("{name} not met here: {why}")),
        }
    }
    log.note("kernel.threads-max is the whole system's: the lab does not lower it");
}

/// Threads until the kernel refuses one: a line for `limits`.
fn spawn_until_refused(under: &str, most: usize) -> String {
    let (reader, _writer) = support::pipe();
    let mut count = 0;
    let error = loop {
        match rawthread::Builder::new().try_spawn(move || support::receive(reader)) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        if count == most {
            return format!("wrong {under}: {count} threads, and no limit was met");
        }
    };
    if error.limit().is_none() {
        return format!(
            "wrong {under}: {count} threads, then, without the name of the limit: {error}"
        );
    }
    if support::threads_here() <= count {
        return format!("wrong {under}: the process lost threads when it met the limit");
    }
    format!("met {under}: {count} threads, then: {error} The process and its threads live on.")
}

/// Address space for some dozens of stacks.
fn address_space() -> String {
    let pages: u64 = first_line("/proc/self/statm")
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let limit = libc::rlimit {
        rlim_cur: pages * 4096 + (96 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads one `rlimit`.
    if unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } != 0 {
        return "unmet the address space cannot be limited".into();
    }
    spawn_until_refused("under 96 MiB of address space", 10_000)
}

/// Tasks of one user. Root is exempt, so the process becomes a user that has no other.
fn processes_of_user() -> String {
    const LONELY: u32 = 2_000_000_011;
    const TASKS: u64 = 12;
    let limit = libc::rlimit {
        rlim_cur: TASKS,
        rlim_max: TASKS,
    };
    // SAFETY: reads one `rlimit`; changes the ids of this process, which ends after this.
    unsafe {
        if libc::geteuid() == 0 && libc::setresuid(LONELY, LONELY, LONELY) != 0 {
            return "unmet the user cannot be changed".into();
        }
        if libc::setrlimit(libc::RLIMIT_NPROC, &limit) != 0 {
            return "unmet RLIMIT_NPROC cannot be lowered".into();
        }
    }
    spawn_until_refused("under 12 tasks of one user", 100)
}

/// Mappings: every other page gets another protection, so each page is a mapping of its own.
fn mappings() -> String {
    let most: usize = first_line("/proc/sys/vm/max_map_count")
        .and_then(|line| line.parse().ok())
        .unwrap_or(usize::MAX);
    if most > 300_000 {
        return format!("unmet vm.max_map_count is {most}: too many to use up for show");
    }
    let count = || read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
    // Some are left for the first threads.
    let pages = most.saturating_sub(count() + 100);
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let none = std::ptr::null_mut();
    // SAFETY: a new mapping, never touched.
    let all = unsafe { libc::mmap(none, (pages + 400) * 4096, libc::PROT_NONE, kind, -1, 0) };
    if all == libc::MAP_FAILED {
        return "unmet there is no address space for so many mappings".into();
    }
    let split = |pages: std::ops::Range<usize>| {
        pages
            .step_by(2)
            // SAFETY: changes the protection of pages of the mapping above.
            .take_while(|page| unsafe {
                libc::mprotect(all.byte_add(page * 4096), 4096, libc::PROT_READ) == 0
            })
            .count()
    };
    split(0..pages);
    let under = |before: usize| match before {
        some if some < most => format!("with {some} of {most} mappings in use"),
        _ => format!("with all {most} mappings in use"),
    };
    let seen = spawn_until_refused(&under(count()), 200);
    if seen.starts_with("wrong") && count() < most {
        // Guards by MADV_GUARD_INSTALL (Linux 6.13) split no mapping, so stacks are few mappings, and
        // merge with their neighbours: until the kernel makes no mapping at all.
        split(pages..pages + 400);
        for access in [libc::PROT_EXEC, libc::PROT_READ].iter().cycle().take(16) {
            // SAFETY: a new mapping, never touched.
            let one = unsafe { libc::mmap(none, 4096, *access, kind, -1, 0) };
            if one == libc::MAP_FAILED {
                break;
            }
        }
        return spawn_until_refused(&under(count()), 2000);
    }
    seen
}

/// Tasks of a control group that the lab makes, limits, enters, and removes.
fn tasks_of_cgroup() -> String {
    let root = [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/pids",
        "/sys/fs/cgroup/unified",
    ]
    .into_iter()
    .find(|root| {
        std::path::Path::new(&format!("{root}{}/pids.max", own_group(root))).exists()
            || *root == "/sys/fs/cgroup/pids" && std::path::Path::new(root).join("tasks").exists()
    });
    let Some(root) = root else {
        return "unmet there is no pids controller here".into();
    };
    let group = format!(
        "{root}{}/rawthread-lab-{}",
        own_group(root),
        std::process::id()
    );
    if let Err(error) = std::fs::create_dir(&group) {
        return format!("unmet a control group cannot be made: {error}");
    }
    // In a fork: a group can be removed when its tasks are gone.
    let seen = subprocess::run_in_fork(|| {
        let limited = std::fs::write(format!("{group}/pids.max"), "12");
        let entered = std::fs::write(format!("{group}/cgroup.procs"), "0");
        match limited.and(entered) {
            Ok(()) => spawn_until_refused("under 12 tasks of a control group", 100),
            Err(error) => format!("unmet a control group cannot be limited: {error}"),
        }
    });
    for _ in 0..1000 {
        if std::fs::remove_dir(&group).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    seen.unwrap_or_else(|why| format!("unmet {why}"))
}

/// Since this version, `kernel.pid_max` belongs to the pid namespace. Before, it is the system's.
const PID_MAX_OF_NAMESPACE: KernelVersion = KernelVersion::new(6, 14, 0);

/// Pids of a namespace of the lab's own.
fn pids_of_namespace() -> String {
    const FILE: &str = "/proc/sys/kernel/pid_max";
    if Caller::current().kernel() < PID_MAX_OF_NAMESPACE {
        return "unmet before Linux 6.14 it is the whole system's".into();
    }
    let (reader, writer) = support::pipe();
    // SAFETY: no arguments.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut builder = Builder::new().flags(CloneFlags::NEWPID);
    if user != 0 {
        builder = Builder::new()
            .flags(CloneFlags::NEWPID | CloneFlags::NEWUSER)
            .uid_map(0, user, 1)
            .gid_map(0, group, 1);
    }
    // SAFETY: the child has a copy of this memory, and this process has one thread.
    let child = unsafe {
        builder.spawn(move || {
            // The kernel allows none below 301.
            let seen = match std::fs::write(FILE, "320") {
                Ok(()) => spawn_until_refused("under 320 pids of a namespace", 1000),
                Err(error) => format!("unmet it cannot be written: {error}"),
            };
            let bytes = seen.as_bytes();
            i32::from(libc::write(writer, bytes.as_ptr().cast(), bytes.len()) < 0)
        })
    };
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return format!("unmet {error}"),
    };
    let _ = child.wait();
    let _ = support::close(writer);
    let text = support::read_all(reader);
    String::from_utf8_lossy(&text).into_owned()
}

/// The path of this process's group under the root of its hierarchy.
fn own_group(root: &str) -> String {
    let text = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let line = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let pids = controllers.split(',').any(|name| name == "pids");
        (if root.ends_with("/pids") {
            pids
        } else {
            controllers.is_empty()
        })
        .then_some(path)
    });
    line.unwrap_or("").trim_end_matches('/').to_owned()
}
