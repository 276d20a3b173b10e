//! `Command::exec`: what the program has, and what is left as it was where it fails.

use std::io::Write;
use std::os::fd::AsRawFd;

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Command, Rlimit, Stdio};
use rawthread::{Signal, SignalSet};

use crate::common::{assert_output, in_subprocess, is_child, poll_until, rerun_self};
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

fn hard_limit() -> u64 {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: written by the kernel.
    unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_max
}

fn death_signal() -> i32 {
    let mut signal = 0;
    // SAFETY: written by the kernel.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &mut signal) };
    signal
}

/// A command without its program.
fn missing() -> Command {
    Command::new("/no/such")
}

#[track_caller]
fn assert_missing(error: &rawthread::Error) {
    assert_eq!(error.operation(), Some("execve"), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
}

#[test]
fn a_failed_exec_puts_back_mask_actions_limits_and_descriptors() {
    let test = "exec::a_failed_exec_puts_back_mask_actions_limits_and_descriptors";
    if !in_subprocess(test) {
        return;
    }
    keep_a_thread();
    let signal = |number| Signal::new(number).unwrap();
    let mut blocked = SignalSet::empty();
    blocked.insert(signal(libc::SIGUSR1));
    // SAFETY: no handler; a number that is free.
    let number = unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::fcntl(temporary().as_raw_fd(), libc::F_DUPFD_CLOEXEC, 60)
    };
    let target = || std::fs::read_link(format!("/proc/self/fd/{number}"));
    let all = || (state(), limits(), dumpable(), death_signal(), target().ok());
    let before = all();
    let error = missing()
        // Below the number that is put back.
        .rlimit(Rlimit::OpenFiles, 50, hard_limit())
        .descriptor(number, Stdio::null())
        .parent_death_signal(signal(libc::SIGUSR2))
        .signal_mask(blocked)
        .default_signal(signal(libc::SIGINT))
        .exec();
    assert_missing(&error);
    assert_eq!(all(), before);
}

/// The steps are the calling thread's where the kernel has them for a thread.
#[test]
fn a_failed_exec_changes_no_other_thread_but_for_what_is_the_process_s() {
    let test = "exec::a_failed_exec_changes_no_other_thread_but_for_what_is_the_process_s";
    if !in_subprocess(test) {
        return;
    }
    let tid = keep_a_thread();
    let task = format!("/proc/self/task/{tid}");
    let other = || state_of(std::path::Path::new(&task));
    let before = other();
    let error = missing()
        .current_dir("/proc")
        .before_exec(BeforeExec::umask(0o071))
        .before_exec(BeforeExec::nice(7))
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::refuse_calls([libc::SYS_uname], libc::EPERM))
        .exec();
    assert_missing(&error);
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(own.contains("NoNewPrivs:\t1"));
    assert_eq!(std::env::current_dir().unwrap().as_os_str(), "/proc");
    let process_s = |line: &&str| !line.starts_with("Umask");
    let lines = |state: &str| {
        let status = state.split('"').next().unwrap();
        status
            .lines()
            .filter(process_s)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(lines(&other()), lines(&before));
}

/// The `Uid`, `Gid` and `Groups` of every thread. The links in `/proc` of a process that took over other ids cannot be
/// read.
fn ids() -> Vec<String> {
    let ids = |task: std::io::Result<std::fs::DirEntry>| {
        let names = ["Uid", "Gid", "Groups"];
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let lines = status.lines().map(str::trim_end);
        let lines = lines.filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.collect::<Vec<_>>().join(" ")
    };
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(ids)
        .collect()
}

/// A process of several minds would be ended by the next change of ids: libc finds that its threads' answers differ.
#[test]
fn a_failed_exec_leaves_every_thread_with_the_same_ids() {
    let test = "exec::a_failed_exec_leaves_every_thread_with_the_same_ids";
    if !is_root() {
        println!("SKIP: other ids take root");
        return;
    }
    const STEP: &str = "RAWTHREAD_TEST_STEP";
    if !is_child(test) {
        for step in ["", "1"] {
            let output = rerun_self(test).env(STEP, step).output().unwrap();
            assert_output(test, &output);
        }
        return;
    }
    keep_a_thread();
    let mut command = missing();
    match std::env::var(STEP).unwrap().as_str() {
        "" => command.uid(65534).gid(65533).groups([]),
        _ => command.before_exec(BeforeExec::set_ids(65534, 65533)),
    };
    assert_missing(&command.exec());
    let found = ids();
    assert!(found.len() > 1);
    for thread in &found {
        let ids = "Uid:\t65534\t65534\t65534\t65534 Gid:\t65533\t65533\t65533\t65533 Groups:";
        assert_eq!(thread, ids, "{found:?}");
    }
    // SAFETY: numbers; no thread has the right.
    assert_eq!(unsafe { libc::setegid(12) }, -1);
    // Memory that was read by other rights stays unreadable to the new ids.
    assert_eq!(dumpable(), suid_dumpable());
}

fn suid_dumpable() -> i32 {
    let text = std::fs::read_to_string("/proc/sys/fs/suid_dumpable");
    text.map_or(0, |text| text.trim().parse().unwrap())
}

#[test]
fn an_exec_that_fails_in_its_parent_s_memory_leaves_the_parent_s_ids() {
    let test = "exec::an_exec_that_fails_in_its_parent_s_memory_leaves_the_parent_s_ids";
    if !is_root() {
        println!("SKIP: other ids take root");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    keep_a_thread();
    let before = ids();
    let builder = Builder::new().flags(CloneFlags::VM);
    // SAFETY: the child has a TCB of its own and changes nothing of its parent's.
    let child = unsafe {
        builder.spawn(|| {
            let error = missing().uid(65534).gid(65533).groups([1]).exec();
            let [uid, gid] = [libc::getuid(), libc::getgid()];
            let own = (error.raw_os_error(), uid, gid);
            i32::from(own != (Some(libc::ENOENT), 65534, 65533))
        })
    };
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(0));
    assert_eq!(ids(), before);
}

/// No memory is left to the process by the program's limit.
#[test]
fn a_failed_exec_survives_the_limits_of_its_program() {
    let test = "exec::a_failed_exec_survives_the_limits_of_its_program";
    const HARD: &str = "RAWTHREAD_TEST_HARD_LIMIT";
    if !is_child(test) {
        for hard in ["", "1"] {
            let output = rerun_self(test).env(HARD, hard).output().unwrap();
            assert_eq!(output.status.code(), Some(9), "{output:?}");
        }
        return;
    }
    keep_a_thread();
    let long = format!("/{}", "y/".repeat(200_000));
    let hard = match std::env::var(HARD).unwrap().as_str() {
        "" => libc::RLIM_INFINITY,
        _ => 1,
    };
    let mut command = Command::new(&long);
    command.rlimit(Rlimit::AddressSpace, 1, hard);
    if is_root() {
        // It may not raise the hard limit again.
        command.uid(65534);
    }
    let error = command.exec();
    let is_named = error.raw_os_error() == Some(libc::ENAMETOOLONG);
    // SAFETY: ends the process without taking memory.
    unsafe { libc::_exit(if is_named { 9 } else { 1 }) }
}

/// A filter that gives `call` this answer and allows all others.
fn answer(call: i64, answer: u32) -> Vec<u8> {
    let instruction = |code: u32, [jt, jf]: [u8; 2], k: u32| {
        let [low, high] = (code as u16).to_ne_bytes();
        let [a, b, c, d] = k.to_ne_bytes();
        [low, high, jt, jf, a, b, c, d]
    };
    [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, [0, 0], 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            [0, 1],
            call as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, [0, 0], answer),
        instruction(libc::BPF_RET | libc::BPF_K, [0, 0], libc::SECCOMP_RET_ALLOW),
    ]
    .concat()
}

/// A filter of the command's own that kills the thread at execve: no thread is left that waits for it.
#[test]
fn a_thread_that_is_killed_in_exec_leaves_its_process() {
    let test = "exec::a_thread_that_is_killed_in_exec_leaves_its_process";
    if !in_subprocess(test) {
        return;
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: asks for a number.
        sender.send(unsafe { libc::gettid() }).unwrap();
        let filter = answer(libc::SYS_execve, libc::SECCOMP_RET_KILL_THREAD);
        missing()
            .before_exec(BeforeExec::no_new_privileges())
            .before_exec(BeforeExec::seccomp(filter))
            .exec()
    });
    let task = format!("/proc/self/task/{}", receiver.recv().unwrap());
    poll_until("the thread has gone", || {
        !std::path::Path::new(&task).exists()
    });
    let alone = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // The harness's thread and the test's.
    assert!(alone() <= 2);
}

/// Another thread opens a descriptor under a number that the program was to have.
#[test]
fn a_failed_exec_leaves_the_descriptors_that_other_threads_open() {
    let test = "exec::a_failed_exec_leaves_the_descriptors_that_other_threads_open";
    if !in_subprocess(test) {
        return;
    }
    const NUMBER: i32 = 70;
    let fifo = std::env::temp_dir().join(format!("rawthread-exec-{}", std::process::id()));
    let path = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a path; asks for a number.
    let tid = unsafe {
        assert_eq!(libc::mkfifo(path.as_ptr(), 0o600), 0);
        libc::gettid()
    };
    let call = format!("/proc/self/task/{tid}/syscall");
    let opens = format!("{} ", libc::SYS_openat);
    for directory in ["/", "/no/such"] {
        let mut own = temporary();
        own.write_all(b"own").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                poll_until("exec opens the pipe", || {
                    std::fs::read_to_string(&call).is_ok_and(|text| text.starts_with(&opens))
                });
                // SAFETY: a number that is free.
                assert_eq!(unsafe { libc::dup2(own.as_raw_fd(), NUMBER) }, NUMBER);
                // Now exec's step goes on.
                drop(std::fs::File::open(&fifo).unwrap());
            });
            let error = missing()
                .descriptor(NUMBER, Stdio::null())
                .current_dir(directory)
                .before_exec(BeforeExec::write_file(&fifo, "", None))
                .exec();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        });
        let mut text = [0; 4];
        // SAFETY: the kernel writes into the buffer; the number is this test's.
        unsafe {
            assert_eq!(libc::pread(NUMBER, text.as_mut_ptr().cast(), 4, 0), 3);
            libc::close(NUMBER);
        }
        assert_eq!(&text[..3], b"own");
    }
    std::fs::remove_file(&fifo).unwrap();
}

/// A child's parent is the thread that made it: it lives on in the program.
#[test]
fn children_of_the_calling_thread_keep_their_parent() {
    let test = "exec::children_of_the_calling_thread_keep_their_parent";
    if !is_child(test) {
        let output = rerun_self(test).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("ShdPnd:\t0000000000000000\n"), "{output:?}");
        return;
    }
    keep_a_thread();
    let signal = Signal::new(libc::SIGUSR1).unwrap();
    let mut blocked = SignalSet::empty();
    blocked.insert(signal);
    let child = Command::new("sleep")
        .arg("60")
        .parent_death_signal(signal)
        .signal_mask(blocked)
        .spawn()
        .unwrap();
    let pid = child.pid();
    std::mem::forget(child);
    let script = format!("echo; grep ShdPnd /proc/{pid}/status; kill -9 {pid}");
    let error = Command::new("sh")
        .args(["-c", &script])
        .before_exec(BeforeExec::umask(0o022))
        .exec();
    panic!("{error}");
}

/// This process's pid and record locks, the calling thread's signal mask and its parent-death signal.
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

/// The tid of a thread that stays.
fn keep_a_thread() -> i32 {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: asks for a number.
        sender.send(unsafe { libc::gettid() }).unwrap();
        // A park would take memory, perhaps when a test has left none.
        loop {
            // SAFETY: sleeps.
            unsafe { libc::pause() };
        }
    });
    receiver.recv().unwrap()
}

fn temporary() -> std::fs::File {
    use std::os::fd::FromRawFd;
    // SAFETY: a name; the call makes the descriptor for this caller, and it stays open.
    unsafe { std::fs::File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) }
}
