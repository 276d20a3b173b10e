//! Each promise of `examples/container.rs` by what it forbids: without its step the check here fails.

use std::path::PathBuf;

use rawthread::process::Stdio;

use crate::common::{assert_output, in_subprocess, is_child, poll_until, rerun_self, watchdog};
use crate::container::{NOBODY, can_contain, example, inside};
use crate::settings::is_root;
use crate::util::state_of;

/// A promise, a script, and whether what that printed keeps it.
type Promise = (&'static str, &'static str, fn(&str) -> bool);

fn is_nothing(text: &str) -> bool {
    text.is_empty()
}

const PROMISES: [Promise; 14] = [
    (
        "no parameter of the kernel is set",
        "cd /proc/sys; for f in net/ipv4/ip_forward net/ipv4/ip_default_ttl user/max_user_namespaces; do \
         v=$(cat $f); (echo $v > $f) 2>/dev/null && echo $f; done",
        is_nothing,
    ),
    (
        "nothing of the machine's in /proc is readable or writable",
        "cd /proc; for f in kcore kmsg kpagecount timer_list slabinfo; do test -r $f && echo $f; done; \
         for f in sysrq-trigger mtrr irq/default_smp_affinity sys/kernel/core_pattern sys/vm/drop_caches; do \
         test -w $f && echo $f; done",
        is_nothing,
    ),
    ("no device but three", "ls /dev", |text| {
        text == "null\nurandom\nzero"
    }),
    (
        "no device is made",
        "mknod /tmp/null c 1 3 2>/dev/null && echo made; mknod /dev/null2 c 1 3 2>/dev/null && echo made",
        is_nothing,
    ),
    (
        "no set-user-id program and no device of any mount",
        "cat /proc/self/mountinfo",
        |text| {
            text.lines().all(|line| {
                let words: Vec<_> = line.split(' ').collect();
                // The three devices are mounts, of files.
                words[4].starts_with("/dev/")
                    || words[5].contains("nosuid") && words[5].contains("nodev")
            })
        },
    ),
    (
        "programs to read, and little memory to write to",
        "cat /proc/self/mountinfo",
        |text| {
            let is_right = |line: &str| {
                let words: Vec<_> = line.split(' ').collect();
                match words[4] {
                    "/" => words.iter().any(|word| word.contains("size=65536k")),
                    "/proc" => true,
                    device if device.starts_with("/dev/") => true,
                    _ => words[5].split(',').any(|option| option == "ro"),
                }
            };
            text.lines().all(is_right) && text.lines().count() > 5
        },
    ),
    (
        "no file of the host's but its programs",
        "ls / /etc; ls -A /tmp",
        |text| {
            const OWN: &str = " bin dev etc lib lib64 proc sbin tmp usr alternatives /: /etc: ";
            text.split_whitespace()
                .all(|name| OWN.contains(&format!(" {name} ")))
        },
    ),
    (
        "no mount is left of the old root",
        "cut -d' ' -f5 /proc/self/mountinfo",
        |text| {
            let tops = [
                "/usr",
                "/bin",
                "/sbin",
                "/lib",
                "/lib64",
                "/etc/alternatives",
                "/dev",
                "/proc",
            ];
            let is_own =
                |place: &str| place == "/" || tops.iter().any(|top| place.starts_with(top));
            text.lines().all(is_own)
        },
    ),
    (
        "no variable of the caller's",
        "tr '\\0' '\\n' < /proc/1/environ | cut -d= -f1 | sort",
        |text| text == "HOME\nPATH\nTERM",
    ),
    ("no descriptor of the caller's", "ls /proc/1/fd", |text| {
        text == "0\n1\n2"
    }),
    (
        "limits",
        "grep -E '^Max (open files|processes|core file size)' /proc/1/limits | tr -s ' ' | sed 's| *$||'",
        |text| {
            text == "Max core file size 0 0 bytes\nMax processes 64 64 processes\nMax open files 256 256 files"
        },
    ),
    (
        "no mount, no host name, no other network",
        "mount -t tmpfs x /tmp 2>/dev/null && echo mounted; hostname x 2>/dev/null && echo named; \
         umount /proc/sys 2>/dev/null && echo unmounted; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | \
         grep -vE '^(lo|tunl0|sit0|ip6tnl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6gre0)$'",
        is_nothing,
    ),
    (
        "its processes alone",
        "ls /proc | grep -E '^[0-9]+$' | head -1; readlink /proc/1/exe",
        |text| text.starts_with("1\n/usr/bin/") || text.starts_with("1\n/bin/"),
    ),
    (
        "no process of the host's is signalled",
        "kill -0 $PPID 2>/dev/null; echo $PPID",
        |text| text == "0",
    ),
];

/// All that do not hold: after a step was taken out, which of them it was for.
fn broken() -> Vec<String> {
    PROMISES
        .iter()
        .filter_map(|(promise, script, holds)| {
            let (text, _) = inside(script);
            (!holds(&text)).then(|| format!("{promise}: {text}"))
        })
        .collect()
}

/// What perl says of calls by number; `None` where there is no perl.
fn calls(calls: &[(i64, i64)]) -> Option<Vec<(i64, i32)>> {
    let numbers: Vec<_> = calls
        .iter()
        .map(|(call, first)| format!("{call} {first}"))
        .collect();
    let script = format!(
        "perl -e 'while (@ARGV) {{ my ($n, $a) = (shift() + 0, shift() + 0); my $r = syscall($n, $a, 0, 0, 0, 0); \
         exit 0 if $r == 0 && $n == {}; print $r < 0 ? $! + 0 : 0, \"\\n\" }}' {}",
        libc::SYS_clone,
        numbers.join(" ")
    );
    let (text, code) = inside(&script);
    if code != 0 {
        return None;
    }
    let errors = text.lines().map(|line| line.parse().unwrap());
    Some(calls.iter().map(|call| call.0).zip(errors).collect())
}

fn every_promise_is_kept() {
    if !can_contain() {
        return;
    }
    // SAFETY: a number of this test's process; it stays open across execve.
    assert_eq!(unsafe { libc::dup2(0, 77) }, 77);
    let broken = broken();
    assert!(broken.is_empty(), "{broken:#?}");
    // Without the filter these do something else than to say EPERM.
    let refused = [
        (libc::SYS_add_key, 0),
        (libc::SYS_request_key, 0),
        (libc::SYS_keyctl, 0),
        (libc::SYS_bpf, 99),
        (libc::SYS_unshare, 0),
        (libc::SYS_ptrace, 0),
    ];
    match calls(&refused) {
        Some(answers) => {
            let expected: Vec<_> = refused.iter().map(|call| (call.0, libc::EPERM)).collect();
            assert_eq!(answers, expected);
        }
        None => println!("SKIP: no perl in a container here"),
    }
    let user_namespace = i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    if let Some(answers) = calls(&[(libc::SYS_clone, user_namespace)]) {
        assert_eq!(answers, [(libc::SYS_clone, libc::ENOSPC)]);
    }
}

#[test]
fn of_roots_container_or_a_users() {
    let test = "promises::of_roots_container_or_a_users";
    if in_subprocess(test) {
        every_promise_is_kept();
    }
}

#[test]
fn of_nobodys_container() {
    let test = "promises::of_nobodys_container";
    if is_child(test) {
        watchdog(300);
        return every_promise_is_kept();
    }
    if !is_root() {
        println!("SKIP: needs root, to become nobody");
        return;
    }
    match rerun_by_nobody(test) {
        Ok(output) => assert_output(test, &output),
        Err(error) => println!("SKIP: nobody may not run this test: {error}"),
    }
}

fn rerun_by_nobody(test: &str) -> std::io::Result<std::process::Output> {
    use std::os::unix::process::CommandExt;
    rerun_self(test).uid(NOBODY).gid(NOBODY).output()
}

/// A mount that is made outside later does not show inside, though the programs' directories come from there.
#[test]
fn no_mount_comes_in_later() {
    let test = "promises::no_mount_comes_in_later";
    if !is_root() {
        println!("SKIP: needs root, to mount outside");
        return;
    }
    if !in_subprocess(test) || !can_contain() {
        return;
    }
    let mount = |source: Option<&std::ffi::CStr>, target: &std::ffi::CStr, flags| {
        let source = source.map_or(std::ptr::null(), |name| name.as_ptr());
        let kind = c"tmpfs".as_ptr();
        // SAFETY: strings, in a mount namespace of this thread's own.
        let done = unsafe { libc::mount(source, target.as_ptr(), kind, flags, std::ptr::null()) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    };
    // SAFETY: this thread's alone, which makes the container.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        println!("SKIP: no mount namespace here");
        return;
    }
    // Not shared with the host's: first private, then shared anew.
    mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE);
    mount(None, c"/", libc::MS_REC | libc::MS_SHARED);
    let mut command = example::container("/bin/sh", None).unwrap();
    command
        .args([
            "-c",
            "echo; read line; cut -d' ' -f5 /proc/self/mountinfo; ls /usr/lib | wc -l",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut begun = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut begun).unwrap();
    mount(Some(c"later"), c"/usr/lib", 0);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line == "/usr"), "{text}");
    assert!(text.lines().all(|line| line != "/usr/lib"), "{text}");
    assert_ne!(text.lines().last(), Some("0"), "{text}");
}

/// If the program that made it is killed, so is process 1, and with it every process inside.
#[test]
fn it_ends_with_its_maker() {
    let test = "promises::it_ends_with_its_maker";
    if is_child(test) {
        watchdog(300);
        let mut command = example::container("/bin/sh", None).unwrap();
        command.args(["-c", "sleep 60 & echo begun >&2; exec sleep 60"]);
        command.status().unwrap();
        return;
    }
    if !can_contain() {
        return;
    }
    let mut maker = rerun_self(test)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = maker.stderr.take().unwrap();
    let mut begun = [0; 6];
    std::io::Read::read_exact(&mut said, &mut begun).unwrap();
    assert_eq!(&begun, b"begun\n");
    // As this namespace knows them: process 1, and what that made.
    let first = only_child(maker.id().cast_signed());
    let inside = first.and_then(only_child);
    maker.kill().unwrap();
    maker.wait().unwrap();
    let (Some(first), Some(inside)) = (first, inside) else {
        println!("SKIP: this kernel lists no children");
        return;
    };
    let is_gone = |pid| matches!(state_of(pid), None | Some('Z'));
    poll_until("all have ended", || is_gone(first) && is_gone(inside));
}

/// `None` where the kernel has no such list.
fn only_child(pid: i32) -> Option<i32> {
    let mut children = String::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path().join("children");
        children += &std::fs::read_to_string(path).ok()?;
    }
    Some(children.trim().parse().expect(&children))
}

/// Where version 2's tree does not limit tasks, version 1's does: the hook moves the container into a group of it.
#[test]
fn a_group_of_version_1_limits_its_tasks() {
    let test = "promises::a_group_of_version_1_limits_its_tasks";
    if !in_subprocess(test) || !can_contain() {
        return;
    }
    let group = PathBuf::from(format!(
        "/sys/fs/cgroup/pids/rawthread-{}",
        std::process::id()
    ));
    if let Err(error) = std::fs::create_dir(&group) {
        println!("SKIP: no control group of version 1 for pids: {error}");
        return;
    }
    std::fs::write(group.join("pids.max"), "20").unwrap();
    let mut command = example::container("/bin/sh", None).unwrap();
    let tasks = group.join("cgroup.procs");
    command
        .args([
            "-c",
            "i=0; while [ $i -lt 30 ]; do sleep 60 & i=$((i+1)); echo $i; done",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .parent_hook(move |pid| Ok(std::fs::write(&tasks, pid.to_string())?));
    let output = command.spawn().and_then(|child| child.wait_with_output());
    poll_until("the group is empty", || std::fs::remove_dir(&group).is_ok());
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // The shell itself is one of the 20.
    assert_eq!(text.lines().last(), Some("19"), "{text}");
}
