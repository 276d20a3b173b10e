//! What `examples/container.rs` promises, and the steps that it does not take.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;

use rawthread::process::{BeforeExec, Capabilities, Command, Landlock, Namespaces};

use crate::common::{Directory, assert_output, in_subprocess, is_child, rerun_self};
use crate::settings::is_root;
use crate::util::{sh, user_namespaces};

#[allow(dead_code, reason = "the example has a main of its own")]
#[path = "../../examples/container.rs"]
pub(crate) mod example;

/// Set for a process that has become nobody.
pub(crate) const NOBODY: u32 = 65_534;

const NO_GROUP: &str = "65534";

pub(crate) fn inside(script: &str) -> (String, i32) {
    let mut command = example::container("/bin/sh", None).unwrap();
    command.args(["-c", script]);
    let output = command.output().unwrap_or_else(|error| panic!("{error}"));
    let text = String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned();
    (text, output.status.code().unwrap_or(-1))
}

/// Whether a container can be made here at all, by a test's own steps: a sandbox that masks parts of /proc forbids
/// to mount another. Where it can, the example's must be.
pub(crate) fn can_contain() -> bool {
    if !user_namespaces() {
        return false;
    }
    // SAFETY: asks for ids.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut command = Command::new("/bin/true");
    command.namespaces(Namespaces::all() - Namespaces::TIME);
    if uid == 0 {
        command
            .uid_map(0, 524_288, 65_536)
            .gid_map(0, 524_288, 65_536)
            .before_exec(BeforeExec::set_ids(0, 0));
    } else {
        command.uid_map(0, uid, 1).gid_map(0, gid, 1);
    }
    let private = libc::MS_REC | libc::MS_PRIVATE;
    command
        .before_exec(BeforeExec::mount("", "/", "", private, ""))
        .before_exec(BeforeExec::mount("root", "/tmp", "tmpfs", 0, ""))
        .before_exec(BeforeExec::make_dir("/tmp/proc", 0o755))
        .before_exec(BeforeExec::mount("proc", "/tmp/proc", "proc", 0, ""));
    let made = command.status();
    if let Err(error) = &made {
        println!("SKIP: no container here: {error}");
    }
    made.is_ok()
}

fn keeps_its_promises() {
    if !can_contain() {
        return;
    }
    let (text, code) = inside("echo $$; id -u; id -g; uname -n; ls /");
    assert_eq!(code, 0, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..4], ["1", "0", "0", "container"]);
    assert!(
        !lines.contains(&"root") && !lines.contains(&"home"),
        "{text}"
    );

    let (namespaces, _) =
        inside("for n in user pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done");
    let own: Vec<_> = ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup"]
        .iter()
        .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap())
        .collect();
    assert_eq!(namespaces.lines().count(), own.len());
    for (inside, own) in namespaces.lines().zip(&own) {
        assert_ne!(Path::new(inside), own, "shared with the container");
    }

    // Its processes and no others; loopback and nothing else, and that up.
    let (pids, _) = inside("ls /proc | grep -c '^[0-9]'");
    assert!(pids.parse::<u32>().unwrap() < 5, "{pids}");
    let (devices, _) =
        inside("tail -n +3 /proc/net/dev | cut -d: -f1; grep -c 127.0.0.1 /proc/net/fib_trie");
    let mut devices = devices.split_whitespace();
    assert!(devices.any(|name| name == "lo"));
    assert_ne!(devices.next_back(), Some("0"), "loopback is down");

    // Root's programs, to read; memory to write to; devices.
    let (_, code) = inside("touch /usr/x 2>/dev/null");
    assert_ne!(code, 0, "/usr can be written");
    let (_, code) = inside("echo x > /tmp/x && echo x > /dev/null && head -c1 /dev/zero");
    assert_eq!(code, 0);

    // What the filter refuses, though a capability would not be needed.
    let (text, code) = inside("unshare --user true 2>&1");
    assert_ne!(code, 0, "{text}");

    // No right is left but those that were kept, and none comes back.
    let (status, _) = inside("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let kept = Capabilities::CHOWN | Capabilities::KILL;
    for line in status.lines() {
        let (name, value) = line.split_once(":\t").unwrap();
        match name {
            "NoNewPrivs" => assert_eq!(value, "1"),
            "Seccomp" => assert_eq!(value, "2"),
            _ => assert_eq!(u64::from_str_radix(value, 16), Ok(kept.bits()), "{name}"),
        }
    }
    assert_eq!(status.lines().count(), 7, "{status}");

    let (limits, _) = inside("ulimit -n; ulimit -c; ls /proc/self/fd | wc -l");
    // 0 to 2, and the directory that ls reads.
    assert_eq!(limits, "256\n0\n4");

    // Its root owns nothing of the host's, and has none of the caller's groups.
    let (own, _) = inside(
        "test -r /etc/shadow && echo shadow; test -w /proc/sys/kernel/core_pattern && echo pattern; \
         test -w /proc/sysrq-trigger && echo sysrq; grep -E '^Groups' /proc/self/status; \
         cat /proc/self/uid_map; cat /proc/sys/user/max_user_namespaces; \
         echo 1 > /proc/sys/net/ipv4/ip_forward && echo sysctl",
    );
    let lines: Vec<Vec<_>> = own
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 3, "{own}");
    let is_group = |word: &&str| *word != NO_GROUP;
    if is_root() {
        assert_eq!(lines[0], ["Groups:"], "{own}");
    }
    assert!(!lines[0].iter().skip(1).any(is_group), "{own}");
    assert_ne!(lines[1][1], "0", "its root is the host's");
    assert_eq!(lines[2], ["0"]);

    // With what belongs to a tree of control groups or without: no more than 64 tasks.
    let (tasks, _) = inside("i=0; while [ $i -lt 80 ]; do sleep 60 & i=$((i+1)); done; echo done");
    assert_ne!(tasks, "done", "80 tasks are there");

    // Nothing of it shows outside.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("size=65536k,mode=755 - tmpfs root"));
    assert!(!Path::new("/tmp/usr").exists());
}

/// Made in the control group of the example, where version 2's tree has the controller; else in one without
/// a limit.
#[test]
fn a_container_begins_in_its_control_group() {
    let test = "container::a_container_begins_in_its_control_group";
    if !in_subprocess(test) || !can_contain() {
        return;
    }
    let trees = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let Some(tree) = trees.iter().find(|tree| tree.join("cgroup.procs").exists()) else {
        println!("SKIP: no control groups of version 2 here");
        return;
    };
    let limited = example::cgroup().ok();
    let has_limit = limited.is_some();
    let made = limited.or_else(|| {
        let path = tree.join(format!("container-test-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let group = std::fs::File::open(&path).ok()?;
        Some((path, group))
    });
    let Some((path, group)) = made else {
        println!("SKIP: no right to make a control group");
        return;
    };
    let mut command = example::container("/bin/sh", Some(group)).unwrap();
    let many = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; echo $i";
    command.args([
        "-c",
        &format!("grep ^0: /proc/self/cgroup; {many}; exec sleep 600"),
    ]);
    let mut child = command.stdout(rawthread::process::Stdio::piped()).spawn();
    let texts = child.as_mut().map(|child| {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let inside = lines.next().unwrap().unwrap();
        let jobs = lines.next().unwrap().unwrap();
        let processes = std::fs::read_to_string(path.join("cgroup.procs")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (inside, jobs, processes, child.pid())
    });
    // Every process of the container ends with its first; the group is empty when all are gone.
    crate::common::poll_until("the group is empty", || std::fs::remove_dir(&path).is_ok());
    let (inside, jobs, processes, pid) = texts.unwrap();
    assert_eq!(inside, "0::/", "the control group is seen from outside");
    assert!(processes.lines().any(|line| line == pid.to_string()));
    assert_eq!(jobs.trim(), "10");
    assert_eq!(processes.lines().count(), 11, "{processes}");
    if !has_limit {
        println!("SKIP: no controller for the number of tasks in version 2's tree");
    }
}

/// Refused with the number that was asked for, and calls of another ABI; all others are allowed.
#[test]
fn a_list_of_calls_is_refused() {
    let script = "mkdir /tmp/x 2>&1; uname 2>&1; echo on";
    let text = sh(script, |command| {
        let calls = [libc::SYS_uname, libc::SYS_mkdirat, SYS_MKDIR];
        command
            .env("LC_ALL", "C")
            .before_exec(BeforeExec::no_new_privileges())
            .before_exec(BeforeExec::refuse_calls(calls, libc::EXDEV));
    });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].ends_with("link"), "{text}");
    assert!(lines[1].ends_with("link") && lines[2] == "on", "{text}");
    // A list of any length, execve in it.
    let calls = (0..400).chain([libc::SYS_execve]);
    let error = Command::new("true")
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::refuse_calls(calls.skip(300), libc::EDOM))
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("execve"), "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::EDOM));
}

/// mkdir(2), which newer machines do not have.
const SYS_MKDIR: i64 = match () {
    () if cfg!(target_arch = "x86_64") => 83,
    () => libc::SYS_mkdirat,
};

#[test]
fn a_container_keeps_its_promises() {
    if in_subprocess("container::a_container_keeps_its_promises") {
        keeps_its_promises();
    }
}

#[test]
fn a_container_of_nobody_keeps_them_too() {
    let test = "container::a_container_of_nobody_keeps_them_too";
    if is_child(test) {
        return keeps_its_promises();
    }
    if !is_root() {
        println!("SKIP: needs root, to become nobody");
        return;
    }
    let mut command = rerun_self(test);
    match command.uid(NOBODY).gid(NOBODY).output() {
        Ok(output) => assert_output(test, &output),
        Err(error) => println!("SKIP: nobody may not run this test: {error}"),
    }
}

/// The calls that the filter refuses, with every capability kept that they need.
#[test]
fn a_filter_refuses_what_it_names_alone() {
    if !user_namespaces() || !in_subprocess("container::a_filter_refuses_what_it_names_alone") {
        return;
    }
    // ld nr; jeq getppid; allow; EDOM.
    let op = |code: u16, yes: u8, no: u8, value: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([yes, no]);
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    let filter = [
        op(0x20, 0, 0, 0),
        op(0x15, 1, 0, libc::SYS_mkdirat as u32),
        op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        op(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EDOM as u32),
    ]
    .concat();
    let directory = Directory::new("filter");
    let path = directory.path().join("made");
    let error = Command::new("true")
        .before_exec(BeforeExec::no_new_privileges())
        // Given first and taken last: the directory is made before.
        .before_exec(BeforeExec::seccomp(&filter))
        .before_exec(BeforeExec::make_dir(&path, 0o755))
        .before_exec(BeforeExec::seccomp(&filter[..7]))
        .spawn()
        .unwrap_err();
    assert_eq!(error.kind(), rawthread::ErrorKind::InvalidInput);
    assert!(!path.exists());
    let status = Command::new("true")
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::seccomp(&filter))
        .before_exec(BeforeExec::make_dir(&path, 0o755))
        .status()
        .unwrap();
    assert!(status.success() && path.exists());
    let error = Command::new("true")
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::seccomp(&filter[..24]))
        .spawn()
        .unwrap_err();
    assert_eq!(error.operation(), Some("seccomp"), "{error}");
}

/// Capabilities go on with another user id, and without any there are none.
#[test]
fn capabilities_outlive_a_change_of_ids() {
    if !is_root() {
        println!("SKIP: needs root, to become another user");
        return;
    }
    let caps = "grep -E '^Cap(Eff|Bnd)' /proc/self/status | cut -f2";
    let kept = Capabilities::NET_BIND_SERVICE | Capabilities::KILL;
    let of_user = sh(caps, |command| {
        command
            .uid(NOBODY)
            .gid(NOBODY)
            .before_exec(BeforeExec::keep_capabilities(kept));
    });
    let expected = format!("{0:016x}\n{0:016x}", kept.bits());
    assert_eq!(of_user, expected);
    let none = sh(caps, |command| {
        command.before_exec(BeforeExec::keep_capabilities(Capabilities::empty()));
    });
    assert_eq!(none, format!("{0:016x}\n{0:016x}", 0));
}

#[test]
fn landlock_rules_bind_the_program() {
    let mut rules = match Landlock::new() {
        Ok(rules) => rules,
        Err(error) => {
            println!("SKIP: {error}");
            return;
        }
    };
    let allowed = Directory::new("allowed");
    let other = Directory::new("other");
    rules
        .allow_read("/")
        .unwrap()
        .allow_all(allowed.path())
        .unwrap();
    let script = format!(
        "echo x > {}/x || exit 1; echo x > {}/x 2>/dev/null && exit 2; cat /etc/passwd > /dev/null",
        allowed.path().display(),
        other.path().display()
    );
    let mut command = Command::new("sh");
    // /dev/null itself may not be written.
    command
        .args([
            "-c",
            &script.replace("/dev/null", &format!("{}/log", allowed.path().display())),
        ])
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::landlock(rules));
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert!(!other.path().join("x").exists());
}
