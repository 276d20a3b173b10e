//! Steps before `execve`, each seen by the program that runs or by its parent.

use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command, Namespaces, Stdio};
use rawthread::{ErrorKind, Policy};

use crate::common::{Directory, in_subprocess};
use crate::settings::is_root;
use crate::util::{sh, state_of, user_namespaces};

/// As `posix_spawn`'s file actions: in the child's directory, on the child's numbers, in order.
#[test]
fn descriptors_are_opened_and_closed_in_the_child() {
    let directory = Directory::new("opened");
    std::fs::write(directory.path().join("in"), "read\n").unwrap();
    let new = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let text = sh(
        "cat <&8; echo said >&9; ls /proc/self/fd | wc -l",
        |command| {
            command
                .current_dir(directory.path())
                .close_others()
                // What the number meant is closed: the file lies in its place.
                .descriptor(8, Stdio::null())
                .before_exec(BeforeExec::open(8, "in", libc::O_RDONLY, 0))
                .before_exec(BeforeExec::open(9, "out", new, 0o640))
                .before_exec(BeforeExec::open(7, "in", libc::O_RDONLY, 0))
                .before_exec(BeforeExec::close(7))
                .before_exec(BeforeExec::close(77));
        },
    );
    // 0, 1, 2, 8, 9, and what ls reads.
    assert_eq!(text, "read\n6");
    let written = directory.path().join("out");
    assert_eq!(std::fs::read_to_string(written).unwrap(), "said\n");

    let mut command = Command::new("true");
    let missing = BeforeExec::open(5, "/no/such", libc::O_RDONLY, 0);
    let error = command.before_exec(missing).spawn().unwrap_err();
    assert_eq!(error.operation(), Some("openat"));
    for negative in [
        BeforeExec::open(-1, "/", 0, 0),
        BeforeExec::close(-1),
        BeforeExec::open(4, "a\0b", 0, 0),
    ] {
        let error = Command::new("true").before_exec(negative).spawn();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_directory_is_entered_by_its_descriptor() {
    let proc = std::fs::File::open("/proc").unwrap();
    let text = sh("pwd; ls /proc/self/fd", |command| {
        command
            .close_others()
            .descriptor(30, proc)
            .current_dir("/")
            .before_exec(BeforeExec::change_dir(30))
            .before_exec(BeforeExec::close(30));
    });
    assert_eq!(text, "/proc\n0\n1\n2\n3");
    for bad in [-1, 500] {
        let mut command = Command::new("true");
        let error = command.before_exec(BeforeExec::change_dir(bad)).spawn();
        assert_eq!(error.unwrap_err().operation(), Some("fchdir"));
    }
}

/// The pipe on which a closure's child reports has numbers that no caller can know.
#[test]
fn no_step_takes_the_number_of_the_report() {
    let test = "steps::no_step_takes_the_number_of_the_report";
    if !in_subprocess(test) {
        return;
    }
    for flags in [
        CloneFlags::empty(),
        CloneFlags::VM,
        CloneFlags::VM | CloneFlags::VFORK,
    ] {
        let mut builder = Builder::new().flags(flags);
        for number in 3..40 {
            builder = builder
                .before_start(BeforeExec::open(number, "/dev/null", libc::O_RDONLY, 0))
                .before_start(BeforeExec::close(number));
        }
        // SAFETY: the child does nothing.
        let child = unsafe { builder.spawn(|| 3) };
        let mut child = child.unwrap_or_else(|error| panic!("{flags:?}: {error}"));
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let failing = builder.before_start(BeforeExec::unmount("/no/such", 0));
        // SAFETY: as above.
        let error = unsafe { failing.spawn(|| 3) }.unwrap_err();
        assert_eq!(error.operation(), Some("umount2"), "{flags:?}: {error}");
    }
}

fn temporary(text: &str) -> std::fs::File {
    // SAFETY: a name; the call makes the descriptor for this caller.
    let fd = unsafe {
        let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
        OwnedFd::from_raw_fd(fd)
    };
    let mut file = std::fs::File::from(fd);
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn one_number_is_not_connected_twice() {
    let text = sh("cat <&6; cat <&7", |command| {
        let given = [(6, temporary("a\n")), (7, temporary("b\n"))];
        command.map_descriptors(given).unwrap();
        for collision in [[8, 6], [8, 8], [8, -1]] {
            let given = collision.map(|number| (number, temporary("c\n")));
            let error = command.map_descriptors(given).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{collision:?}");
        }
    });
    assert_eq!(text, "a\nb");
    let closed = sh("test -e /proc/self/fd/8 || echo closed", |command| {
        let given = [(8, temporary("")), (8, temporary(""))];
        assert!(command.map_descriptors(given).is_err());
    });
    assert_eq!(closed, "closed");
}

#[test]
fn a_time_namespace_has_clocks_of_its_own() {
    if !user_namespaces() || !std::path::Path::new("/proc/self/timens_offsets").exists() {
        println!("SKIP: no time namespaces here");
        return;
    }
    const YEAR: i64 = 365 * 24 * 3600;
    let seconds = |text: &str| text.split('.').next().unwrap().parse::<i64>().unwrap();
    let before = seconds(&std::fs::read_to_string("/proc/uptime").unwrap());
    let mut command = Command::new("cat");
    command
        .arg("/proc/uptime")
        .namespaces(Namespaces::USER | Namespaces::TIME)
        .before_exec(BeforeExec::time_offsets(1000, YEAR));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("SKIP: no time namespace here: {error}");
            return;
        }
    };
    let inside = seconds(std::str::from_utf8(&output.stdout).unwrap());
    let after = seconds(&std::fs::read_to_string("/proc/uptime").unwrap());
    assert!((before + YEAR..=after + YEAR).contains(&inside), "{inside}");

    let mut impossible = Command::new("true");
    impossible
        .namespaces(Namespaces::USER | Namespaces::TIME)
        .before_exec(BeforeExec::time_offsets(-1_000_000_000, 0));
    let error = impossible.spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ERANGE), "{error}");
    // A child with memory of its own is in the namespace from the start.
    let builder = Builder::new()
        .namespaces(Namespaces::USER | Namespaces::TIME)
        .before_start(BeforeExec::time_offsets(1, 1));
    // SAFETY: the child does nothing.
    let error = unsafe { builder.spawn(|| 0) }.unwrap_err();
    assert_eq!(error.operation(), Some("timens_offsets"), "{error}");
    assert!(error.to_string().contains("VM"), "{error}");
}

#[test]
fn a_traced_program_stops_before_its_first_instruction() {
    if !in_subprocess("steps::a_traced_program_stops_before_its_first_instruction") {
        return;
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", "exit 6"])
        .before_exec(BeforeExec::trace_me());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("SKIP: no tracing here: {error}");
            return;
        }
    };
    let mut status = 0;
    // SAFETY: asks for a stop of a child of this thread.
    let stopped = unsafe { libc::waitpid(child.pid(), &mut status, libc::WUNTRACED) };
    assert_eq!(stopped, child.pid());
    assert!(libc::WIFSTOPPED(status), "{status:#x}");
    assert_eq!(libc::WSTOPSIG(status), libc::SIGTRAP);
    assert_eq!(state_of(child.pid()), Some('t'));
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    // SAFETY: asks for an id.
    let own = unsafe { libc::gettid() };
    assert!(text.contains(&format!("TracerPid:\t{own}\n")), "{text}");
    assert_eq!(
        std::fs::read_to_string(format!("/proc/{}/comm", child.pid())).unwrap(),
        "sh\n"
    );
    // SAFETY: the child is stopped and this thread's tracee.
    let detached = unsafe { libc::ptrace(libc::PTRACE_DETACH, child.pid(), 0, 0) };
    assert_eq!(detached, 0);
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

/// The scheduling policy of a process: field 41 of its stat.
fn policy(pid: i32) -> i32 {
    // SAFETY: asks.
    unsafe { libc::syscall(libc::SYS_sched_getscheduler, pid) as i32 }
}

#[test]
fn a_program_is_scheduled_as_the_step_says() {
    let spawn = |scheduling| {
        Command::new("sleep")
            .arg("600")
            .before_exec(BeforeExec::scheduling(scheduling))
            .spawn()
    };
    for (scheduling, expected) in [
        (Policy::Batch { nice: 7 }, libc::SCHED_BATCH),
        (Policy::Idle, libc::SCHED_IDLE),
    ] {
        let mut child = spawn(scheduling).unwrap();
        let found = policy(child.pid());
        // SAFETY: asks.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, child.pid() as u32) };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, expected);
        if expected == libc::SCHED_BATCH {
            assert_eq!(nice, 7);
        }
    }
    let real_time = Policy::Fifo { priority: 1 };
    match spawn(real_time) {
        Ok(mut child) => {
            let found = policy(child.pid());
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(found, libc::SCHED_FIFO);
        }
        Err(error) => assert_eq!(error.operation(), Some("sched_setattr"), "{error}"),
    }
    let error = spawn(Policy::Fifo { priority: 0 }).unwrap_err();
    assert_eq!(error.operation(), Some("sched_setattr"), "{error}");
}

/// A shell's job: its own group, in the foreground of the terminal.
#[test]
fn a_job_gets_the_terminal() {
    if !in_subprocess("steps::a_job_gets_the_terminal") {
        return;
    }
    let open = |path: &str| {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
    };
    let Ok(master) = open("/dev/ptmx") else {
        println!("SKIP: no terminals here");
        return;
    };
    let mut name = [0u8; 64];
    // SAFETY: the terminal's own calls; a place for its name.
    let slave = unsafe {
        libc::unlockpt(master.as_raw_fd());
        assert_eq!(
            libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr().cast(), name.len()),
            0
        );
        std::ffi::CStr::from_bytes_until_nul(&name)
            .unwrap()
            .to_str()
            .unwrap()
    };
    // SAFETY: this process is for this test alone; it takes the terminal.
    unsafe {
        if libc::setsid() < 0 {
            println!("SKIP: leads a group");
            return;
        }
    }
    let terminal = open(slave).unwrap();
    let fd = terminal.as_raw_fd();
    // SAFETY: as above.
    let foreground = |fd| unsafe {
        libc::ioctl(fd, libc::TIOCSCTTY, 0);
        libc::tcgetpgrp(fd)
    };
    assert_eq!(foreground(fd), std::process::id() as i32);
    let mut job = Command::new("sleep");
    job.arg("600")
        .process_group(0)
        .before_exec(BeforeExec::foreground(fd));
    let mut job = job.spawn().unwrap();
    assert_eq!(foreground(fd), job.pid());
    job.signal_group(libc::SIGKILL).unwrap();
    assert_eq!(job.wait().unwrap().signal(), Some(libc::SIGKILL));
    // Its end would hang up on this process, which leads the session.
    std::mem::forget(master);
}

#[test]
fn a_user_has_its_ids_and_groups() {
    let error = Command::new("true").user("no such user").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(Command::new("true").user("a\0b").is_err());
    // The record that libc has of this process's own user.
    let id = |flag: &str, of: &[&str]| {
        let output = std::process::Command::new("id").arg(flag).args(of).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    };
    if !is_root() {
        println!("SKIP: needs root, to become a user");
        return;
    }
    for name in ["daemon", "nobody"] {
        let mut command = Command::new("id");
        let Ok(command) = command.user(name) else {
            println!("SKIP: no user {name}");
            continue;
        };
        for flag in ["-u", "-g", "-G"] {
            let mut all = Vec::new();
            let mut child = Command::new("id")
                .arg(flag)
                .user(name)
                .unwrap()
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdout.take().unwrap().read_to_end(&mut all).unwrap();
            child.wait().unwrap();
            let text = String::from_utf8(all).unwrap();
            let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words.dedup();
            assert_eq!(words, id(flag, &[name]), "{name} {flag}");
        }
        assert!(command.status().unwrap().success());
    }
}

/// Every child of this process in the group, in whatever order they end; no other.
#[test]
fn a_group_is_waited_for() {
    if !in_subprocess("steps::a_group_is_waited_for") {
        return;
    }
    let mut outsider = Command::new("sleep").arg("600").spawn().unwrap();
    for (first, second) in [("0", "0.2"), ("0.2", "0")] {
        let script = |seconds: &str, code: u32| format!("sleep {seconds}; exit {code}");
        let mut leader = Command::new("sh")
            .args(["-c", &script(first, 3)])
            .process_group(0)
            .spawn()
            .unwrap();
        let member = Command::new("sh")
            .args(["-c", &script(second, 4)])
            .process_group(leader.pid())
            .spawn()
            .unwrap();
        assert_eq!(leader.wait_group().unwrap().code(), Some(3));
        assert_eq!(state_of(member.pid()), None, "a member is left");
        assert!(leader.usage().is_some());
        assert_eq!(leader.wait().unwrap().code(), Some(3));
        assert_eq!(leader.wait_group().unwrap().code(), Some(3));
    }
    assert_eq!(outsider.try_wait().unwrap(), None);
    // A child that leads no group is waited for alone.
    outsider.kill().unwrap();
    assert_eq!(outsider.wait_group().unwrap().signal(), Some(libc::SIGKILL));
}

/// Another value of this process may own the descriptor whose number the program was to have.
#[test]
fn an_exec_that_fails_puts_descriptors_back() {
    if !in_subprocess("steps::an_exec_that_fails_puts_descriptors_back") {
        return;
    }
    let mut own = temporary("own\n");
    let number = own.as_raw_fd();
    // SAFETY: only asks.
    let flags = |number| unsafe { libc::fcntl(number, libc::F_GETFD) };
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    for program in ["/no/such", "true"] {
        let mut command = Command::new(program);
        command
            .descriptor(number, temporary("the program's\n"))
            .descriptor(50, temporary(""))
            .before_exec(BeforeExec::open(51, "/dev/null", libc::O_RDONLY, 0))
            .before_exec(BeforeExec::close(number));
        if program == "true" {
            command.before_exec(BeforeExec::change_dir(500));
        }
        let error = command.exec();
        assert!(error.operation().is_some(), "{error}");
    }
    assert_eq!(flags(number), libc::FD_CLOEXEC);
    assert_eq!((flags(50), flags(51)), (-1, -1));
    assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before);
    let mut text = String::new();
    own.read_to_string(&mut text).unwrap();
    assert_eq!(text, "own\n");
}

/// The kernel keeps the score equal among processes that share memory, but for a vfork's child.
#[test]
fn an_oom_score_is_the_childs_alone() {
    let own = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let before = own();
    let by_file = BeforeExec::write_file("/proc/self/oom_score_adj", "900", None);
    for step in [BeforeExec::oom_score_adj(900), by_file] {
        let read = sh("cat /proc/self/oom_score_adj", |command| {
            command.before_exec(step.clone());
        });
        assert_eq!(read, "900");
        let error = Command::new("true")
            .before_exec(step.clone())
            .parent_hook(|_| Ok(()))
            .spawn()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        for flags in [
            CloneFlags::VM,
            CloneFlags::VM | CloneFlags::VFORK,
            CloneFlags::empty(),
        ] {
            let builder = Builder::new().flags(flags).before_start(step.clone());
            // SAFETY: the child only returns.
            let made = unsafe { builder.spawn(|| 0) };
            match made {
                Ok(mut child) => assert!(child.wait().unwrap().success(), "{flags:?}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                    assert_eq!(flags, CloneFlags::VM);
                }
            }
        }
    }
    assert_eq!(own(), before);
}

/// Not even a vfork's child has such a file of its own.
#[test]
fn no_step_changes_the_memory_of_the_parent() {
    let filter = "/proc/self/coredump_filter";
    let own = || std::fs::read_to_string(filter).unwrap();
    let before = own();
    for path in [
        filter,
        "/proc/thread-self/coredump_filter",
        "coredump_filter",
        "/proc/self/clear_refs",
        "/proc/self/mem",
    ] {
        let step = BeforeExec::write_file(path, "0", None);
        let error = Command::new("true")
            .before_exec(step.clone())
            .status()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}: {error}");
        for flags in [CloneFlags::VM, CloneFlags::VM | CloneFlags::VFORK] {
            let builder = Builder::new().flags(flags).before_start(step.clone());
            // SAFETY: the child only returns.
            let error = unsafe { builder.spawn(|| 0) }.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}: {error}");
        }
    }
    let step = BeforeExec::write_file(filter, "0", None);
    let builder = Builder::new().before_start(step);
    // SAFETY: the child only returns.
    let mut child = unsafe { builder.spawn(|| 0) }.unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(own(), before);
}
