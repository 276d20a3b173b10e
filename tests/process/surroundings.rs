//! Spawning from processes and threads that are not as usual.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Command, Rlimit, Stdio};

use crate::common::{in_subprocess, is_child, rerun_self};
use crate::settings::is_root;

/// Pipes land on 0 to 2 then, on each other's targets.
#[test]
fn a_parent_without_standard_streams() {
    let test = "surroundings::a_parent_without_standard_streams";
    const CLOSED: &str = "RAWTHREAD_TEST_CLOSED";
    if !is_child(test) {
        for closed in 0..8 {
            let output = rerun_self(test).env(CLOSED, closed.to_string()).output();
            // It can say nothing of a failure: its status does.
            assert_eq!(output.unwrap().status.code(), Some(9), "{closed:03b}");
        }
        return;
    }
    let closed: i32 = std::env::var(CLOSED).unwrap().parse().unwrap();
    for number in (0..3).filter(|number| closed >> number & 1 == 1) {
        // SAFETY: nothing of this process uses it any more.
        unsafe { libc::close(number) };
    }
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let right = || {
        let output = shell("cat; echo out; echo err >&2").output().ok()?;
        let mut fed = shell("read line; echo got $line; echo err >&2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut stdin = fed.stdin.take()?;
        std::io::Write::write_all(&mut stdin, b"x\n").ok()?;
        drop(stdin);
        let fed = fed.wait_with_output().ok()?;
        let bytes = shell("cat").stdin(Stdio::bytes("b").ok()?).output().ok()?;
        // What is inherited is closed there as here; what is piped is not in its place.
        let inherited =
            shell("for n in 0 1 2; do test -e /proc/$$/fd/$n && printf '%s ' $n; done; true")
                .stdout(Stdio::piped())
                .spawn()
                .ok()?
                .wait_with_output()
                .ok()?;
        let open = (0..3).filter(|number| *number == 1 || closed >> number & 1 == 0);
        let open: String = open.map(|number| format!("{number} ")).collect();
        Some(
            output.stdout == b"out\n"
                && output.stderr == b"err\n"
                && fed.stdout == b"got x\n"
                && fed.stderr == b"err\n"
                && bytes.stdout == b"b"
                && inherited.stdout == open.as_bytes()
                && shell("exit 3").status().ok()?.code() == Some(3),
        )
    };
    std::process::exit(if right() == Some(true) { 9 } else { 1 });
}

/// A process that has given up its ids for a while: with `uid` the program cannot take them again.
#[test]
fn no_saved_id_is_left() {
    let test = "surroundings::no_saved_id_is_left";
    if !is_root() {
        println!("SKIP: needs root, to keep it as the saved id");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    // SAFETY: plain calls, in a process of this test's own.
    unsafe {
        assert_eq!(libc::setresgid(65533, 65533, 0), 0);
        assert_eq!(libc::setresuid(65534, 65534, 0), 0);
    }
    let ids = |command: &mut Command| {
        let output = command
            .args(["-E", "^[UG]id", "/proc/self/status"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let text = ids(Command::new("grep").uid(65534).gid(65533));
    assert_eq!(
        text,
        "Uid:\t65534\t65534\t65534\t65534\nGid:\t65533\t65533\t65533\t65533\n"
    );
    // And back: the saved id is one that it may take.
    let text = ids(Command::new("grep").uid(0).gid(0));
    assert_eq!(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n");
}

/// A closure's child spawns in the memory that its parent spawns in.
#[test]
fn commands_are_run_from_a_child_in_the_same_memory() {
    let test = "surroundings::commands_are_run_from_a_child_in_the_same_memory";
    if !in_subprocess(test) {
        return;
    }
    fn run(count: usize) -> bool {
        (0..count).all(|index| {
            let code = (index % 100).to_string();
            let status = Command::new("sh")
                .args(["-c", &format!("exit {code}")])
                .status();
            status.is_ok_and(|status| status.code() == Some((index % 100) as i32))
        })
    }
    for flags in [CloneFlags::VM, CloneFlags::VM | CloneFlags::FILES] {
        // SAFETY: the child has a thread control block, and makes processes, as it may.
        let child = unsafe {
            Builder::new()
                .flags(flags)
                .stack_size(1 << 20)
                .spawn(|| i32::from(run(50)))
        };
        let mut child = child.unwrap();
        assert!(run(50));
        assert_eq!(child.wait().unwrap().code(), Some(1), "{flags:?}");
    }
}

/// The child is its thread's: it has that one's descriptors and directory.
#[test]
fn a_thread_with_a_table_and_a_directory_of_its_own() {
    // SAFETY: no object of another thread's is used in there.
    let thread = unsafe { rawthread::Builder::new().private_fds() }.private_cwd();
    let spawned = thread.spawn(|| {
        std::env::set_current_dir("/proc").unwrap();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let number = file.as_raw_fd();
        let script = format!("pwd; readlink /proc/self/fd/{number} | sed 's/[0-9]//g'");
        let output = Command::new("sh")
            .args(["-c", &script])
            .descriptor(number, file)
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"/proc\n/proc//status\n");
        // Dropped while it runs: the thread that reaps it has the table that has the pidfd.
        let child = Command::new("sleep").arg("0.05").spawn().unwrap();
        let pid = child.pid();
        drop(child);
        crate::common::poll_until("it is reaped", || crate::util::state_of(pid).is_none());
    });
    spawned.unwrap().join().unwrap();
}

/// Other threads change the ids of the whole process meanwhile, as libc does it: by signals.
#[test]
fn ids_change_while_children_are_made() {
    let test = "surroundings::ids_change_while_children_are_made";
    if !is_root() {
        println!("SKIP: needs root, to change ids");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                for uid in [65534, 0] {
                    // SAFETY: plain calls; the real id stays.
                    assert_eq!(unsafe { libc::setresuid(0, uid, 0) }, 0);
                }
            }
        });
        for _ in 0..100 {
            // An effective id that is not root's may give its child no other.
            let status = Command::new("true").parent_hook(|_| Ok(())).status();
            assert!(status.unwrap().success());
            if let Ok(status) = Command::new("true").uid(65533).status() {
                assert!(status.success());
            }
            let exec = || {
                // In its parent's memory, whose threads keep their ids.
                let error = Command::new("/no/such").uid(65532).exec();
                i32::from(error.operation().is_some())
            };
            // SAFETY: the child has a thread control block, and changes nothing of its parent's.
            let mut child = unsafe { Builder::new().flags(CloneFlags::VM).spawn(exec) }.unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(1));
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// The user has as many tasks as its limit allows: execve says so, after the change of ids.
#[test]
fn a_user_at_its_limit_of_tasks() {
    if !is_root() {
        println!("SKIP: needs root, to become another user");
        return;
    }
    const USER: u32 = 60_123;
    let mut first = Command::new("sleep").arg("600").uid(USER).spawn().unwrap();
    let error = Command::new("true")
        .rlimit(Rlimit::Processes, 0, 0)
        .uid(USER)
        .status()
        .unwrap_err();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(error.operation(), Some("execve"), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
    assert!(error.to_string().contains("RLIMIT_NPROC"), "{error}");
}

/// A file in memory is a file: the limit on a file's size ends a process that writes beyond it.
#[test]
fn bytes_beyond_the_limit_on_files_are_an_error() {
    let test = "surroundings::bytes_beyond_the_limit_on_files_are_an_error";
    if !in_subprocess(test) {
        return;
    }
    let limit = libc::rlimit {
        rlim_cur: 1000,
        rlim_max: 1000,
    };
    // SAFETY: the kernel reads it.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    assert!(Stdio::bytes([b'x'; 1000]).is_ok());
    let error = Stdio::bytes([b'x'; 1001]).map(drop).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFBIG), "{error}");
    assert!(error.to_string().contains("RLIMIT_FSIZE"), "{error}");
}

/// No zombie is kept for a wait: what the pidfd says must do.
#[test]
fn a_parent_that_keeps_no_zombies() {
    let test = "surroundings::a_parent_that_keeps_no_zombies";
    if !in_subprocess(test) {
        return;
    }
    extern "C" fn handler(_: i32) {}
    // SAFETY: a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_NOCLDWAIT | libc::SA_RESTART;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    for _ in 0..30 {
        let mut child = Command::new("sh")
            .args(["-c", "exit 7"])
            .pidfd(true)
            .spawn()
            .unwrap();
        match child.wait() {
            Ok(status) => assert_eq!(status.code(), Some(7)),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{error}");
                println!("SKIP: before Linux 6.15 no status is left");
                return;
            }
        }
        let error = Command::new("/no/such").spawn().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}

/// Orphans come to it: they are not taken for children of this crate's.
#[test]
fn a_parent_that_adopts_orphans() {
    let test = "surroundings::a_parent_that_adopts_orphans";
    if !in_subprocess(test) {
        return;
    }
    // SAFETY: sets a mark of the process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut child = Command::new("sh")
        .args(["-c", "(sleep 0.05; exit 4) & exit 3"])
        .process_group(0)
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut status = 0;
    // SAFETY: the kernel writes the status of the orphan.
    let orphan = unsafe { libc::waitpid(-1, &raw mut status, 0) };
    assert!(orphan > 0 && orphan != child.pid());
    assert_eq!(libc::WEXITSTATUS(status), 4);
}
