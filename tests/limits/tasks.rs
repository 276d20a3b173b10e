//! Limits on tasks: the user's, the control group's, the pid namespace's, the machine's.
#![allow(unsafe_code, reason = "changes limits and rights of its own process")]

use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use rawthread::{Builder, ErrorKind, Limit};

use crate::common;
use crate::many_threads::{self, Crowd, Expected};
use crate::util;

/// Whether the caller is the process of this test, whose user has no other task: nobody else is
/// that user, which has no rights.
fn alone_as_a_nobody(test: &str) -> bool {
    if !common::in_subprocess(test) {
        return false;
    }
    // SAFETY: asks for numbers, and changes ids of this process only.
    unsafe {
        if libc::geteuid() != 0 {
            println!("SKIP: only root can become a user of whom the number of tasks is known");
            return false;
        }
        let uid = 2_000_000_000 + libc::getpid() as u32;
        assert_eq!(libc::setresuid(uid, uid, uid), 0);
    }
    true
}

const PROCESSES: Expected = Expected {
    limit: Limit::Processes,
    value: 300,
    errno: libc::EAGAIN,
};

#[test]
fn rlimit_nproc_with_cold_slots() {
    if !alone_as_a_nobody("tasks::rlimit_nproc_with_cold_slots") {
        return;
    }
    util::set_limit(libc::RLIMIT_NPROC, PROCESSES.value);
    let own = util::tasks();
    assert_eq!(many_threads::meet(&PROCESSES, Builder::new) + own, 300);
}

#[test]
fn rlimit_nproc_with_warm_slots() {
    if !alone_as_a_nobody("tasks::rlimit_nproc_with_warm_slots") {
        return;
    }
    many_threads::warm_up(400, Builder::new);
    util::set_limit(libc::RLIMIT_NPROC, PROCESSES.value);
    let own = util::tasks();
    assert_eq!(many_threads::meet(&PROCESSES, Builder::new) + own, 300);
}

/// The first thread of a process is the one that finds out everything: it may fail as well.
#[test]
fn rlimit_nproc_at_the_very_first_thread() {
    if !alone_as_a_nobody("tasks::rlimit_nproc_at_the_very_first_thread") {
        return;
    }
    util::set_limit(libc::RLIMIT_NPROC, 1);
    let expected = Expected {
        value: 1,
        ..PROCESSES
    };
    for _ in 0..3 {
        expected.check(Builder::new().try_spawn(|| ()).unwrap_err());
    }
}

/// Processes meet the same limit, and name it alike.
#[test]
fn rlimit_nproc_for_processes() {
    if !alone_as_a_nobody("tasks::rlimit_nproc_for_processes") {
        return;
    }
    util::set_limit(libc::RLIMIT_NPROC, 1);
    let expected = Expected {
        value: 1,
        ..PROCESSES
    };
    // SAFETY: the child only exits.
    let made = unsafe { rawthread::process::Builder::new().spawn(|| 0) };
    expected.check(made.unwrap_err());
}

/// A control group of this test's, removed with what is in it when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes `name` in the hierarchy that limits pids, of either version.
    fn new(name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let top = mounts
            .lines()
            .find_map(|line| {
                let mut fields = line.split(' ').skip(1);
                let (place, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
                let v1 = kind == "cgroup" && options.split(',').any(|option| option == "pids");
                let v2 = kind == "cgroup2"
                    && fs::read_to_string(Path::new(place).join("cgroup.controllers"))
                        .is_ok_and(|list| list.split_whitespace().any(|name| name == "pids"));
                (v1 || v2).then(|| PathBuf::from(place))
            })
            .ok_or("no control groups with the controller pids")?;
        // Version 2 hands the controller down on demand; version 1 has no such file.
        let _ = fs::write(top.join("cgroup.subtree_control"), "+pids");
        let cgroup = Self(top.join(name));
        fs::create_dir(&cgroup.0).map_err(|error| format!("no control group: {error}"))?;
        Ok(cgroup)
    }

    fn limit_and_enter(&self, max: u64) -> Result<(), String> {
        let inner = self.0.join("inner");
        let _ = fs::write(self.0.join("cgroup.subtree_control"), "+pids");
        fs::write(self.0.join("pids.max"), max.to_string()).map_err(|error| error.to_string())?;
        fs::create_dir(&inner).map_err(|error| error.to_string())?;
        fs::write(inner.join("cgroup.procs"), "0").map_err(|error| error.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in [self.0.join("inner"), self.0.clone()] {
            if path.exists() {
                // Busy for as long as the kernel has a zombie in it.
                common::poll_until("the control group is empty", || {
                    fs::remove_dir(&path).is_ok()
                });
            }
        }
    }
}

/// The limit stands on a group above the process's own.
#[test]
fn cgroup_pids() {
    const TEST: &str = "tasks::cgroup_pids";
    const GROUP: &str = "RAWTHREAD_TEST_GROUP";
    if let Ok(group) = std::env::var(GROUP) {
        let expected = Expected {
            limit: Limit::CgroupPids,
            value: 60,
            errno: libc::EAGAIN,
        };
        let group = std::mem::ManuallyDrop::new(Cgroup(group.into()));
        if let Err(why) = group.limit_and_enter(expected.value) {
            skip!("control groups cannot be used: {why}");
        }
        let own = util::tasks();
        assert_eq!(many_threads::meet(&expected, Builder::new) + own, 60);
        assert_eq!(many_threads::meet(&expected, Builder::new) + own, 60);
        return;
    }
    let group = match Cgroup::new(&format!("rawthread-test-{}", std::process::id())) {
        Ok(group) => group,
        Err(why) => skip!("{why}"),
    };
    let output = common::rerun_self(TEST).env(GROUP, &group.0).output();
    common::assert_output(TEST, &output.unwrap());
}

/// In a pid namespace with a `pid_max` of its own (Linux 6.14), so that no other process meets it.
#[test]
fn pid_max() {
    const TEST: &str = "tasks::pid_max";
    const FILE: &str = "/proc/sys/kernel/pid_max";
    if std::env::var_os(INSIDE).is_some() {
        // SAFETY: asks for a number.
        assert_eq!(unsafe { libc::getpid() }, 1);
        let expected = Expected {
            limit: Limit::PidMax,
            value: 500,
            errno: libc::EAGAIN,
        };
        fs::write(FILE, expected.value.to_string()).unwrap();
        // Use every id once: those below 300 are not given out a second time.
        for _ in 0..600 {
            Builder::new().try_spawn(|| ()).unwrap().join().unwrap();
            common::poll_until("the id is free again", || util::tasks() <= 2);
        }
        for _ in 0..2 {
            assert_eq!(many_threads::meet(&expected, Builder::new), 200);
        }
        return;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) < (Some(6), Some(14)) {
        skip!("before Linux 6.14 pid_max is the whole machine's");
    }
    // SAFETY: asks whether such a namespace can be made, in a process that does nothing else.
    let can = unsafe {
        rawthread::process::Builder::new()
            .namespaces(rawthread::process::Namespaces::PID)
            .spawn(|| 0)
    };
    let Ok(mut can) = can else {
        skip!("no right to make a pid namespace");
    };
    can.wait().unwrap();
    let _alone = util::MACHINE.lock();
    let before = fs::read_to_string(FILE).unwrap();
    let mut command = common::rerun_self(TEST);
    // SAFETY: only system calls, in a process of one thread.
    unsafe { command.env(INSIDE, "1").pre_exec(enter_pid_namespace) };
    common::assert_output(TEST, &command.output().unwrap());
    assert_eq!(fs::read_to_string(FILE).unwrap(), before);
}

/// Set in the process that a test prepared a place for.
const INSIDE: &str = "RAWTHREAD_TEST_INSIDE";

/// Goes on as the first process of a new pid namespace; the caller itself waits for its end.
fn enter_pid_namespace() -> std::io::Result<()> {
    // SAFETY: the caller has one thread; the parent only waits and exits.
    unsafe {
        if libc::unshare(libc::CLONE_NEWPID) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        match libc::fork() {
            -1 => Err(std::io::Error::last_os_error()),
            0 => Ok(()),
            child => {
                // The reader of these pipes waits for the child, not for this process.
                libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                libc::_exit(if libc::WIFEXITED(status) {
                    libc::WEXITSTATUS(status)
                } else {
                    128 + libc::WTERMSIG(status)
                })
            }
        }
    }
}

/// The real thing would starve all other users of the machine: so a filter refuses clone, and the
/// process sees a `/proc` in which `threads-max` tasks exist.
#[test]
fn threads_max() {
    if !common::in_subprocess("tasks::threads_max") {
        return;
    }
    let shown = [
        ("/proc/loadavg", "0.00 0.00 0.00 1/5000 77\n"),
        ("/proc/sys/kernel/threads-max", "5000\n"),
    ];
    if let Err(why) = show(&shown) {
        skip!("/proc cannot be covered: {why}");
    }
    many_threads::warm_up(10, Builder::new);
    let mut crowd = Crowd::new();
    for _ in 0..5 {
        crowd.add(Builder::new()).unwrap();
    }
    refuse_clone(libc::EAGAIN);
    let expected = Expected {
        limit: Limit::ThreadsMax,
        value: 5000,
        errno: libc::EAGAIN,
    };
    // Five slots are ready; for more, libc is asked for a thread.
    expected.check(crowd.add(Builder::new()).unwrap_err());
    expected.check(crowd.add(Builder::new().stack_size(5 << 20)).unwrap_err());
    crowd.shrink(0);
}

/// Without a limit in sight none is blamed.
#[test]
fn a_refusal_at_no_known_limit() {
    if !common::in_subprocess("tasks::a_refusal_at_no_known_limit") {
        return;
    }
    many_threads::warm_up(1, Builder::new);
    refuse_clone(libc::EAGAIN);
    let error = Builder::new().try_spawn(|| ()).unwrap_err();
    assert_eq!(error.limit(), None, "{error}");
    assert_eq!(error.kind(), ErrorKind::Os, "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
}

/// Covers files with others of these contents, for this process only.
fn show(files: &[(&str, &str)]) -> std::io::Result<()> {
    let check = |returned: i32| match returned {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    let null = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: strings end in NUL; the mounts are in a namespace that ends with this process.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(null, c"/".as_ptr(), null, private, null.cast()))?;
    }
    for (index, (place, text)) in files.iter().enumerate() {
        let name = format!("rawthread-test-{}-{index}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text)?;
        let source = CString::new(path.to_str().unwrap()).unwrap();
        let target = CString::new(*place).unwrap();
        // SAFETY: as above.
        let mounted = unsafe {
            check(libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                null,
                libc::MS_BIND,
                null.cast(),
            ))
        };
        fs::remove_file(path)?;
        mounted?;
    }
    Ok(())
}

/// Has every further clone of this thread fail with `errno`.
fn refuse_clone(errno: i32) {
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut program = [
        // The number is the first word of struct seccomp_data.
        statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0),
        statement(jump, 1, 0, libc::SYS_clone3 as u32),
        statement(jump, 0, 1, libc::SYS_clone as u32),
        statement(give, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a program of five statements, read by the kernel here and now.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filter = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program),
            0
        );
    }
}
