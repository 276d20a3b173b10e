//! Closures in processes that share memory.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    let five = || {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 5"]);
        command
    };
    assert_eq!(five().status().unwrap().code(), Some(5));
    assert_eq!(five().output().unwrap().status.code(), Some(5));
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

/// Pages of address space and of resident memory.
fn pages() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What a child that shares memory does last.
fn last_deed(index: usize) -> i32 {
    // Something of an allocator's, of a key's, and of libc's.
    drop(std::hint::black_box(vec![1u8; 1000]));
    SEEN.set(index + 1);
    // SAFETY: ends the child in three ways.
    unsafe {
        *libc::__errno_location() = libc::EXDEV;
        match index % 3 {
            0 => libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGKILL),
            1 => libc::syscall(libc::SYS_exit_group, 3),
            _ => {
                let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
                libc::execv(arguments[0], arguments.as_ptr()).into()
            }
        };
    }
    0
}

thread_local! {
    static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static DROPPED: Dropped = const { Dropped };
}

static DROPS: AtomicUsize = AtomicUsize::new(0);

struct Dropped;

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::SeqCst);
    }
}

/// Killed, exited by a system call, or another program: after `wait` the memory goes back.
#[test]
fn a_child_that_did_not_return_costs_no_memory() {
    let test = "vm_closure::a_child_that_did_not_return_costs_no_memory";
    if !in_subprocess(test) {
        return;
    }
    if crate::support::by_libc() {
        println!("SKIP: a stack is not taken back where libc makes the threads");
        return;
    }
    let run = |index| {
        // SAFETY: the child uses what a thread may, and ends.
        let child = unsafe {
            Builder::new()
                .flags(CloneFlags::VM)
                .spawn(move || last_deed(index))
        };
        child.unwrap().wait().unwrap();
    };
    (0..6).for_each(run);
    let before = pages();
    (0..300).for_each(run);
    let after = pages();
    let grown = (
        after.0.saturating_sub(before.0),
        after.1.saturating_sub(before.1),
    );
    // One such child cost 87 pages and two of them resident. What the killed third's allocator kept for
    // them is lost: two KiB each.
    assert!(grown.0 < 300 && grown.1 < 100, "{grown:?} pages");
}

/// Whatever is shared, the child has what it was given, and its parent has not.
#[test]
fn descriptors_are_given_to_the_child_alone() {
    let test = "vm_closure::descriptors_are_given_to_the_child_alone";
    if !in_subprocess(test) {
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    for flags in [
        CloneFlags::empty(),
        CloneFlags::FILES,
        CloneFlags::VM,
        CloneFlags::VM | CloneFlags::FILES,
        CloneFlags::VM | CloneFlags::VFORK,
    ] {
        let before = open();
        let builder = Builder::new().flags(flags);
        let (mut reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the child makes system calls, and closes what is its own.
        let child = unsafe {
            builder.spawn_with_fds([writer.into()], |[writer]| {
                let sent = libc::write(writer.as_raw_fd(), b"x".as_ptr().cast(), 1);
                drop(writer);
                i32::from(sent != 1)
            })
        };
        let mut child = child.unwrap();
        let mut text = String::new();
        // To its end: no other process or table has the writing end.
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "x", "{flags:?}");
        assert!(child.wait().unwrap().success(), "{flags:?}");
        drop((reader, child));
        assert_eq!(open(), before, "{flags:?}");

        let (reader, writer) = std::io::pipe().unwrap();
        let refused = builder.cgroup(std::fs::File::open("/").unwrap());
        // SAFETY: no child begins.
        let error = unsafe { refused.spawn_with_fds([reader.into(), writer.into()], |_| 0) };
        assert!(error.is_err());
        // It holds the directory.
        drop(refused);
        assert_eq!(open(), before, "{flags:?}");
    }
}

/// What such a child had in thread-locals, and was to be dropped, is no matter of the next one.
#[test]
fn a_child_finds_nothing_of_one_that_did_not_return() {
    let test = "vm_closure::a_child_finds_nothing_of_one_that_did_not_return";
    if !in_subprocess(test) {
        return;
    }
    for index in 0..9 {
        // SAFETY: the child uses what a thread may.
        let child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(move || {
                DROPPED.with(|_| ());
                last_deed(index)
            })
        };
        child.unwrap().wait().unwrap();
        // SAFETY: the child uses what a thread may.
        let child = unsafe {
            Builder::new().flags(CloneFlags::VM).spawn(|| {
                let fresh = SEEN.get() == 0 && *libc::__errno_location() == 0;
                let text = format!("{:?}", std::hint::black_box(vec![1u8; 4000]));
                i32::from(fresh && text.len() > 4000)
            })
        };
        assert_eq!(child.unwrap().wait().unwrap().code(), Some(1), "{index}");
        assert_eq!(DROPS.load(Ordering::SeqCst), 0, "{index}");
    }
}
