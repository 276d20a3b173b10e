//! `process::Command`: every setting, seen by the program that runs.

use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::process::{BeforeExec, Command, Namespaces, Rlimit};

use crate::common;
use crate::util::{self, sh};

fn signal(number: i32) -> rawthread::Signal {
    rawthread::Signal::new(number).unwrap()
}

pub(crate) fn is_root() -> bool {
    // SAFETY: asks for an id.
    unsafe { libc::geteuid() == 0 }
}

/// For setresuid(2) it means "leave as it is": root would stay root without a word.
#[test]
fn the_id_that_means_no_change_is_refused() {
    for configure in [Command::uid, Command::gid] {
        let error = configure(&mut Command::new("true"), u32::MAX)
            .spawn()
            .unwrap_err();
        assert_eq!(error.kind(), rawthread::ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn signals_start_as_documented() {
    if !common::in_subprocess("settings::signals_start_as_documented") {
        return;
    }
    static RAN: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: i32) {
        RAN.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: a handler that only counts; SIGUSR2 ignored; no other test runs in this process.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as extern "C" fn(i32) as usize);
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGHUP);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
    let bit = |signal: i32| 1u64 << (signal - 1);
    let bits = |configure: &dyn Fn(&mut Command)| {
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        configure(&mut command);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        // The parent of the tests may ignore other signals: they stay ignored.
        let ours = bit(libc::SIGUSR1) | bit(libc::SIGUSR2) | bit(libc::SIGPIPE);
        let set = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        (set("SigBlk"), set("SigIgn") & ours, set("SigCgt"))
    };
    let inherited = (bit(libc::SIGHUP), bit(libc::SIGUSR2), 0);
    assert_eq!(bits(&|_| ()), inherited);
    let set = bits(&|c| {
        c.signal_mask([signal(libc::SIGTERM), signal(64)].into_iter().collect())
            .default_signal(signal(libc::SIGUSR2));
    });
    assert_eq!(set, (bit(libc::SIGTERM) | bit(64), 0, 0));
    // The caller's own are as they were.
    // SAFETY: reads the mask; raises a signal that has a handler.
    unsafe {
        let mut now: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut now);
        assert_eq!(libc::sigismember(&now, libc::SIGHUP), 1);
        assert_eq!(libc::sigismember(&now, libc::SIGTERM), 0);
        libc::raise(libc::SIGUSR1);
    }
    assert_eq!(RAN.load(Ordering::SeqCst), 1);
}

#[test]
fn no_handler_of_the_parent_runs_in_the_child() {
    if common::in_subprocess("settings::no_handler_of_the_parent_runs_in_the_child") {
        spawn_in_a_storm_of_signals();
    }
}

/// Spawns while another thread sends a caught signal to this process and its children.
pub(crate) fn spawn_in_a_storm_of_signals() {
    static ELSEWHERE: AtomicU32 = AtomicU32::new(0);
    static HERE: AtomicU32 = AtomicU32::new(0);
    static PARENT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: i32) {
        // SAFETY: a system call.
        let pid = unsafe { libc::getpid() } as u32;
        let home = pid == PARENT.load(Ordering::SeqCst);
        if home { &HERE } else { &ELSEWHERE }.fetch_add(1, Ordering::SeqCst);
    }
    PARENT.store(std::process::id(), Ordering::SeqCst);
    // SAFETY: a handler of atomics; a process group of this process's own to send it to.
    unsafe {
        libc::setpgid(0, 0);
        libc::signal(libc::SIGWINCH, handler as extern "C" fn(i32) as usize);
    }
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::SeqCst) == 0 {
                // SAFETY: the group has this process and its children: SIGWINCH is ignored there.
                unsafe { libc::kill(0, libc::SIGWINCH) };
            }
        });
        for _ in 0..100 {
            assert!(Command::new("/bin/true").status().unwrap().success());
        }
        done.store(1, Ordering::SeqCst);
    });
    assert!(HERE.load(Ordering::SeqCst) > 0);
    assert_eq!(ELSEWHERE.load(Ordering::SeqCst), 0);
}

#[test]
fn sessions_groups_limits_and_masks_are_set() {
    let ids = "cut -d' ' -f1,5,6 /proc/$$/stat";
    let session: Vec<_> = sh(ids, |c| {
        c.new_session();
    })
    .split(' ')
    .map(str::to_owned)
    .collect();
    assert!(session[0] == session[1] && session[1] == session[2]);
    let group: Vec<_> = sh(ids, |c| {
        c.process_group(0);
    })
    .split(' ')
    .map(str::to_owned)
    .collect();
    assert!(group[0] == group[1] && group[1] != group[2]);
    assert_eq!(
        sh("ulimit -n", |c| {
            c.rlimit(Rlimit::OpenFiles, 33, 44);
        }),
        "33"
    );
    assert_eq!(
        sh("ulimit -Hn", |c| {
            c.rlimit(Rlimit::OpenFiles, 33, 44);
        }),
        "44"
    );
    assert_eq!(
        sh("umask", |c| {
            c.before_exec(BeforeExec::umask(0o123));
        }),
        "0123"
    );
    let privileges = "grep NoNewPrivs /proc/self/status";
    let given_up = sh(privileges, |c| {
        c.before_exec(BeforeExec::no_new_privileges());
    });
    assert_eq!(given_up, "NoNewPrivs:\t1");
}

#[test]
fn ids_are_dropped_and_the_parent_stays_what_it_was() {
    if !is_root() {
        println!("SKIP: needs root");
        return;
    }
    if !common::in_subprocess("settings::ids_are_dropped_and_the_parent_stays_what_it_was") {
        return;
    }
    let ids = "grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\\t ' ' '";
    let dropped = sh(ids, |c| {
        c.uid(65534).gid(65533);
    });
    assert_eq!(
        dropped,
        "Uid: 65534 65534 65534 65534\nGid: 65533 65533 65533 65533\nGroups:"
    );
    let grouped = sh(ids, |c| {
        c.uid(65534).gid(65533).groups([7, 8]);
    });
    assert!(grouped.ends_with("Groups: 7 8"), "{grouped}");
    // SAFETY: asks.
    unsafe {
        assert_eq!(libc::geteuid(), 0);
        assert_eq!(libc::prctl(libc::PR_GET_DUMPABLE), 1);
    }
    let error = Command::new("true")
        .uid(65534)
        .current_dir("/no/such")
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("chdir"));
}

#[test]
fn the_child_dies_with_the_thread_that_made_it() {
    let mut child = std::thread::spawn(|| {
        Command::new("sleep")
            .arg("60")
            .parent_death_signal(signal(libc::SIGTERM))
            .spawn()
            .unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn a_container_is_set_up_before_the_program_runs() {
    if !util::user_namespaces() {
        return;
    }
    // SAFETY: asks for ids.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let inside = sh(
        "echo $$; id -u; id -g; cat /proc/sys/kernel/hostname; ls /proc | grep -c '^[0-9]'",
        |c| {
            c.namespaces(
                Namespaces::USER
                    | Namespaces::PID
                    | Namespaces::MOUNT
                    | Namespaces::UTS
                    | Namespaces::IPC
                    | Namespaces::NET,
            )
            .uid_map(0, uid, 1)
            .gid_map(0, gid, 1)
            .before_exec(BeforeExec::mount(
                "",
                "/",
                "",
                libc::MS_REC | libc::MS_PRIVATE,
                "",
            ))
            .before_exec(BeforeExec::mount("proc", "/proc", "proc", 0, ""))
            .before_exec(BeforeExec::host_name("inside"));
        },
    );
    let lines: Vec<_> = inside.lines().collect();
    assert_eq!(lines[..4], ["1", "0", "0", "inside"]);
    // The shell and its pipeline, and no process of the host.
    assert!(lines[4].parse::<u32>().unwrap() <= 4, "{inside}");
    // A step that fails under id maps is reported the same way.
    let error = Command::new("true")
        .namespaces(Namespaces::USER)
        .uid_map(0, uid, 1)
        .current_dir("/no/such")
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("chdir"));
    let error = Command::new("true")
        .namespaces(Namespaces::USER)
        .uid_map(0, 0, 2)
        .uid_map(1, 5, 2)
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("uid_map"));
}
