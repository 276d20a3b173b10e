//! Without clone3: a sandbox answers ENOSYS, or EPERM, and everything that legacy clone can do
//! still works.

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command, Fork, Namespaces, fork};

use crate::{common, filter};

/// Has clone3 answer `errno` in this process from now on.
fn forbid_clone3(errno: i32) {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        // The system call's number is the first word of seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_clone3 as u32,
        ),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a valid filter for every thread of this process (TSYNC), which is this test's own.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &program,
        );
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}

/// `identities`: whether the C library makes threads here; glibc knows ENOSYS alone.
fn everything_works(identities: bool) {
    // SAFETY: the children compute and exit.
    unsafe {
        for flags in [
            CloneFlags::empty(),
            CloneFlags::VM,
            CloneFlags::VM | CloneFlags::VFORK,
            CloneFlags::VM | CloneFlags::FILES | CloneFlags::FS | CloneFlags::SIGHAND,
        ] {
            for own_tls in [identities, false] {
                let mut child = Builder::new()
                    .flags(flags)
                    .own_tls(own_tls)
                    .spawn(|| 3)
                    .unwrap_or_else(|error| panic!("{flags:?} {own_tls}: {error}"));
                assert_eq!(child.wait().unwrap().code(), Some(3), "{flags:?}");
            }
        }
        match fork().unwrap() {
            Fork::Child => libc::_exit(4),
            Fork::Parent(mut child) => assert_eq!(child.wait().unwrap().code(), Some(4)),
        }
        // Only clone3 knows this flag.
        let error = Builder::new()
            .flags(CloneFlags::CLEAR_SIGHAND)
            .spawn(|| 0)
            .unwrap_err();
        assert!(error.raw_os_error().is_some());
    }
    extern "C" fn handler(_: i32) {}
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGUSR1, handler as extern "C" fn(i32) as usize) };
    let output = Command::new("grep")
        .args(["SigCgt", "/proc/self/status"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let caught = u64::from_str_radix(text.split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(caught >> (libc::SIGUSR1 - 1) & 1, 0, "a handler survived");
    let error = Command::new("/no/such").spawn().unwrap_err();
    assert_eq!(error.operation(), Some("execve"));
    drop(Command::new("sleep").arg("0.01").spawn().unwrap());
}

#[test]
fn processes_are_made_where_clone3_says_enosys() {
    if common::in_subprocess("sandbox::processes_are_made_where_clone3_says_enosys") {
        forbid_clone3(libc::ENOSYS);
        everything_works(true);
    }
}

#[test]
fn processes_are_made_where_clone3_says_eperm() {
    if common::in_subprocess("sandbox::processes_are_made_where_clone3_says_eperm") {
        forbid_clone3(libc::EPERM);
        everything_works(false);
    }
}

/// What only clone3 can do fails, and the reason is the filter, not a right.
#[test]
fn the_error_says_that_a_filter_refuses_clone3() {
    if !common::in_subprocess("sandbox::the_error_says_that_a_filter_refuses_clone3") {
        return;
    }
    let directory = std::fs::File::open("/").unwrap();
    forbid_clone3(libc::EPERM);
    let errors = [
        Command::new("true")
            .namespaces(Namespaces::TIME)
            .status()
            .unwrap_err(),
        Command::new("true").cgroup(directory).status().unwrap_err(),
        // SAFETY: the child returns at once.
        unsafe { Builder::new().set_tid(&[4321]).spawn(|| 0) }
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
        let text = error.to_string();
        assert!(text.contains("refuses clone3 whatever"), "{text}");
        assert!(!text.contains("CAP_"), "{text}");
    }
}

/// What was learnt of clone3 before the sandbox closed must not be believed later.
#[test]
fn processes_are_made_after_clone3_went_away() {
    if common::in_subprocess("sandbox::processes_are_made_after_clone3_went_away") {
        assert!(Command::new("true").status().unwrap().success());
        forbid_clone3(libc::ENOSYS);
        everything_works(true);
    }
}

/// Without clone3 there is no CLEAR_SIGHAND: signals must be blocked until the child itself has
/// reset its caller's handlers.
#[test]
fn no_handler_of_the_parent_runs_in_the_child_without_clone3() {
    if common::in_subprocess("sandbox::no_handler_of_the_parent_runs_in_the_child_without_clone3") {
        forbid_clone3(libc::ENOSYS);
        crate::settings::spawn_in_a_storm_of_signals();
    }
}

/// A call that the crate prefers, and an older one does the same: std gets along with the older.
#[test]
fn a_sandbox_may_refuse_newer_calls() {
    let test = "sandbox::a_sandbox_may_refuse_newer_calls";
    if !common::in_subprocess(test) {
        return;
    }
    // SAFETY: 9 is free in this process; it stays open across execve.
    assert_eq!(unsafe { libc::dup2(0, 9) }, 9);
    for errno in [libc::ENOSYS, libc::EPERM] {
        for call in [
            libc::SYS_waitid,
            libc::SYS_close_range,
            libc::SYS_dup3,
            libc::SYS_ppoll,
            libc::SYS_rt_sigaction,
            libc::SYS_setresuid,
            libc::SYS_pidfd_send_signal,
            libc::SYS_pidfd_open,
            libc::SYS_clone3,
        ] {
            // The filter is the thread's and its children's.
            let thread = std::thread::spawn(move || {
                if !filter::refuse(call, None, errno) {
                    println!("SKIP: no filters here");
                    return;
                }
                let is_open = "true <&9 && echo open || echo closed";
                let mut command = Command::new("sh");
                command.args(["-c", is_open]);
                assert_eq!(command.output().unwrap().stdout, b"open\n");
                assert_eq!(command.close_others().output().unwrap().stdout, b"closed\n");

                let mut child = Command::new("sleep")
                    .arg("600")
                    .process_group(0)
                    .spawn()
                    .unwrap();
                assert_eq!(child.try_wait().unwrap(), None);
                child.kill().unwrap();
                let status = child.wait_group().unwrap();
                assert_eq!(status.signal(), Some(libc::SIGKILL));
                assert!(child.usage().is_some());
                let mut child = Command::new("sleep").arg("600").spawn().unwrap();
                let soon = std::time::Duration::from_millis(2);
                assert_eq!(child.wait_timeout(soon).unwrap(), None);
                child.kill().unwrap();
                child.wait().unwrap();
                if crate::settings::is_root() {
                    let output = Command::new("id").arg("-ru").uid(65534).output().unwrap();
                    assert_eq!(output.stdout, b"65534\n");
                }
                assert_eq!(Command::new("false").status().unwrap().code(), Some(1));
            });
            assert!(thread.join().is_ok(), "{call} {errno}");
        }
    }
}

/// Before Linux 5.11 each descriptor is marked, and without /proc each number.
#[test]
fn others_are_closed_without_proc_too() {
    let test = "sandbox::others_are_closed_without_proc_too";
    if !crate::util::user_namespaces() || !common::in_subprocess(test) {
        return;
    }
    // SAFETY: 9 is free in this process; the limit is for the loop over all numbers to be short.
    unsafe {
        assert_eq!(libc::dup2(0, 9), 9);
        let limit = libc::rlimit {
            rlim_cur: 4096,
            rlim_max: 4096,
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    if !filter::refuse(libc::SYS_close_range, None, libc::ENOSYS) {
        println!("SKIP: no filters here");
        return;
    }
    let mut command = Command::new("sh");
    let private = libc::MS_REC | libc::MS_PRIVATE;
    command
        .args([
            "-c",
            "test -e /proc/self || true <&9 && echo open || echo closed",
        ])
        .close_others()
        .namespaces(Namespaces::USER | Namespaces::MOUNT)
        .before_exec(BeforeExec::mount("", "/", "", private, ""))
        .before_exec(BeforeExec::mount("none", "/proc", "tmpfs", 0, ""));
    match command.output() {
        Ok(output) => assert_eq!(output.stdout, b"closed\n"),
        Err(error) => println!("SKIP: /proc cannot be covered here: {error}"),
    }
}

/// A dynamic loader cannot do without it, but a spawn can: what the program becomes is its own affair.
#[test]
fn a_sandbox_may_refuse_to_protect_memory() {
    let test = "sandbox::a_sandbox_may_refuse_to_protect_memory";
    if !common::in_subprocess(test) {
        return;
    }
    for errno in [libc::ENOSYS, libc::EPERM] {
        let thread = std::thread::spawn(move || {
            if !filter::refuse(libc::SYS_mprotect, None, errno) {
                println!("SKIP: no filters here");
                return;
            }
            // This thread's first spawn: it maps the stack with its guard.
            let mut child = Command::new("true").spawn().unwrap();
            child.wait().unwrap();
        });
        assert!(thread.join().is_ok(), "{errno}");
    }
}
