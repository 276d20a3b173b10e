//! Where a resource has run out, or other code interferes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command, Namespaces, Stdio};
use rawthread::{ErrorKind, Limit};

use crate::common;
use crate::util;

fn limit_open_files(soft: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: soft,
    };
    // SAFETY: reads one rlimit; this process is the test's own.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// A pidfd is a descriptor. A call that did not ask for one must not fail for want of it.
#[test]
fn a_full_descriptor_table_hinders_no_child_that_needs_none() {
    if !common::in_subprocess(
        "exhaustion::a_full_descriptor_table_hinders_no_child_that_needs_none",
    ) {
        return;
    }
    limit_open_files(64);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(Command::new("/bin/true").status().unwrap().success());
    for flags in [CloneFlags::empty(), CloneFlags::VM] {
        // SAFETY: the child only returns.
        let mut child = unsafe { Builder::new().flags(flags).spawn(|| 7) }.unwrap();
        assert_eq!(child.raw_pidfd(), None, "{flags:?}");
        assert_eq!(child.wait().unwrap().code(), Some(7), "{flags:?}");
    }
    drop(Command::new("/bin/sleep").arg("0.01").spawn().unwrap());
    let error = Command::new("/bin/true").pidfd(true).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    // SAFETY: the child would only return.
    let error = unsafe { Builder::new().pidfd(true).spawn(|| 0) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
}

/// Whatever lacks a descriptor, in the parent or in the child, the error names the limit and the call.
#[test]
fn the_error_names_the_limit_on_descriptors() {
    if !common::in_subprocess("exhaustion::the_error_names_the_limit_on_descriptors") {
        return;
    }
    limit_open_files(64);
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    let is_named = |error: rawthread::Error, call| {
        assert_eq!(error.limit(), Some(Limit::OpenFiles), "{error}");
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert_eq!(error.operation(), Some(call), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        assert!(error.to_string().contains("RLIMIT_NOFILE (64)"), "{error}");
    };
    is_named(
        Command::new("true")
            .stdin(Stdio::null())
            .spawn()
            .map(drop)
            .unwrap_err(),
        "openat",
    );
    is_named(
        Command::new("true")
            .stdout(Stdio::piped())
            .spawn()
            .map(drop)
            .unwrap_err(),
        "pipe2",
    );
    // It takes a number for a moment, but where none is left that of the target itself will do.
    for number in [0, 9, 63] {
        let mut command = Command::new("true");
        command.before_exec(BeforeExec::open(number, "/dev/null", libc::O_RDONLY, 0));
        assert!(command.status().unwrap().success(), "{number}");
        let builder = Builder::new();
        let step = BeforeExec::open(number, "/dev/null", libc::O_RDONLY, 0);
        // SAFETY: the child only returns.
        let mut child = unsafe { builder.before_start(step).spawn(|| 4) }.unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(4), "{number}");
    }
    let mut command = Command::new("true");
    command.before_exec(BeforeExec::open(99, "/dev/null", libc::O_RDONLY, 0));
    is_named(command.status().unwrap_err(), "openat");
    // To close what is not open takes no number, however high it is.
    for number in [63, 64, 1 << 20, i32::MAX] {
        let builder = Builder::new().before_start(BeforeExec::close(number));
        // SAFETY: the child only returns.
        let mut child = unsafe { builder.spawn(|| 4) }.unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(4), "{number}");
        let mut command = Command::new("true");
        command.before_exec(BeforeExec::close(number));
        assert!(command.status().unwrap().success(), "{number}");
    }
}

/// The last number of the table is a place like any other.
#[test]
fn a_descriptor_may_have_the_last_number() {
    if !common::in_subprocess("exhaustion::a_descriptor_may_have_the_last_number") {
        return;
    }
    limit_open_files(64);
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let shown = util::sh("readlink /proc/self/fd/63", |command| {
        command.descriptor(63, null());
    });
    assert_eq!(shown, "/dev/null");
}

/// A child that changes its ids while it shares memory makes that memory undumpable; two at once
/// must not take each other's state for the caller's.
#[test]
fn children_with_other_ids_leave_the_parent_dumpable_even_many_at_once() {
    // SAFETY: no memory.
    if unsafe { libc::geteuid() } != 0 {
        println!("SKIP: only root may change ids");
        return;
    }
    if !common::in_subprocess(
        "exhaustion::children_with_other_ids_leave_the_parent_dumpable_even_many_at_once",
    ) {
        return;
    }
    // SAFETY: no memory.
    let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
    assert_eq!(dumpable(), 1);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let status = Command::new("/bin/true").uid(65534).status().unwrap();
                    assert!(status.success());
                }
            });
        }
    });
    assert_eq!(dumpable(), 1);
}

/// With SIGCHLD ignored the kernel reaps, and waiting says ECHILD; but the child is gone, and what
/// it ran on is free.
#[test]
fn stacks_are_freed_where_sigchld_is_ignored() {
    if !common::in_subprocess("exhaustion::stacks_are_freed_where_sigchld_is_ignored") {
        return;
    }
    // SAFETY: no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    // Without either there is no telling a child that is gone from one that is not ours.
    for (pidfd, own_tls) in [(true, true), (true, false), (false, true)] {
        let builder = Builder::new()
            .flags(CloneFlags::VM)
            .own_tls(own_tls)
            .pidfd(pidfd);
        let turn = || {
            // SAFETY: the child only returns.
            let mut child = unsafe { builder.spawn(|| 0) }.unwrap();
            match child.wait() {
                // A pidfd tells, from Linux 6.15 on.
                Ok(status) => assert!(pidfd && status.success(), "{status}"),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECHILD)),
            }
        };
        let pages = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            let size = statm.split(' ').next().unwrap();
            size.parse::<usize>().unwrap()
        };
        (0..10).for_each(|_| turn());
        let before = pages();
        (0..50).for_each(|_| turn());
        let grown = pages().saturating_sub(before);
        // One stack is 64 pages.
        assert!(
            grown < 640,
            "identity {own_tls}, pidfd {pidfd}: {grown} pages"
        );
    }
}

/// The child waits on a descriptor of the shared table. When its maps are refused, that number must
/// stay the start pipe's until the child is gone, or the child reads what is not for it, and goes on.
#[test]
fn a_refused_child_never_passes_the_start_pipe_in_a_shared_table() {
    if !util::user_namespaces()
        || !common::in_subprocess(
            "exhaustion::a_refused_child_never_passes_the_start_pipe_in_a_shared_table",
        )
    {
        return;
    }
    static RAN: AtomicU32 = AtomicU32::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let files: Vec<_> = (0..8)
                    .map(|_| File::open("/proc/self/stat").unwrap())
                    .collect();
                drop(files);
            }
        });
        for _ in 0..500 {
            let builder = Builder::new()
                .flags(CloneFlags::VM | CloneFlags::FILES)
                .namespaces(Namespaces::USER)
                .own_tls(false)
                .uid_map(0, 0, 0);
            // SAFETY: the child would only count.
            let refused = unsafe {
                builder.spawn(|| {
                    RAN.fetch_add(1, Ordering::Relaxed);
                    0
                })
            };
            assert_eq!(refused.unwrap_err().operation(), Some("uid_map"));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(RAN.load(Ordering::Relaxed), 0);
}

/// As execvp has it: what is too long to be a directory is none.
#[test]
fn a_part_of_the_path_that_is_too_long_is_passed_over() {
    let path = format!("/{}:/bin:/usr/bin", "a".repeat(5000));
    let status = Command::new("true").env("PATH", path).status();
    assert!(status.unwrap().success());
    let error = Command::new("a".repeat(300)).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
}

/// A source that is closed stays an error, even if its number is free for a copy of another.
#[test]
fn a_closed_source_is_not_mistaken_for_a_copy() {
    if !common::in_subprocess("exhaustion::a_closed_source_is_not_mistaken_for_a_copy") {
        return;
    }
    let file = File::open("/dev/null").unwrap();
    let open = std::os::fd::AsRawFd::as_raw_fd(&file);
    let closed = open + 1;
    // `open` must leave its number, and the next free one is `closed`.
    for target in [open, closed] {
        let mut command = Command::new("/bin/true");
        // SAFETY: the file is open; that the other number is not is the point.
        unsafe {
            command.descriptor(target + 10, Stdio::borrowed(open));
            command.descriptor(open, Stdio::borrowed(closed));
            command.descriptor(target, Stdio::borrowed(closed));
        }
        let error = command.spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{target}");
    }
}

/// Children of many threads at once each have a stack of their own, and what is kept of those for
/// the next is one.
#[test]
fn a_crowd_of_spawners_leaves_nothing_but_one_stack() {
    if !common::in_subprocess("exhaustion::a_crowd_of_spawners_leaves_nothing_but_one_stack") {
        return;
    }
    let round = || {
        std::thread::scope(|scope| {
            for thread in 0..16 {
                scope.spawn(move || {
                    for turn in 0..20 {
                        let word = format!("{thread} {turn}");
                        let output = Command::new("/bin/echo").arg(&word).output().unwrap();
                        assert_eq!(output.stdout, format!("{word}\n").as_bytes());
                        let error = Command::new("/no/such").arg(&word).spawn().unwrap_err();
                        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
                    }
                });
            }
        });
    };
    // Writable mappings as long as such a stack.
    let stacks = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let size = |line: &str| {
            let (low, high) = line.split_once(' ')?.0.split_once('-')?;
            let [low, high] = [low, high].map(|text| usize::from_str_radix(text, 16).unwrap());
            Some(high - low)
        };
        let lines = maps.lines().filter(|line| line.contains(" rw-p "));
        lines.filter(|line| size(line) == Some(32 * 1024)).count()
    };
    let before = stacks();
    round();
    let after = stacks();
    assert!(after <= before + 1, "{} stacks are left", after - before);
    // SAFETY: any child of this process is this test's.
    let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    assert_eq!(left, -1, "a child is left");
    let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
    round();
    assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), files);
}
