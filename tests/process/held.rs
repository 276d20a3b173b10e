//! Children that wait for their parent before they begin.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command, Namespaces};
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
    let ended = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        // SAFETY: asks for one child, and reaps it.
        let reaped =
            unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        reaped == child || state_of(child).is_none()
    });
    if !ended {
        // It holds what the test writes to.
        // SAFETY: a child of this process, which is not reaped.
        unsafe { libc::kill(child, libc::SIGKILL) };
        panic!("the abandoned child waits on");
    }
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

const SHARINGS: [CloneFlags; 5] = [
    CloneFlags::empty(),
    CloneFlags::FILES,
    CloneFlags::VM,
    CloneFlags::VM.union(CloneFlags::FILES),
    CloneFlags::VM.union(CloneFlags::VFORK),
];

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Steps come before the closure, and the one that fails is spawn's error, whatever is shared.
#[test]
fn a_closure_begins_after_its_steps() {
    let test = "held::a_closure_begins_after_its_steps";
    if !in_subprocess(test) {
        return;
    }
    for flags in SHARINGS {
        let before = descriptors();
        let builder = Builder::new()
            .flags(flags)
            .before_start(BeforeExec::nice(3))
            .before_start(BeforeExec::no_new_privileges());
        // SAFETY: the child makes a system call.
        let spawned = unsafe { builder.spawn(|| libc::getpriority(libc::PRIO_PROCESS, 0)) };
        let mut child = spawned.unwrap_or_else(|error| panic!("{flags:?}: {error}"));
        assert_eq!(child.wait().unwrap().code(), Some(3), "{flags:?}");
        drop(child);

        let failing = builder.before_start(BeforeExec::unmount("/no/such", 0));
        let held = std::sync::Arc::new(());
        let kept = held.clone();
        // SAFETY: the child does not come to its closure.
        let error = unsafe {
            failing.spawn(move || {
                drop(kept);
                0
            })
        };
        assert_eq!(error.unwrap_err().operation(), Some("umount2"), "{flags:?}");
        assert_eq!(
            std::sync::Arc::strong_count(&held),
            1,
            "{flags:?}: a closure is lost"
        );
        assert_eq!(descriptors(), before, "{flags:?}: descriptors leak");
    }
}

/// A child that dies amid its steps does not keep its parent waiting, even in one table.
#[test]
fn a_child_that_dies_amid_its_steps_is_an_error() {
    let test = "held::a_child_that_dies_amid_its_steps_is_an_error";
    if !in_subprocess(test) {
        return;
    }
    // ld nr; jeq umount2; kill; allow.
    let filter: Vec<u8> = [
        (0x20u16, 0u8, 0u8, 0u32),
        (0x15, 0, 1, libc::SYS_umount2 as u32),
        (0x06, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        (0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .iter()
    .flat_map(|(code, yes, no, value)| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([*yes, *no]);
        bytes.extend(value.to_ne_bytes());
        bytes
    })
    .collect();
    for flags in SHARINGS {
        if flags.contains(CloneFlags::VFORK) {
            continue;
        }
        // The filter binds what is made by a thread that has it.
        let filter = filter.clone();
        let thread = std::thread::spawn(move || {
            let program = libc::sock_fprog {
                len: 4,
                filter: filter.as_ptr().cast_mut().cast(),
            };
            // SAFETY: a valid filter, for this thread alone.
            unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program);
            }
            let builder = Builder::new()
                .flags(flags)
                .before_start(BeforeExec::unmount("/no/such", 0));
            // SAFETY: the child dies before its closure.
            unsafe { builder.spawn(|| 0) }.unwrap_err()
        });
        let error = thread.join().unwrap();
        assert_eq!(error.operation(), Some("clone3"), "{flags:?}: {error}");
    }
}

#[test]
fn a_process_becomes_a_program() {
    let test = "held::a_process_becomes_a_program";
    const ROLE: &str = "RAWTHREAD_TEST_EXEC";
    if is_child(test) {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ $PPID; umask; exit 7"]);
        command.before_exec(BeforeExec::umask(0o071));
        if std::env::var_os(ROLE).is_some() {
            panic!("{}", command.exec());
        }
        let missing = Command::new("/no/such").exec();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        let refused = Command::new("true").namespaces(Namespaces::UTS).exec();
        assert_eq!(refused.kind(), rawthread::ErrorKind::InvalidInput);
        return;
    }
    assert!(rerun_self(test).output().unwrap().status.success());
    let child = rerun_self(test)
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = format!("{pid} {}\n0071\n", std::process::id());
    assert!(text.ends_with(&expected), "{text}");
}

/// What a hook says reaches the caller of `spawn`.
#[test]
fn the_text_of_a_hooks_error_is_kept() {
    let error = Command::new("true")
        .parent_hook(|_| Err(std::io::Error::other("newuidmap said no").into()))
        .spawn()
        .unwrap_err();
    assert_eq!(error.to_string(), "newuidmap said no");
}
