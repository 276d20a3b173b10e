//! The experiments on the claims.
#![allow(
    unsafe_code,
    reason = "children that share memory, and looks at other tasks"
)]

use std::sync::atomic::{AtomicI64, Ordering};

use rawthread::flags::{Call, Caller, CloneFlags, Preset};

use super::syscalls::first_clone;
use crate::ask::log::{ExperimentLog, name_of};
use crate::ask::support::{self, GLIBC, SIGCHLD, can_wait, in_a_fork, spawn_child};
use crate::probe::{self, Outcome, Plan, Property, SpawnMethod};
use crate::syscall;

/// What the child of each way assigns to.
static A: AtomicI64 = AtomicI64::new(5);
static B: AtomicI64 = AtomicI64::new(8);

fn set_both() -> i32 {
    A.store(10, Ordering::SeqCst);
    B.store(10, Ordering::SeqCst);
    0
}

/// Runs `set_both` in a child of these flags, and gives `a` and `b` of the parent afterwards.
fn after(log: &mut ExperimentLog, flags: CloneFlags) -> Option<(i64, i64)> {
    A.store(5, Ordering::SeqCst);
    B.store(8, Ordering::SeqCst);
    let mut made = spawn_child(log, flags, SIGCHLD, set_both)?;
    let _ = made.wait();
    Some((A.load(Ordering::SeqCst), B.load(Ordering::SeqCst)))
}

const VFORK: CloneFlags = CloneFlags::VM.union(CloneFlags::VFORK);

pub(super) fn fork_variables(log: &mut ExperimentLog) {
    for (name, flags, expected) in [
        ("fork", CloneFlags::empty(), 5),
        ("clone with CLONE_VM", CloneFlags::VM, 10),
    ] {
        let Some((a, _)) = after(log, flags) else {
            return;
        };
        log.check(
            a == expected,
            format!("{name}: the child sets a from 5 to 10; in the parent it is {a}"),
        );
    }
}

pub(super) fn a_plus_b(log: &mut ExperimentLog) {
    for (name, flags, expected) in [("fork", CloneFlags::empty(), 13), ("vfork", VFORK, 20)] {
        let Some((a, b)) = after(log, flags) else {
            return;
        };
        let sum = a + b;
        log.check(
            sum == expected,
            format!("a = 5, b = 8; {name}; the child sets both to 10; the parent adds: {sum}"),
        );
    }
}

/// Makes a task of these flags, and has it probed.
fn probed(flags: CloneFlags, exit_signal: u32, method: SpawnMethod) -> Result<Outcome, String> {
    probe::run(Plan {
        flags,
        exit_signal,
        method,
        exec: false,
        root: false,
    })
}

pub(super) fn clone_buffer(log: &mut ExperimentLog) {
    for (name, flags, expected) in [
        ("clone", CloneFlags::empty(), "hello from parent"),
        ("clone vm", CloneFlags::VM, "hello from child"),
    ] {
        match probed(flags, SIGCHLD, SpawnMethod::Clone) {
            Ok(Outcome::Made { buffer, .. }) => log.check(
                buffer == expected,
                format!("{name}: the child writes its text, and the parent reads \"{buffer}\""),
            ),
            Ok(Outcome::Refused(refusal)) => return log.skip(refusal.why),
            Err(why) => return log.unfinished(why),
        }
    }
}

/// What was observed of `properties` in a task of these flags.
fn observe(
    log: &mut ExperimentLog,
    (flags, exit_signal, method): (CloneFlags, u32, SpawnMethod),
    expected: &[(Property, &str)],
) {
    let comparisons = match probed(flags, exit_signal, method) {
        Ok(Outcome::Made { comparisons, .. }) => comparisons,
        Ok(Outcome::Refused(refusal)) => return log.skip(refusal.why),
        Err(why) => return log.unfinished(why),
    };
    for (property, word) in expected {
        let found = comparisons
            .iter()
            .find(|comparison| comparison.observation.property == *property);
        let Some(found) = found else {
            log.check(false, format!("{}: was not looked at", property.title()));
            continue;
        };
        let text = format!(
            "{}: {} ({})",
            property.title(),
            found.observed(),
            found.observation.proof
        );
        match found.observed() {
            "-" => log.skip(text),
            seen => log.check(seen == *word, text),
        }
    }
}

pub(super) fn sighand_mask(log: &mut ExperimentLog) {
    let flags = CloneFlags::VM | CloneFlags::SIGHAND;
    let expected = [(Property::Handlers, "shared"), (Property::Mask, "copied")];
    observe(log, (flags, SIGCHLD, SpawnMethod::Clone), &expected);
}

/// What libc's `fork` asks for, at the least.
fn libc_fork() {
    // SAFETY: a fork whose child ends at once. The caller is traced and killed here.
    unsafe {
        if libc::fork() == 0 {
            libc::_exit(0);
        }
    }
}

pub(super) fn fork_call(log: &mut ExperimentLog) {
    let (number, word) = match first_clone(libc_fork) {
        Ok(seen) => seen,
        Err(why) => return log.skip(why),
    };
    let name = if number == libc::SYS_clone3 {
        "clone3"
    } else {
        "clone"
    };
    let (flags, signal) = CloneFlags::from_legacy(word);
    log.check(
        signal == SIGCHLD && flags.difference(CloneFlags::BOOKKEEPING).is_empty(),
        format!("libc's fork() called {name}({flags}|SIGCHLD): {word:#x}, seen by ptrace"),
    );
    let more = !flags.is_empty();
    if GLIBC {
        log.check(more, "so more than SIGCHLD, but nothing that shares");
    } else {
        log.note("what else is asked for depends on the libc");
    }
}

pub(super) fn go_exec(log: &mut ExperimentLog) {
    let Some(preset) = Preset::by_id("go-exec") else {
        return log.check(false, "the library knows no preset go-exec");
    };
    log.note(format!("Go asks for {} ({})", preset.flags, preset.source));
    let expected = [(Property::Memory, "shared"), (Property::Maker, "sleeps")];
    let asked = (preset.flags, preset.exit_signal, SpawnMethod::Process);
    observe(log, asked, &expected);
    let expected = [(Property::Memory, "copied"), (Property::Maker, "runs on")];
    let asked = (CloneFlags::empty(), SIGCHLD, SpawnMethod::Process);
    log.note("beside it clone(SIGCHLD):");
    observe(log, asked, &expected);
}

/// `getppid`, from the kernel.
fn getppid() -> i32 {
    // SAFETY: no arguments.
    unsafe { syscall::syscall(libc::SYS_getppid, [0; 6]) }.unwrap_or(0) as i32
}

pub(super) fn thread_parent(log: &mut ExperimentLog) {
    let mine = getppid();
    let theirs = rawthread::spawn(getppid).join().unwrap_or(0);
    log.check(
        theirs == mine,
        format!("getppid() here is {mine}, in a thread {theirs}"),
    );
    // The parent's view: a process whose thread waits is asked for by that process's parent.
    let (reader, writer) = support::pipe();
    let (never, _keep) = support::pipe();
    let child = support::fork_child(|| {
        let thread = rawthread::spawn(move || support::receive(never));
        support::send(writer, thread.tid());
        let _ = thread.join();
        0
    });
    let Ok(mut child) = child else {
        return log.skip("no fork");
    };
    let tid = support::receive(reader).unwrap_or(0);
    let found = can_wait(tid, libc::__WALL);
    log.check(
        tid > 0 && !found,
        format!(
            "a child of the lab has a thread {tid}: waitid({tid}, __WALL) by the lab says {}",
            if found { "found" } else { "ECHILD" }
        ),
    );
    let _ = child.kill().and_then(|()| child.wait());
}

pub(super) fn not_a_thread(log: &mut ExperimentLog) {
    let me = syscall::getpid();
    let (reader, writer) = support::pipe();
    let flags = CloneFlags::VM | CloneFlags::FS;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
        support::send(writer, syscall::getpid());
        0
    }) else {
        return;
    };
    let pid = support::receive(reader).unwrap_or(0);
    let waited = made.wait().is_ok();
    log.check(
        pid != me && pid > 0 && waited,
        format!("CLONE_VM|CLONE_FS|SIGCHLD: getpid() is {pid} there and {me} here, and a plain wait found it"),
    );
    let theirs = rawthread::spawn(syscall::getpid).join().unwrap_or(0);
    log.check(
        theirs == me,
        format!("with CLONE_THREAD (rawthread::spawn): getpid() is {theirs} there, too"),
    );
}

pub(super) fn visible_threads(log: &mut ExperimentLog) {
    let (end, finish) = support::pipe();
    let thread = rawthread::spawn(move || support::receive(end));
    let (pid, tid) = (syscall::getpid(), thread.tid());
    let exists = |path: String| std::path::Path::new(&path).exists();
    log.check(
        exists(format!("/proc/{pid}/task/{tid}")) && exists(format!("/proc/{tid}/status")),
        format!("/proc/{pid}/task/{tid} and /proc/{tid}/status exist"),
    );
    let listed = support::is_listed(tid);
    log.check(
        !listed,
        format!("a listing of /proc leaves {tid} out, as it lists processes"),
    );
    support::send(finish, 0);
    let _ = thread.join();
}

pub(super) fn semaphores(log: &mut ExperimentLog) {
    for flags in [CloneFlags::empty(), CloneFlags::SYSVSEM] {
        // SAFETY: a new private set, removed below.
        let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
        if set < 0 {
            return log.skip("this kernel has no System V semaphores");
        }
        let made = spawn_child(log, flags, SIGCHLD, move || {
            let mut up = libc::sembuf {
                sem_num: 0,
                sem_op: 3,
                sem_flg: 0,
            };
            // SAFETY: reads one operation.
            unsafe { libc::semop(set, &mut up, 1) }
        });
        let Some(mut made) = made else {
            return;
        };
        let _ = made.wait();
        // SAFETY: asks for a number, and removes the set.
        let value = unsafe {
            let value = libc::semctl(set, 0, libc::GETVAL);
            libc::semctl(set, 0, libc::IPC_RMID);
            value
        };
        let with = if flags.is_empty() { "without" } else { "with" };
        log.check(
            value == 3,
            format!(
                "{with} CLONE_SYSVSEM: the child added 3 to a semaphore, and here it is {value}"
            ),
        );
    }
    for (flags, word) in [
        (CloneFlags::empty(), "own"),
        (CloneFlags::SYSVSEM, "shared"),
    ] {
        let asked = (flags, SIGCHLD, SpawnMethod::Clone);
        observe(log, asked, &[(Property::Undo, word)]);
    }
}

pub(super) fn getpid_cache(log: &mut ExperimentLog) {
    // SAFETY: no arguments: whatever libc might keep, it has it now.
    let mine = unsafe { libc::getpid() };
    let (reader, writer) = support::pipe();
    // SAFETY: as fork, behind libc's back; the child makes three calls and ends.
    let child = unsafe {
        let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if child == 0 {
            support::send(writer, libc::getpid());
            support::send(writer, syscall::getpid());
            libc::_exit(0);
        }
        libc::waitpid(child as i32, std::ptr::null_mut(), 0);
        child as i32
    };
    let (libcs, kernels) = (support::receive(reader), support::receive(reader));
    if libcs == Some(mine) && kernels == Some(child) {
        return log.skip("this libc is older than glibc 2.25, and does keep the pid");
    }
    log.check(
        libcs == Some(child) && kernels == Some(child),
        format!(
            "getpid() here is {mine}; in a child made behind libc's back it is {}, and the kernel says {}",
            libcs.unwrap_or(0),
            kernels.unwrap_or(0)
        ),
    );
}

pub(super) fn vfork_memory(log: &mut ExperimentLog) {
    let expected = [(Property::Memory, "shared"), (Property::Maker, "sleeps")];
    observe(log, (VFORK, SIGCHLD, SpawnMethod::Process), &expected);
}

pub(super) fn vm_and_thread(log: &mut ExperimentLog) {
    for (names, expected) in [
        ("vm,thread", Some(libc::EINVAL)),
        ("vm,sighand,thread", None),
    ] {
        let Ok(flags) = names.parse::<CloneFlags>() else {
            return log.check(false, "the flags were not understood");
        };
        let seen = match probed(flags, 0, SpawnMethod::Clone) {
            Ok(Outcome::Made { .. }) => None,
            Ok(Outcome::Refused(refusal)) => refusal.errno,
            Err(why) => return log.unfinished(why),
        };
        let verdict = flags.verdict(Call::Clone, 0, &Caller::current());
        let word = seen.map_or("made".to_owned(), name_of);
        let because = verdict
            .rule()
            .map_or(String::new(), |rule| format!(", as {}", rule.description));
        log.check(seen == expected, format!("clone({flags}): {word}{because}"));
    }
}

pub(super) fn fork_one(log: &mut ExperimentLog) {
    let (never, _keep) = support::pipe();
    for _ in 0..2 {
        rawthread::spawn(move || support::receive(never));
    }
    let here = support::threads_here();
    let there = in_a_fork(|| support::threads_here() as i32);
    log.check(
        here == 3 && there == 1,
        format!("{here} threads here, fork: {there} in the child"),
    );
    let Some(mut made) = spawn_child(log, CloneFlags::empty(), 0, || 0) else {
        return;
    };
    let pid = made.pid();
    crate::ask::lifecycle::await_state(pid, 'Z');
    let (plain, wall) = (can_wait(pid, 0), can_wait(pid, libc::__WALL));
    log.check(
        !plain && wall,
        "exit signal 0, for forkx's two flags: no SIGCHLD comes, a plain wait does not find the child, a wait with __WALL does",
    );
    let _ = made.wait();
}
