//! What the effects table says of a child, against a running child.
#![allow(unsafe_code, reason = "clone, kcmp and kill")]

use std::ffi::c_void;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use rawthread::flags::{Call, Caller, CloneFlags, Effect, Preset, Resource};

use crate::worker::{State, Tally, run};

/// What `kcmp(2)` compares: one object means shared.
const OBJECTS: [(Resource, i64); 6] = [
    (Resource::Memory, 1),
    (Resource::Descriptors, 2),
    (Resource::Directories, 3),
    (Resource::SignalHandlers, 4),
    (Resource::IoContext, 5),
    (Resource::SemaphoreUndo, 6),
];

/// Links below `/proc/.../ns`: one name means shared.
const NAMESPACES: [(Resource, &str); 7] = [
    (Resource::MountNamespace, "mnt"),
    (Resource::UtsNamespace, "uts"),
    (Resource::IpcNamespace, "ipc"),
    (Resource::UserNamespace, "user"),
    (Resource::PidNamespace, "pid"),
    (Resource::NetworkNamespace, "net"),
    (Resource::CgroupNamespace, "cgroup"),
];

/// Lets children go that share this memory; the others are killed.
static LEAVE: AtomicBool = AtomicBool::new(false);

/// What a child does: it waits to be looked at.
extern "C" fn wait_to_leave(_: *mut c_void) -> i32 {
    // Relaxed: nothing but this word is passed.
    while !LEAVE.load(Ordering::Relaxed) {
        // SAFETY: no memory.
        unsafe { libc::sched_yield() };
    }
    // SAFETY: ends this task alone.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    0
}

/// A child on a stack of its own; seen off when dropped.
struct Child {
    tid: i32,
    flags: CloneFlags,
    _stack: Vec<u128>,
}

impl Child {
    fn new(flags: CloneFlags, exit_signal: u32) -> Result<Self, std::io::Error> {
        LEAVE.store(false, Ordering::Relaxed);
        let mut stack = vec![0u128; 4096];
        let word = (flags.bits() as u32 | exit_signal) as i32;
        // SAFETY: the stack's end is aligned to 16, and it lives until the child is gone; the child
        // uses nothing that its caller uses, save for the word that releases it.
        let tid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len());
            libc::clone(wait_to_leave, top.cast(), word, std::ptr::null_mut())
        };
        if tid < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(Self {
                tid,
                flags,
                _stack: stack,
            })
        }
    }

    /// Its directory in `/proc`.
    fn directory(&self) -> String {
        if self.flags.contains(CloneFlags::THREAD) {
            format!("/proc/self/task/{}", self.tid)
        } else {
            format!("/proc/{}", self.tid)
        }
    }

    fn shares_object(&self, kind: i64) -> Result<bool, std::io::Error> {
        // SAFETY: compares two tasks of ours; no memory.
        let order = unsafe { libc::syscall(libc::SYS_kcmp, libc::getpid(), self.tid, kind, 0, 0) };
        if order < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(order == 0)
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        LEAVE.store(true, Ordering::Relaxed);
        // SAFETY: a child of ours, or of the process that reaps for us.
        unsafe {
            if self.flags.contains(CloneFlags::THREAD) {
                while libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, 0) == 0 {
                    libc::sched_yield();
                }
                return;
            }
            libc::kill(self.tid, libc::SIGKILL);
            if self.flags.contains(CloneFlags::PARENT) {
                while libc::kill(self.tid, 0) == 0 {
                    libc::sched_yield();
                }
            } else {
                libc::waitpid(self.tid, std::ptr::null_mut(), libc::__WALL);
            }
        }
    }
}

/// The number or word behind `name:` in a task's status.
fn status(directory: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("{directory}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Notes whether something is as the table says, and says so where it is not.
fn note(tally: &mut Tally, flags: CloneFlags, resource: Resource, is_shared: bool) {
    let effect = flags.effect_on(resource);
    tally.calls += 1;
    if is_shared != (effect == Effect::Shared) {
        tally.mismatches += 1;
        // Straight to the terminal: the harness does not catch what a forked child prints.
        let line = format!("{flags}: {resource:?} is foretold {effect:?}; shared: {is_shared}\n");
        _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn look(tally: &mut Tally, flags: CloneFlags, exit_signal: u32) {
    let verdict = flags.verdict(Call::Clone, exit_signal, &Caller::current());
    let child = match Child::new(flags, exit_signal) {
        Ok(child) => child,
        Err(error) => {
            tally.mismatches += u32::from(verdict.errno() != error.raw_os_error());
            return;
        }
    };
    tally.accepted += 1;
    for (resource, kind) in OBJECTS {
        match child.shares_object(kind) {
            Ok(shared) => note(tally, flags, resource, shared),
            Err(error) => tally.obstacle = Some((error.raw_os_error().unwrap_or(0), line!())),
        }
    }
    let (own, its) = ("/proc/self", child.directory());
    for (resource, name) in NAMESPACES {
        let link = |directory: &str| fs::read_link(format!("{directory}/ns/{name}"));
        match (link(own), link(&its)) {
            (Ok(own), Ok(its)) => note(tally, flags, resource, own == its),
            (_, Err(error)) | (Err(error), _) => {
                tally.obstacle = Some((error.raw_os_error().unwrap_or(0), line!()));
            }
        }
    }
    let same = |name| status(own, name) == status(&its, name);
    note(tally, flags, Resource::ProcessId, same("Tgid"));
    note(tally, flags, Resource::Parent, same("PPid"));
}

/// Makes the state that only then can be told apart when it is shared: without it, both sides of
/// kcmp would have nothing, which is the same nothing.
fn have_something_to_share() {
    const WHO_PROCESS: i32 = 1;
    const BEST_EFFORT_4: i32 = 2 << 13 | 4;
    // SAFETY: plain calls.
    unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_4) };
    // Sharing a list of adjustments makes one.
    drop(Child::new(CloneFlags::SYSVSEM, 0));
}

#[test]
fn a_living_child_shares_what_the_table_says() {
    let shareable = [
        CloneFlags::VM,
        CloneFlags::FILES,
        CloneFlags::FS,
        CloneFlags::SIGHAND,
        CloneFlags::IO,
        CloneFlags::SYSVSEM,
    ];
    let tally = run(State::AsIs, |tally, _, _| {
        have_something_to_share();
        for index in 0..1u32 << shareable.len() {
            let chosen = |(bit, flag)| (index >> bit & 1 == 1).then_some(flag);
            look(
                tally,
                shareable
                    .into_iter()
                    .enumerate()
                    .filter_map(chosen)
                    .collect(),
                17,
            );
        }
        for namespace in CloneFlags::NAMESPACES {
            if namespace.fits_legacy() {
                look(tally, namespace, 17);
            }
        }
        for flags in [
            CloneFlags::PARENT,
            CloneFlags::PARENT | CloneFlags::VM,
            Preset::GO.flags,
        ] {
            if cfg!(not(target_env = "musl")) || !flags.contains(CloneFlags::THREAD) {
                look(tally, flags, 0);
            }
        }
    });
    if cfg!(target_env = "musl") {
        println!("SKIP: musl's clone makes no threads");
    }
    if let Some((errno, line)) = tally.obstacle {
        return println!("SKIP: kcmp or /proc does not answer: errno {errno} at effects.rs:{line}");
    }
    assert!(
        tally.finished,
        "the worker died after {} comparisons",
        tally.calls
    );
    assert_eq!(tally.mismatches, 0, "of {} comparisons", tally.calls);
    assert!(tally.accepted >= 48, "{} children", tally.accepted);
    println!("{} comparisons in {} children", tally.calls, tally.accepted);
}
