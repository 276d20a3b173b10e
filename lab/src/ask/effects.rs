//! Questions about mappings, namespaces by what they change, and the states of /proc.
#![allow(unsafe_code, reason = "mappings, mounts, signals and stops")]

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;

use rawthread::flags::CloneFlags;

use super::lifecycle::{await_state, state};
use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, fork_child, spawn_child};
use crate::syscall;

/// Maps a page of this process, by a raw call.
fn map() -> usize {
    let access = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let kind = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    // SAFETY: a new mapping.
    unsafe { syscall::syscall(libc::SYS_mmap, [0, 4096, access, kind, usize::MAX, 0]) }.unwrap_or(0)
}

/// Whether a page is mapped here.
fn is_mapped(address: usize) -> bool {
    let mut resident = 0u8;
    // SAFETY: the kernel writes one byte.
    unsafe {
        syscall::syscall(
            libc::SYS_mincore,
            [address, 4096, (&raw mut resident) as usize, 0, 0, 0],
        )
    }
    .is_ok()
}

pub(super) fn mappings(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    for (flags, name) in [
        (CloneFlags::empty(), "without CLONE_VM"),
        (CloneFlags::VM, "with CLONE_VM"),
    ] {
        let shared = !flags.is_empty();
        let doomed = map();
        let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
            let fresh = map();
            // SAFETY: the page of `doomed`, which is used no more.
            let unmapped =
                unsafe { syscall::syscall(libc::SYS_munmap, [doomed, 4096, 0, 0, 0, 0]) };
            support::send(writer, fresh as i32);
            support::send(writer, (fresh >> 32) as i32);
            i32::from(unmapped.is_err() || fresh == 0)
        }) else {
            return;
        };
        let well = made.wait().is_ok_and(|end| end.success());
        let [low, high] = [(); 2].map(|()| support::receive(reader).unwrap_or(0) as u32 as usize);
        let fresh = high << 32 | low;
        let word = |address| {
            if is_mapped(address) {
                "mapped"
            } else {
                "not mapped"
            }
        };
        log.check(
            well && is_mapped(fresh) == shared && is_mapped(doomed) != shared,
            format!(
                "{name}: the child mapped {fresh:#x}, which is {} here, and unmapped {doomed:#x}, which is {} here",
                word(fresh),
                word(doomed)
            ),
        );
    }
}

pub(super) fn namespaces(log: &mut ExperimentLog) {
    mounts(log);
    network(log);
}

fn mounts(log: &mut ExperimentLog) {
    let directory = std::env::temp_dir().join(format!("lab-mount-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir(&directory) {
        return log.skip(error);
    }
    let path = std::ffi::CString::new(directory.to_string_lossy().as_bytes()).unwrap_or_default();
    // The number of the file system that the directory lies on.
    let device = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |found| found.dev());
    let before = device(&directory);
    let there = directory.clone();
    let (reader, writer) = support::pipe();
    let (go, tell) = support::pipe();
    let flags = CloneFlags::NEWUSER | CloneFlags::NEWNS;
    let made = spawn_child(log, flags, SIGCHLD, move || {
        // SAFETY: strings that end in NUL; the mounts are of this namespace.
        let mounted = unsafe {
            let none = std::ptr::null();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            libc::mount(none, c"/".as_ptr(), none, private, none.cast()) == 0
                && libc::mount(
                    c"lab".as_ptr(),
                    path.as_ptr(),
                    c"tmpfs".as_ptr(),
                    0,
                    none.cast(),
                ) == 0
        };
        support::send(writer, i32::from(mounted && device(&there) != before));
        support::receive(go);
        0
    });
    if let Some(mut made) = made {
        let seen_there = support::receive(reader) == Some(1);
        let unchanged = device(&directory) == before;
        support::send(tell, 0);
        let _ = made.wait();
        if seen_there {
            log.check(
                unchanged,
                format!("new mount namespace: the child mounted a tmpfs on {}; here that directory lies where it did", directory.display()),
            );
        } else {
            log.skip("the child may not mount in its new namespace");
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
}

/// What a child of these flags can do with a port that is in use here: bind it, connect to it.
fn use_port(log: &mut ExperimentLog, flags: CloneFlags, port: u16) -> Option<(bool, bool)> {
    let mut made = spawn_child(log, flags, SIGCHLD, move || {
        let bound = TcpListener::bind(("0.0.0.0", port)).is_ok();
        let connected = TcpStream::connect(("127.0.0.1", port)).is_ok();
        i32::from(bound) | i32::from(connected) << 1
    })?;
    let code = made.wait().ok()?.code()?;
    Some((code & 1 != 0, code & 2 != 0))
}

fn network(log: &mut ExperimentLog) {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    let Some(port) = listener
        .as_ref()
        .ok()
        .and_then(|it| Some(it.local_addr().ok()?.port()))
    else {
        return log.skip("no port can be had here");
    };
    let new = CloneFlags::NEWUSER | CloneFlags::NEWNET;
    for (flags, name, expected) in [
        (CloneFlags::empty(), "same network namespace", (false, true)),
        (new, "new network namespace", (true, false)),
    ] {
        let Some(seen) = use_port(log, flags, port) else {
            return;
        };
        let can = |can| if can { "can" } else { "cannot" };
        log.check(
            seen == expected,
            format!(
                "{name}: port {port} is in use here; the child {} bind it, and {} connect to it",
                can(seen.0),
                can(seen.1)
            ),
        );
    }
}

pub(super) fn states(log: &mut ExperimentLog) {
    let me = syscall::getpid();
    let mine = state(me);
    log.check(
        mine == 'R',
        format!("R, running: this process, while it asks, is {mine}"),
    );

    let (reader, _writer) = support::pipe();
    let sleeper = fork_child(|| {
        support::receive(reader);
        0
    });
    let Ok(mut sleeper) = sleeper else {
        return log.skip("no fork");
    };
    let pid = sleeper.pid();
    await_state(pid, 'S');
    log.check(
        true,
        "S, sleeps until something or a signal comes: a child in read()",
    );
    // SAFETY: stops and ends a child.
    let stopped = unsafe {
        libc::kill(pid, libc::SIGSTOP);
        let mut status = 0;
        libc::waitpid(pid, &mut status, libc::WUNTRACED);
        libc::WIFSTOPPED(status)
    };
    log.check(
        stopped && state(pid) == 'T',
        format!(
            "T, stopped by SIGSTOP, until SIGCONT: the child is {}",
            state(pid)
        ),
    );
    let _ = sleeper.signal(libc::SIGCONT);
    await_state(pid, 'S');
    let _ = sleeper.kill();
    await_state(pid, 'Z');
    log.check(
        true,
        "Z, a zombie: the child was killed, and was not waited for yet",
    );
    let _ = sleeper.wait();

    let (go, tell) = support::pipe();
    let caller = fork_child(move || {
        let mut quiet = ExperimentLog::default();
        let flags = CloneFlags::VM | CloneFlags::VFORK;
        let made = spawn_child(&mut quiet, flags, SIGCHLD, move || {
            support::receive(go);
            0
        });
        made.map_or(1, |mut made| i32::from(made.wait().is_err()))
    });
    let Ok(mut caller) = caller else {
        return log.skip("no fork");
    };
    await_state(caller.pid(), 'D');
    log.check(
        true,
        "D, sleeps without regard to most signals: a caller of vfork, while its child runs (else: waits for a disk)",
    );
    support::send(tell, 0);
    let _ = caller.wait();

    let traced = fork_child(|| {
        // SAFETY: numbers.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        // SAFETY: a number.
        unsafe { libc::raise(libc::SIGUSR1) };
        0
    });
    if let Ok(mut traced) = traced {
        let mut status = 0;
        // SAFETY: the kernel writes one number.
        unsafe { libc::waitpid(traced.pid(), &mut status, 0) };
        if libc::WIFSTOPPED(status) {
            let seen = state(traced.pid());
            log.check(
                seen == 't',
                format!("t, stopped by its tracer: the child is {seen}"),
            );
        } else {
            log.note("t, stopped by its tracer: ptrace is not allowed here");
        }
        let _ = traced.kill();
        let _ = traced.wait();
    }
}
