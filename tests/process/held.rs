//! Children that wait for their parent before they begin.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Command, Namespaces};
use rawthread::{Error, Signal};

use crate::common::{in_subprocess, is_child, poll_until, rerun_self};
use crate::util::{state_of, user_namespaces};

/// Set for the process whose child is to be abandoned.
const ROLE: &str = "RAWTHREAD_TEST_DYING_PARENT";

/// Prints the child's pid and is killed.
fn die(pid: i32) -> Result<(), Error> {
    println!("\nchild {pid}");
    std::io::stdout().flush().unwrap();
    // SAFETY: ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("killed")
}

/// Has `spawn` make a child in a process that dies while the child waits; fails unless that ends.
fn abandons_no_child(test: &str, spawn: impl FnOnce()) {
    if is_child(test) && std::env::var_os(ROLE).is_some() {
        spawn();
        unreachable!("the hook ends this process");
    }
    if !in_subprocess(test) {
        return;
    }
    // SAFETY: orphans of descendants become this process's children.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut parent = rerun_self(test)
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let child = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("child ")?.parse::<i32>().ok());
    let child = child.expect("the parent made a child");
    assert!(!parent.wait().unwrap().success());
    poll_until("the abandoned child ends", || {
        // SAFETY: asks for one child, and reaps it.
        let ended =
            unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        ended == child || state_of(child).is_none()
    });
}

#[test]
fn a_command_ends_with_a_parent_that_dies_before_it_begins() {
    let test = "held::a_command_ends_with_a_parent_that_dies_before_it_begins";
    abandons_no_child(test, || {
        let _ = Command::new("sleep").arg("1000").parent_hook(die).spawn();
    });
}

#[test]
fn a_command_in_a_pid_namespace_ends_with_its_parent_too() {
    if !user_namespaces() {
        return;
    }
    let test = "held::a_command_in_a_pid_namespace_ends_with_its_parent_too";
    abandons_no_child(test, || {
        // SAFETY: only asks.
        let me = unsafe { libc::geteuid() };
        let _ = Command::new("sleep")
            .arg("1000")
            .namespaces(Namespaces::USER | Namespaces::PID)
            .uid_map(0, me, 1)
            .parent_hook(die)
            .spawn();
    });
}

#[test]
fn a_closure_that_shares_the_table_ends_with_its_parent() {
    let test = "held::a_closure_that_shares_the_table_ends_with_its_parent";
    abandons_no_child(test, || {
        let builder = Builder::new().flags(CloneFlags::VM | CloneFlags::FILES);
        // SAFETY: the child must not begin.
        let _ = unsafe { builder.spawn_with_hook(die, || 0) };
    });
}

#[test]
fn a_hook_may_refuse() {
    let refused = Command::new("true")
        .parent_hook(|_| Err(Error::from_raw_os_error(libc::EDOM)))
        .spawn()
        .unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EDOM));
    for flags in [
        CloneFlags::empty(),
        CloneFlags::VM,
        CloneFlags::VM | CloneFlags::FILES,
    ] {
        let refuse = |_| Err(Error::from_raw_os_error(libc::EDOM));
        // SAFETY: the child does not begin.
        let refused = unsafe { Builder::new().flags(flags).spawn_with_hook(refuse, || 0) };
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EDOM));
    }
}

/// The child must have left this memory before the panic goes on.
#[test]
fn a_hook_may_panic() {
    for flags in [
        CloneFlags::empty(),
        CloneFlags::VM,
        CloneFlags::VM | CloneFlags::FILES,
    ] {
        let panicked = std::panic::catch_unwind(|| {
            // SAFETY: the child does not begin.
            let _ = unsafe {
                Builder::new()
                    .flags(flags)
                    .spawn_with_hook(|_| panic!("on purpose"), || 0)
            };
        });
        assert!(panicked.is_err());
    }
    let panicked = std::panic::catch_unwind(|| {
        let _ = Command::new("true")
            .parent_hook(|_| panic!("on purpose"))
            .spawn();
    });
    assert!(panicked.is_err());
    assert!(Command::new("true").status().unwrap().success());
}

#[test]
fn a_child_that_is_killed_before_its_program_is_an_error() {
    let error = Command::new("true")
        .parent_hook(|pid| {
            // SAFETY: the child waits; it is not reaped.
            assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
            // Not released before it is dead.
            poll_until("the child is dead", || state_of(pid) == Some('Z'));
            Ok(())
        })
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("execve"));
    assert!(error.to_string().contains("signal"), "{error}");
}

#[test]
fn a_hook_sees_the_child_before_its_first_step() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exit 3"])
        .parent_death_signal(Signal::new(libc::SIGTERM).unwrap())
        .parent_hook(|pid| {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
            assert_ne!(comm.trim(), "sh");
            Ok(())
        });
    for _ in 0..2 {
        assert_eq!(command.status().unwrap().code(), Some(3));
    }
}

/// A closure that a refused child does not take is dropped, and costs no memory.
#[test]
fn a_closure_whose_child_is_refused_is_dropped() {
    let test = "held::a_closure_whose_child_is_refused_is_dropped";
    if !user_namespaces() || !in_subprocess(test) {
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let pages = || -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let try_once = || {
        let held: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let builder = Builder::new()
            .flags(CloneFlags::VM)
            .namespaces(Namespaces::USER)
            .uid_map(0, 0, 5)
            .uid_map(2, 2, 5);
        // SAFETY: the maps overlap, so no child begins.
        let refused = unsafe {
            builder.spawn(move || {
                drop(held);
                0
            })
        };
        assert_eq!(refused.unwrap_err().operation(), Some("uid_map"));
    };
    try_once();
    let before = (open(), pages());
    for _ in 0..100 {
        try_once();
    }
    assert_eq!(open(), before.0, "descriptors leaked");
    let grown = pages() - before.1;
    assert!(grown < 100, "{grown} pages of address space");
}
