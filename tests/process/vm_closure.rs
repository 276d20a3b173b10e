//! Closures in processes that share memory.

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command};

use crate::common::{in_subprocess, poll_until};
use crate::settings::is_root;

/// A capture is moved where it is called, not from frame to frame.
#[test]
fn a_closure_may_hold_more_than_the_stack() {
    fn check<const N: usize>() {
        let text = [7u8; N];
        // SAFETY: the child computes on what it captured.
        let child = unsafe {
            Builder::new()
                .flags(CloneFlags::VM)
                .spawn(move || i32::from(std::hint::black_box(&text)[N - 1]))
        };
        let status = child.unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(7), "{N}: {status}");
    }
    check::<30_000>();
    check::<100_000>();
    // The parent's own moves of it need a large stack, too.
    let large = std::thread::Builder::new().stack_size(32 << 20);
    large.spawn(check::<400_000>).unwrap().join().unwrap();
}

/// The init of a pid namespace ignores SIGCHLD when it dies, in a table that its parent shares.
#[test]
fn the_status_of_an_init_that_shares_signal_actions_is_found() {
    let test = "vm_closure::the_status_of_an_init_that_shares_signal_actions_is_found";
    if !is_root() {
        println!("SKIP: needs root, for a pid namespace");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    let builder = Builder::new()
        .flags(CloneFlags::VM | CloneFlags::SIGHAND | CloneFlags::NEWPID)
        .pidfd(true);
    // SAFETY: the child computes.
    let first = unsafe { builder.spawn(|| 7) };
    let mut first = match first {
        Ok(child) => child,
        Err(error) => {
            println!("SKIP: no pid namespace here: {error}");
            return;
        }
    };
    match first.wait() {
        Ok(status) => assert_eq!(status.code(), Some(7)),
        // Before Linux 6.15 a pidfd does not tell.
        Err(error) if kernel_before(6, 15) => {
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        }
        Err(error) => panic!("{error}"),
    }
}

fn kernel_before(major: u16, minor: u16) -> bool {
    rawthread::flags::Caller::current().kernel()
        < rawthread::flags::KernelVersion::new(major, minor, 0)
}

/// Where SIGCHLD is ignored the kernel reaps; the pidfd keeps the status.
#[test]
fn a_status_is_found_where_sigchld_is_ignored() {
    let test = "vm_closure::a_status_is_found_where_sigchld_is_ignored";
    if !in_subprocess(test) {
        return;
    }
    // SAFETY: this process's own disposition.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if kernel_before(6, 15) {
        println!("SKIP: a pidfd tells the status from Linux 6.15 on");
        return;
    }
    let mut child = Command::new("sh").args(["-c", "exit 5"]).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let mut killed = Command::new("sleep").arg("100").spawn().unwrap();
    assert_eq!(killed.try_wait().unwrap(), None);
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(libc::SIGKILL));
    let mut polled = Command::new("true").spawn().unwrap();
    poll_until("the child ends", || {
        polled
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.success())
    });
}

/// The stack of a child that did not return goes back to the system.
#[test]
fn a_killed_child_keeps_no_stack_resident() {
    let test = "vm_closure::a_killed_child_keeps_no_stack_resident";
    if !in_subprocess(test) {
        return;
    }
    let resident = || -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let kill_one = || {
        // SAFETY: the child writes to its own stack and dies.
        let child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(|| {
                let deep = std::hint::black_box([1u8; 100_000]);
                libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGKILL);
                i32::from(deep[5])
            })
        };
        assert_eq!(child.unwrap().wait().unwrap().signal(), Some(libc::SIGKILL));
    };
    kill_one();
    let before = resident();
    for _ in 0..40 {
        kill_one();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 40 * 8, "{grown} pages for 40 children");
}

/// Steps, a closure, and a program at its end: nothing of it is copied.
#[test]
fn a_closure_may_become_a_program() {
    let builder = Builder::new()
        .flags(CloneFlags::VM)
        .before_start(BeforeExec::nice(4));
    // SAFETY: the child has a TCB of its own, so it may allocate; it changes nothing of its parent's.
    let child = unsafe {
        builder.spawn(|| {
            let error = Command::new("sh").args(["-c", "exit $(nice)"]).exec();
            panic!("{error}");
        })
    };
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(4));
    // SAFETY: as above.
    let child =
        unsafe { builder.spawn(|| Command::new("/no/such").exec().raw_os_error().unwrap_or(0)) };
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(libc::ENOENT));
}
