//! `Command::exec`: what the program has, and what is left as it was where it fails.

use std::os::fd::AsRawFd;

use rawthread::process::{BeforeExec, Command, Rlimit};
use rawthread::{Signal, SignalSet};

use crate::common::{in_subprocess, is_child, poll_until, rerun_self};
use crate::settings::is_root;

/// What a failed exec must not change, of every thread of this process.
fn state() -> Vec<String> {
    let mut threads: Vec<_> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    threads.sort();
    threads.iter().map(|path| state_of(path)).collect()
}

fn state_of(task: &std::path::Path) -> String {
    const KEPT: [&str; 15] = [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Cpus_allowed",
    ];
    let status = std::fs::read_to_string(task.join("status")).unwrap();
    let kept = status
        .lines()
        .filter(|line| KEPT.contains(&line.split(':').next().unwrap()));
    let link = |name: &str| std::fs::read_link(task.join(name)).unwrap();
    let number = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
    // SAFETY: asks for a number.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, number) };
    format!(
        "{} {:?} {:?} {nice}",
        kept.collect::<Vec<_>>().join("\n"),
        link("cwd"),
        link("root")
    )
}

fn limits() -> String {
    std::fs::read_to_string("/proc/self/limits").unwrap()
}

fn dumpable() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
}

fn fails_without_a_trace(configure: impl FnOnce(&mut Command)) {
    let signal = |number| Signal::new(number).unwrap();
    let mut blocked = SignalSet::empty();
    blocked.insert(signal(libc::SIGUSR1));
    let mut command = Command::new("/no/such");
    command
        .rlimit(Rlimit::OpenFiles, 50, hard_limit())
        .signal_mask(blocked)
        .default_signal(signal(libc::SIGINT));
    configure(&mut command);
    // SAFETY: no handler.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    // The C library blocks all signals while it makes a thread.
    let begin = |state: &String| state.contains("SigBlk:\tffff");
    poll_until("all threads have begun", || !state().iter().any(begin));
    let before = (state(), limits(), dumpable());
    let error = command.exec();
    assert_eq!(error.operation(), Some("execve"), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
    // The thread that failed may be seen a moment longer.
    poll_until("one thread has ended", || state().len() == before.0.len());
    assert_eq!((state(), limits(), dumpable()), before);
}

fn hard_limit() -> u64 {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: written by the kernel.
    unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_max
}

#[test]
fn a_failed_exec_leaves_every_thread_as_it_was() {
    let test = "exec::a_failed_exec_leaves_every_thread_as_it_was";
    if !in_subprocess(test) {
        return;
    }
    keep_a_thread();
    fails_without_a_trace(|command| {
        command
            .current_dir("/proc")
            .before_exec(BeforeExec::umask(0o071))
            .before_exec(BeforeExec::nice(7))
            .before_exec(BeforeExec::no_new_privileges())
            .before_exec(BeforeExec::refuse_calls([libc::SYS_uname], libc::EPERM));
    });
    if is_root() {
        fails_without_a_trace(|command| {
            command.uid(65534).gid(65533).groups([1, 2]).chroot("/proc");
        });
        fails_without_a_trace(|command| {
            command.before_exec(BeforeExec::set_ids(65534, 65533));
        });
    } else {
        println!("SKIP: other ids take root");
    }
}

/// A thread that was made for it becomes the program: with this process's pid, its record locks, the calling
/// thread's signal mask and its parent-death signal.
#[test]
fn a_program_has_what_its_process_and_the_calling_thread_had() {
    let test = "exec::a_program_has_what_its_process_and_the_calling_thread_had";
    const MASK: &str = "RAWTHREAD_TEST_MASK";
    if !is_child(test) {
        let output = rerun_self(test).output().unwrap();
        let masked = rerun_self(test).env(MASK, "1").output().unwrap();
        let text = String::from_utf8_lossy(&masked.stdout);
        assert!(text.contains("SigBlk:\t0000000000000800\n"), "{text}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("0071 /proc\n"), "{output:?}");
        assert!(text.contains("this pid\n"), "{text}");
        assert!(text.contains("locked\n"), "{text}");
        match text
            .lines()
            .find(|line| line.starts_with("Parent death signal"))
        {
            Some(line) => assert!(line.ends_with("USR1"), "{line}"),
            None => println!("SKIP: no setpriv that prints the parent-death signal"),
        }
        return;
    }
    let file = temporary();
    // SAFETY: plain calls; the parent outlives this process.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock), 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1);
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut mask, libc::SIGUSR2);
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut());
    }
    keep_a_thread();
    if std::env::var_os(MASK).is_some() {
        // A shell would unblock all signals.
        let mut grep = Command::new("grep");
        panic!(
            "{}",
            grep.args(["SigBlk", "self/status"])
                .current_dir("/proc")
                .exec()
        );
    }
    let script = format!(
        "echo; echo $(umask) $(pwd); test $$ = {} && echo this pid; \
         grep -q \"POSIX *ADVISORY *WRITE *$$ \" /proc/locks && echo locked; exec setpriv --dump",
        std::process::id()
    );
    let error = Command::new("sh")
        .args(["-c", &script])
        .current_dir("/proc")
        .before_exec(BeforeExec::umask(0o071))
        .exec();
    panic!("{error}");
}

fn keep_a_thread() {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
}

fn temporary() -> std::fs::File {
    use std::os::fd::FromRawFd;
    // SAFETY: a name; the call makes the descriptor for this caller, and it stays open.
    unsafe { std::fs::File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) }
}
