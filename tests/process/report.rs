//! Whose the closure is, and what is left behind, when a child with steps does not come to it.

use std::sync::Arc;

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command};

use crate::common::in_subprocess;
use crate::filter::refuse;

const SHARINGS: [CloneFlags; 5] = [
    CloneFlags::empty(),
    CloneFlags::VM,
    CloneFlags::FILES,
    CloneFlags::VM.union(CloneFlags::FILES),
    CloneFlags::VM.union(CloneFlags::VFORK),
];

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Instructions of a filter that answers `call` with `action`, as bytes.
pub(crate) fn filter_of(call: i64, action: u32) -> Vec<u8> {
    [
        (0x20u16, 0u8, 0u8, 0u32),
        (0x15, 0, 1, call as u32),
        (0x06, 0, 0, action),
        (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .iter()
    .flat_map(|(code, yes, no, value)| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([*yes, *no]);
        bytes.extend(value.to_ne_bytes());
        bytes
    })
    .collect()
}

/// Spawns a closure whose child the calls that it would report by are refused; it runs, and is dropped once.
fn runs_once(builder: &Builder, flags: CloneFlags) {
    let held = Arc::new(());
    let kept = held.clone();
    // SAFETY: the child has a thread control block or memory of its own, and takes what it captured.
    let made = unsafe {
        builder.spawn(move || {
            let last = Arc::strong_count(&kept) as i32;
            drop(kept);
            last
        })
    };
    let mut child = made.unwrap_or_else(|error| panic!("{flags:?}: {error}"));
    assert_eq!(child.wait().unwrap().code(), Some(2), "{flags:?}");
    assert_eq!(Arc::strong_count(&held), 1, "{flags:?}");
}

#[test]
fn a_sandbox_takes_no_closure_twice() {
    let test = "report::a_sandbox_takes_no_closure_twice";
    if !in_subprocess(test) {
        return;
    }
    for flags in SHARINGS {
        for call in [libc::SYS_write, libc::SYS_futex, libc::SYS_ppoll] {
            let builder = Builder::new()
                .flags(flags)
                .before_start(BeforeExec::no_new_privileges())
                .before_start(BeforeExec::refuse_calls([call], libc::EPERM));
            runs_once(&builder, flags);
        }
    }
    // The parent is in the sandbox.
    let thread = std::thread::spawn(|| {
        if !refuse(libc::SYS_ppoll, None, libc::EPERM) {
            println!("SKIP: no filters here");
            return;
        }
        for flags in SHARINGS {
            let builder = Builder::new().flags(flags);
            runs_once(
                &builder.clone().before_start(BeforeExec::umask(0o22)),
                flags,
            );
            if flags.contains(CloneFlags::VFORK) {
                continue;
            }
            // SAFETY: the child only returns.
            let made = unsafe { builder.spawn_with_hook(|_| Ok(()), || 4) };
            assert_eq!(made.unwrap().wait().unwrap().code(), Some(4), "{flags:?}");
        }
    });
    thread.join().unwrap();
}

#[test]
fn a_child_killed_amid_its_steps_leaves_nothing() {
    let test = "report::a_child_killed_amid_its_steps_leaves_nothing";
    if !in_subprocess(test) {
        return;
    }
    let second = filter_of(libc::SYS_umount2, libc::SECCOMP_RET_ALLOW);
    for flags in SHARINGS {
        for pidfd in [true, false] {
            // The first filter kills the child that installs the second.
            let by_seccomp = Builder::new()
                .flags(flags)
                .pidfd(pidfd)
                .before_start(BeforeExec::no_new_privileges())
                .before_start(BeforeExec::seccomp(filter_of(
                    libc::SYS_seccomp,
                    libc::SECCOMP_RET_KILL_PROCESS,
                )))
                .before_start(BeforeExec::seccomp(&second));
            let before = descriptors();
            let held = Arc::new(());
            for _ in 0..2 {
                let kept = held.clone();
                // SAFETY: the child does not come to its closure.
                let error = unsafe {
                    by_seccomp.spawn(move || {
                        drop(kept);
                        0
                    })
                }
                .unwrap_err();
                assert_eq!(error.operation(), Some("clone3"), "{flags:?}: {error}");
            }
            assert_eq!(Arc::strong_count(&held), 1, "{flags:?}");
            assert_eq!(descriptors(), before, "{flags:?}, pidfd {pidfd}");
        }
    }
}

/// A traced child is stopped by the signal of its first filter, and would neither begin nor end.
#[test]
fn a_traced_child_stopped_amid_its_steps_is_an_error() {
    let test = "report::a_traced_child_stopped_amid_its_steps_is_an_error";
    if !in_subprocess(test) {
        return;
    }
    for flags in SHARINGS {
        if flags.contains(CloneFlags::VFORK) {
            continue;
        }
        let builder = Builder::new()
            .flags(flags)
            .before_start(BeforeExec::trace_me())
            .before_start(BeforeExec::no_new_privileges())
            .before_start(BeforeExec::seccomp(filter_of(
                libc::SYS_seccomp,
                libc::SECCOMP_RET_TRAP,
            )))
            .before_start(BeforeExec::seccomp(filter_of(
                libc::SYS_umount2,
                libc::SECCOMP_RET_ALLOW,
            )));
        // SAFETY: the child does not come to its closure.
        let error = unsafe { builder.spawn(|| 0) }.map(drop).unwrap_err();
        assert_eq!(error.operation(), Some("clone3"), "{flags:?}: {error}");
    }
}

/// One that waits for its parent's hook, in a table that both use.
#[test]
fn a_child_killed_before_its_steps_leaves_nothing() {
    let test = "report::a_child_killed_before_its_steps_leaves_nothing";
    if !in_subprocess(test) {
        return;
    }
    for flags in SHARINGS {
        if flags.contains(CloneFlags::VFORK) {
            continue;
        }
        let before = descriptors();
        let held = Arc::new(());
        let kept = held.clone();
        let kill = |pid| {
            // SAFETY: the pid of a child that is not reaped.
            assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
            Ok(())
        };
        let builder = Builder::new().flags(flags);
        // SAFETY: the child does not come to its closure.
        let error = unsafe {
            builder.spawn_with_hook(kill, move || {
                drop(kept);
                0
            })
        };
        assert_eq!(error.unwrap_err().operation(), Some("clone3"), "{flags:?}");
        assert_eq!(Arc::strong_count(&held), 1, "{flags:?}");
        assert_eq!(descriptors(), before, "{flags:?}");
    }
}

/// The filter is its own, and kills it inside execve: an error of spawn, whatever else was asked for.
#[test]
fn a_command_killed_inside_execve_is_an_error() {
    let kills = |action| BeforeExec::seccomp(filter_of(libc::SYS_execve, action));
    let configure = |command: &mut Command, action| {
        command
            .before_exec(BeforeExec::no_new_privileges())
            .before_exec(kills(action));
    };
    let actions = [
        libc::SECCOMP_RET_KILL_PROCESS,
        libc::SECCOMP_RET_KILL_THREAD,
        libc::SECCOMP_RET_TRAP,
    ];
    for action in actions {
        for pidfd in [true, false] {
            let mut plain = Command::new("true");
            configure(&mut plain, action);
            let mut with_hook = Command::new("true");
            with_hook.new_session().parent_hook(|_| Ok(()));
            configure(&mut with_hook, action);
            for command in [&mut plain, &mut with_hook] {
                let error = command.pidfd(pidfd).spawn().map(drop).unwrap_err();
                assert_eq!(error.operation(), Some("execve"), "{error}");
                assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
                assert!(error.to_string().contains("SIGSYS"), "{error}");
            }
        }
    }
}

/// A traced child is stopped by the signal of its filter, in its parent's memory.
#[test]
fn a_traced_command_that_its_filter_traps_is_an_error() {
    let test = "report::a_traced_command_that_its_filter_traps_is_an_error";
    if !in_subprocess(test) {
        return;
    }
    for with_hook in [false, true] {
        let mut command = Command::new("true");
        command
            .before_exec(BeforeExec::trace_me())
            .before_exec(BeforeExec::no_new_privileges())
            .before_exec(BeforeExec::seccomp(filter_of(
                libc::SYS_execve,
                libc::SECCOMP_RET_TRAP,
            )));
        if with_hook {
            command.parent_hook(|_| Ok(()));
        }
        let error = command.spawn().map(drop).unwrap_err();
        assert_eq!(error.operation(), Some("execve"), "{error}");
        assert!(error.to_string().contains("SIGSYS"), "{error}");
        // SAFETY: asks for children.
        let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!(left, -1);
    }
}

/// A filter that lets the program begin is no reason to call it dead: it runs, or has ended, by whatever.
#[test]
fn a_command_killed_by_its_filter_later_has_begun() {
    for _ in 0..30 {
        // The program's own calls, its last among them.
        for call in [libc::SYS_exit_group, libc::SYS_mmap, libc::SYS_umount2] {
            let mut command = Command::new("true");
            let filter = filter_of(call, libc::SECCOMP_RET_KILL_PROCESS);
            command
                .before_exec(BeforeExec::no_new_privileges())
                .before_exec(BeforeExec::seccomp(filter));
            let status = command.spawn().unwrap().wait().unwrap();
            match call {
                libc::SYS_umount2 => assert!(status.success(), "{status}"),
                _ => assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}"),
            }
        }
    }
}
