//! `process::Command`: what it runs, how it is found and connected, and how failure is told.

use std::os::fd::{AsRawFd, OwnedFd};

use rawthread::ErrorKind;
use rawthread::process::{BeforeExec, Command, Namespaces, Rlimit, Stdio};

use crate::common::{self, Directory};
use crate::util::{self, sh};

#[test]
fn arguments_environment_and_directory_arrive() {
    assert_eq!(
        sh("echo \"$0|$1|$2\"", |c| {
            c.args(["a b", "", "c"]);
        }),
        "a b||c"
    );
    assert_eq!(
        sh("echo $A$B", |c| {
            c.env("A", "1").env("B", "2").env("A", "3");
        }),
        "32"
    );
    assert_eq!(
        sh("echo ${A-unset}", |c| {
            c.env("A", "1").env_remove("A");
        }),
        "unset"
    );
    assert_eq!(
        sh("echo ${A-unset}", |c| {
            c.env("A", "1").env_clear();
        }),
        "unset"
    );
    assert_eq!(
        sh("echo $HOME", |_| ()),
        std::env::var("HOME").unwrap_or_default()
    );
    assert_eq!(
        sh("pwd", |c| {
            c.current_dir(std::path::Path::new("/usr"));
        }),
        "/usr"
    );
}

#[test]
fn a_failure_names_its_step_and_leaves_no_child() {
    if !common::in_subprocess("command::a_failure_names_its_step_and_leaves_no_child") {
        return;
    }
    let check = |step: &str, errno: i32, configure: &dyn Fn(&mut Command)| {
        let mut command = Command::new("/bin/true");
        configure(&mut command);
        let error = command.spawn().expect_err(step);
        assert_eq!(error.operation(), Some(step), "{error}");
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        assert_eq!(error.kind(), ErrorKind::Os);
        // SAFETY: any child of this process is this test's.
        let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        assert_eq!(left, -1, "{step}: a child is left");
    };
    check("chdir", libc::ENOENT, &|c| {
        c.current_dir("/no/such");
    });
    check("setpgid", libc::EPERM, &|c| {
        c.process_group(1);
    });
    check("prlimit64", libc::EINVAL, &|c| {
        c.rlimit(Rlimit::Core, 1, 0);
    });
    check("rt_sigaction", libc::EINVAL, &|c| {
        c.default_signal(rawthread::Signal::new(libc::SIGKILL).unwrap());
    });
    check("fcntl(F_SETFD)", libc::EBADF, &|c| {
        c.descriptor(77, Stdio::inherit());
    });
    check("dup3", libc::EBADF, &|c| {
        // SAFETY: not open, on purpose.
        c.descriptor(1, unsafe { Stdio::borrowed(-1) });
    });
    check("ioctl(TIOCSCTTY)", libc::ENOTTY, &|c| {
        let null = std::fs::File::open("/dev/null").unwrap();
        c.new_session().controlling_terminal(null.as_raw_fd());
        std::mem::forget(null);
    });
    if crate::settings::is_root() {
        check("chroot", libc::ENOTDIR, &|c| {
            c.chroot("/bin/true");
        });
        check("mount", libc::ENOENT, &|c| {
            c.before_exec(BeforeExec::mount("/", "/no/such", "", libc::MS_BIND, ""));
        });
        check("execve", libc::ENOENT, &|c| {
            c.chroot("/proc");
        });
    } else {
        println!("SKIP: chroot and mount need root");
    }
    for (program, errno) in [
        ("/no/such", libc::ENOENT),
        ("no-such-program", libc::ENOENT),
        ("", libc::ENOENT),
        ("/etc/passwd", libc::EACCES),
        ("/bin", libc::EACCES),
        ("/bin/true/x", libc::ENOTDIR),
    ] {
        // Not the caller's PATH: it may name directories that this user may not search.
        let found = Command::new(program).env("PATH", "/bin:/usr/bin").spawn();
        let error = found.unwrap_err();
        assert_eq!(error.operation(), Some("execve"), "{program}");
        assert_eq!(error.raw_os_error(), Some(errno), "{program}");
        let text = error.to_string();
        let io = std::io::Error::from(error);
        assert_eq!(io.to_string(), text);
        assert_eq!(io.kind(), std::io::Error::from_raw_os_error(errno).kind());
        let inner = io
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rawthread::Error>());
        assert_eq!(inner.and_then(rawthread::Error::raw_os_error), Some(errno));
    }
}

#[test]
fn a_nul_is_refused_before_anything_happens() {
    for command in [
        &mut Command::new("a\0b"),
        Command::new("true").arg("\0"),
        Command::new("true").env("A", "\0"),
        Command::new("true").current_dir("\0"),
        Command::new("true").before_exec(BeforeExec::host_name("\0")),
        Command::new("true").descriptor(3, Stdio::piped()),
    ] {
        assert_eq!(command.spawn().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn the_path_is_searched_as_execvp_does() {
    let directory = Directory::new("path");
    for sub in ["a", "b", "c"] {
        std::fs::create_dir(directory.path().join(sub)).unwrap();
    }
    util::write(
        &directory.path().join("a/tool"),
        "#!/bin/sh\necho a\n",
        0o644,
    ); // not executable
    util::write(
        &directory.path().join("b/tool"),
        "#!/bin/sh\necho b $0 $1\n",
        0o755,
    );
    util::write(&directory.path().join("c/raw"), "echo raw $0 $1\n", 0o755); // no format: for the shell
    let base = directory.path().to_str().unwrap();
    let run = |program: &str, path: &str| Command::new(program).arg("x").env("PATH", path).output();

    let tool = run("tool", &format!("/no/such:{base}/a:{base}/b:/bin")).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&tool.stdout),
        format!("b {base}/b/tool x\n")
    );
    // Nothing better than "permission denied" was found.
    let denied = run("tool", &format!("{base}/a:/no/such:/etc/passwd")).unwrap_err();
    assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
    let raw = run("raw", &format!("{base}/b:{base}/c")).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&raw.stdout),
        format!("raw {base}/c/raw x\n")
    );
    // An empty part is the child's working directory.
    let mut here = Command::new("tool");
    here.env("PATH", "").current_dir(format!("{base}/b"));
    assert_eq!(here.output().unwrap().stdout, b"b tool\n");
}

/// No shell is asked to read a program for another machine; an empty script is one.
#[test]
fn a_binary_is_no_script() {
    let directory = Directory::new("binary");
    let run = |name: &str, text: &str| {
        let path = directory.path().join(name);
        util::write(&path, text, 0o755);
        Command::new(path).output()
    };
    let path = directory.path().join("elf");
    let mut elf = std::fs::read("/bin/sh").unwrap();
    elf.truncate(4096);
    elf[18] = 0xee; // e_machine
    util::write_bytes(&path, &elf, 0o755);
    let error = Command::new(&path).spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC), "{error}");
    assert!(run("empty", "").unwrap().status.success());
    assert_eq!(run("long", &"echo a; #".repeat(20)).unwrap().stdout, b"a\n");
}

#[test]
fn descriptors_take_any_permutation() {
    if !common::in_subprocess("command::descriptors_take_any_permutation") {
        return;
    }
    let directory = Directory::new("fds");
    let open = |name: &str| -> OwnedFd {
        util::write(&directory.path().join(name), name, 0o644);
        std::fs::File::open(directory.path().join(name))
            .unwrap()
            .into()
    };
    let (one, two) = (open("one"), open("two"));
    // Swap: what is `two` here is under the number of `one` there, and the other way round.
    let (a, b) = (one.as_raw_fd(), two.as_raw_fd());
    let script = format!("cat /proc/self/fd/{a}; echo; cat /proc/self/fd/{b}");
    let swapped = sh(&script, |c| {
        // SAFETY: both stay open until the end of the test.
        unsafe {
            c.descriptor(a, Stdio::borrowed(b));
            c.descriptor(b, Stdio::borrowed(a));
        }
    });
    assert_eq!(swapped, "two\none");
    // The parent's own are where they were, and not inherited unless asked for.
    let leak = format!("test -e /proc/self/fd/{b} && echo open || echo closed");
    assert_eq!(sh(&leak, |_| ()), "closed");
    // 0, 1, 2, and the shell's own for listing.
    let list = "set /proc/self/fd/*; echo $#";
    assert_eq!(
        sh(list, |c| {
            c.close_others();
        }),
        "4"
    );
    let kept = sh(&format!("cat /proc/self/fd/{a}"), |c| {
        c.descriptor(a, Stdio::inherit()).close_others();
    });
    assert_eq!(kept, "one");
    // SAFETY: makes the descriptor inheritable on purpose; no other test runs here.
    unsafe { libc::fcntl(b, libc::F_SETFD, 0) };
    assert_eq!(sh(&leak, |_| ()), "open");
    assert_eq!(
        sh(&leak, |c| {
            c.close_others();
        }),
        "closed"
    );
}

#[test]
fn both_pipes_are_drained_however_full() {
    let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert_eq!(
        (output.stdout.len(), output.stderr.len()),
        (600_000, 300_000)
    );
}

#[test]
fn pipes_can_be_chained() {
    use std::io::Write;
    let mut first = Command::new("tr")
        .args(["a-z", "A-Z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let second = Command::new("rev")
        .stdin(first.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn();
    first.stdin.take().unwrap().write_all(b"abc\n").unwrap();
    first.wait().unwrap();
    match second {
        Ok(second) => assert_eq!(second.wait_with_output().unwrap().stdout, b"CBA\n"),
        Err(error) => println!("SKIP: no rev: {error}"),
    }
}

/// The parent's handler must not run in the child, which shares the parent's memory.
#[test]
fn errno_and_thread_locals_of_the_caller_survive() {
    thread_local!(static MARK: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    MARK.set(77);
    // SAFETY: errno is this thread's.
    unsafe { *libc::__errno_location() = 123 };
    let failed = Command::new("/no/such").spawn();
    // SAFETY: as above.
    assert_eq!(unsafe { *libc::__errno_location() }, 123);
    assert_eq!(MARK.get(), 77);
    assert!(failed.is_err());
}

#[test]
fn nothing_leaks() {
    if !common::in_subprocess("command::nothing_leaks") {
        return;
    }
    let count = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count();
        (fds, maps)
    };
    let round = || {
        assert!(Command::new("true").output().unwrap().status.success());
        assert!(
            Command::new("/no/such")
                .stdin(Stdio::piped())
                .output()
                .is_err()
        );
        assert!(
            Command::new("true")
                .namespaces(Namespaces::USER)
                .uid_map(0, 0, 2)
                .uid_map(1, 5, 2)
                .output()
                .is_err()
        );
        drop(Command::new("true").spawn().unwrap());
    };
    round();
    common::poll_until("the first round's reaper is gone", || {
        std::fs::read_dir("/proc/self/task").unwrap().count() <= 2
    });
    let before = count();
    for _ in 0..20 {
        round();
    }
    // Reapers that overlap have a stack each, which stays for the next; a leak would show 20 times.
    common::poll_until("everything is given back", || {
        let now = count();
        now.0 == before.0 && now.1 < before.1 + 15
    });
}

#[test]
fn a_command_can_be_spawned_again() {
    let directory = Directory::new("again");
    let file = std::fs::File::create(directory.path().join("out")).unwrap();
    let mut command = Command::new("echo");
    command.arg("x").stdout(file);
    for _ in 0..3 {
        assert!(command.status().unwrap().success());
    }
    assert_eq!(
        std::fs::read_to_string(directory.path().join("out")).unwrap(),
        "x\nx\nx\n"
    );
}
