//! What a command's child gives up depends on what the caller may, not on being root.

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Child, Command, Namespaces, Stdio};

use crate::common::in_subprocess;
use crate::settings::is_root;
use crate::util::{self, sh};

const CAP_SETGID: u32 = 6;
const CAP_SETUID: u32 = 7;
const CAP_SETFCAP: u32 = 31;
const ID: usize = 54_321;
const NOBODY: u32 = 65_534;

fn call(number: i64, arguments: [usize; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the numbers used below change the calling task or read the memory named.
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

/// Makes the calling thread, which is root's, a user with groups and these capabilities alone.
fn become_user_with(capabilities: &[u32]) {
    let groups = [7u32, 8];
    let setgroups = [2, groups.as_ptr() as usize, 0, 0, 0];
    assert_eq!(call(libc::SYS_setgroups, setgroups), 0);
    assert_eq!(
        call(
            libc::SYS_prctl,
            [libc::PR_SET_KEEPCAPS as usize, 1, 0, 0, 0]
        ),
        0
    );
    assert_eq!(call(libc::SYS_setresgid, [ID, ID, ID, 0, 0]), 0);
    assert_eq!(call(libc::SYS_setresuid, [ID, ID, ID, 0, 0]), 0);
    let bits = capabilities.iter().fold(0u32, |bits, bit| bits | 1 << bit);
    let mut header = [0x2008_0522u32, 0];
    let sets = [bits, bits, 0, 0, 0, 0];
    let capset = [
        header.as_mut_ptr() as usize,
        sets.as_ptr() as usize,
        0,
        0,
        0,
    ];
    assert_eq!(call(libc::SYS_capset, capset), 0);
    // SAFETY: files of this process are its user's again.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
}

/// Runs this in a process of its own, as such a user. Threads that libc does not know the ids of do
/// no harm there.
fn as_user_with(test: &str, capabilities: &'static [u32], check: fn()) {
    if !is_root() {
        println!("SKIP: needs root, to become another user");
        return;
    }
    if in_subprocess(test) {
        std::thread::spawn(move || {
            become_user_with(capabilities);
            check();
        })
        .join()
        .unwrap();
    }
}

const GROUPS: &str = "grep ^Groups: /proc/self/status | tr -s '\\t ' ' '";

#[test]
fn a_caller_with_the_right_drops_its_groups_without_being_root() {
    let test = "rights::a_caller_with_the_right_drops_its_groups_without_being_root";
    as_user_with(test, &[CAP_SETGID, CAP_SETUID], || {
        let kept = sh(GROUPS, |_| ());
        assert_eq!(kept, "Groups: 7 8");
        let dropped = sh(GROUPS, |command| {
            command.uid(65534);
        });
        assert_eq!(dropped, "Groups:");
        let asked = sh(GROUPS, |command| {
            command.uid(65534).groups([9]);
        });
        assert_eq!(asked, "Groups: 9");
    });
}

#[test]
fn a_caller_without_the_right_keeps_its_groups() {
    let test = "rights::a_caller_without_the_right_keeps_its_groups";
    as_user_with(test, &[], || {
        let kept = sh(GROUPS, |command| {
            command.uid(ID as u32);
        });
        assert_eq!(kept, "Groups: 7 8");
        let error = Command::new("true").groups([]).spawn().unwrap_err();
        assert_eq!(error.operation(), Some("setgroups"), "{error}");
    });
}

/// A child that stays root gives up its groups as any other does.
#[test]
fn root_is_no_exception() {
    if !is_root() {
        println!("SKIP: needs root");
        return;
    }
    if !in_subprocess("rights::root_is_no_exception") {
        return;
    }
    let groups = [7u32, 8];
    let own = std::thread::spawn(move || {
        assert_eq!(
            call(libc::SYS_setgroups, [2, groups.as_ptr() as usize, 0, 0, 0]),
            0
        );
        sh(GROUPS, |command| {
            command.uid(0);
        })
    });
    assert_eq!(own.join().unwrap(), "Groups:");
}

fn setgroups_inside() -> String {
    sh("cat /proc/self/setgroups", |command| {
        command
            .namespaces(Namespaces::USER)
            .uid_map(0, ID as u32, 1)
            .gid_map(0, ID as u32, 1);
    })
}

#[test]
fn a_map_by_a_caller_with_the_right_leaves_setgroups_allowed() {
    let test = "rights::a_map_by_a_caller_with_the_right_leaves_setgroups_allowed";
    as_user_with(test, &[CAP_SETGID, CAP_SETUID, CAP_SETFCAP], || {
        if util::user_namespaces() {
            assert_eq!(setgroups_inside(), "allow");
        }
    });
}

#[test]
fn a_map_by_a_caller_without_the_right_denies_setgroups() {
    let test = "rights::a_map_by_a_caller_without_the_right_denies_setgroups";
    as_user_with(test, &[], || {
        if util::user_namespaces() {
            assert_eq!(setgroups_inside(), "deny");
        }
    });
}

/// In a namespace whose maps allow it, the child's groups are its caller's, and go as well.
#[test]
fn a_child_in_a_user_namespace_drops_its_groups_where_it_may() {
    if !is_root() || !util::user_namespaces() {
        println!("SKIP: needs root and user namespaces");
        return;
    }
    if !in_subprocess("rights::a_child_in_a_user_namespace_drops_its_groups_where_it_may") {
        return;
    }
    let groups = [7u32, 8];
    let child = std::thread::spawn(move || {
        assert_eq!(
            call(libc::SYS_setgroups, [2, groups.as_ptr() as usize, 0, 0, 0]),
            0
        );
        sh(GROUPS, |command| {
            command
                .namespaces(Namespaces::USER)
                .uid_map(0, 0, 70_000)
                .gid_map(0, 0, 70_000)
                .uid(65534);
        })
    });
    assert_eq!(child.join().unwrap(), "Groups:");
}

/// In a user namespace without a group map no child can give its groups up: its parent must.
#[test]
fn a_user_namespace_without_a_group_map_keeps_no_group() {
    let test = "rights::a_user_namespace_without_a_group_map_keeps_no_group";
    if !is_root() || !util::user_namespaces() {
        println!("SKIP: needs root and user namespaces");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    let groups = [7u32, 8];
    let setgroups = [2, groups.as_ptr() as usize, 0, 0, 0];
    assert_eq!(call(libc::SYS_setgroups, setgroups), 0);
    let inside = sh(GROUPS, |command| {
        command
            .namespaces(Namespaces::USER)
            .uid_map(0, 65_533, 1)
            .uid(0);
    });
    assert_eq!(inside, "Groups:");
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let own = own
        .lines()
        .find(|line| line.starts_with("Groups:"))
        .unwrap();
    assert_eq!(
        own.split_whitespace().collect::<Vec<_>>(),
        ["Groups:", "7", "8"]
    );
}

/// A user namespace of another user's, and what keeps it.
fn foreign_user_namespace() -> (std::fs::File, Child) {
    use std::io::Read;
    let mut holder = Command::new("unshare")
        .args(["-U", "sh", "-c", "echo; exec sleep 600"])
        .uid(65534)
        .gid(65534)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It has made the namespace once the shell speaks.
    let mut byte = [0];
    let said = holder.stdout.as_mut().unwrap().read(&mut byte).unwrap();
    assert_eq!(said, 1);
    let path = format!("/proc/{}/ns/user", holder.pid());
    (std::fs::File::open(path).unwrap(), holder)
}

/// `setns` changes the credentials of the child, and with them a mark of the memory that it shares.
#[test]
fn joining_a_user_namespace_costs_the_parent_nothing() {
    if !is_root() || !util::user_namespaces() {
        println!("SKIP: needs root and user namespaces");
        return;
    }
    if !in_subprocess("rights::joining_a_user_namespace_costs_the_parent_nothing") {
        return;
    }
    let (namespace, mut holder) = foreign_user_namespace();
    for kinds in [Namespaces::USER, Namespaces::empty()] {
        let namespace = namespace.try_clone().unwrap();
        let status = Command::new("true")
            .before_exec(BeforeExec::join_namespaces(namespace, kinds))
            .status()
            .unwrap();
        assert!(status.success());
        // SAFETY: asks.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        assert_eq!(dumpable, 1, "{kinds:?}");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A closure's child with other ids stays in its parent's memory to its end.
#[test]
fn a_closure_with_other_ids_leaves_the_parent_dumpable() {
    if !is_root() {
        println!("SKIP: only root may change ids");
        return;
    }
    if !in_subprocess("rights::a_closure_with_other_ids_leaves_the_parent_dumpable") {
        return;
    }
    // SAFETY: asks.
    let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let set_ids = || BeforeExec::set_ids(65534, 65534);
    let mut ways = vec![set_ids()];
    let mut holder = None;
    if util::user_namespaces() {
        let (namespace, child) = foreign_user_namespace();
        ways.push(BeforeExec::join_namespaces(namespace, Namespaces::USER));
        holder = Some(child);
    }
    let shared = CloneFlags::VM;
    for step in ways {
        for flags in [
            shared,
            shared | CloneFlags::VFORK,
            shared | CloneFlags::FILES,
        ] {
            for own_tls in [true, false] {
                let builder = Builder::new()
                    .flags(flags)
                    .own_tls(own_tls)
                    .before_start(step.clone());
                // SAFETY: the child only returns.
                let mut child = unsafe { builder.spawn(|| 5) }.unwrap();
                assert_eq!(child.wait().unwrap().code(), Some(5));
                assert_eq!(dumpable(), 1, "{flags:?} {step:?}");
            }
        }
    }
    // More than a count of eight bits, all alive: their ids' processes must not trace this one.
    let pause = || Builder::new().flags(shared).stack_size(16384);
    let pause = |_| {
        let builder = pause().own_tls(false).before_start(set_ids());
        // SAFETY: the child makes a system call.
        unsafe { builder.spawn(|| libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0) as i32) }.unwrap()
    };
    let mut children: Vec<_> = (0..260).map(pause).collect();
    assert_ne!(dumpable(), 1);
    for child in &mut children {
        child.kill().unwrap();
    }
    for mut child in children.drain(3..) {
        child.wait().unwrap();
    }
    assert_ne!(dumpable(), 1, "three are left");
    drop(children);
    crate::common::poll_until("the mark is back", || dumpable() == 1);
    // A step that fails leaves none.
    let fails = Builder::new()
        .flags(shared)
        .before_start(set_ids())
        .before_start(BeforeExec::unmount("/no/such", 0));
    // SAFETY: the closure does not run.
    assert!(unsafe { fails.spawn(|| 0) }.is_err());
    assert_eq!(dumpable(), 1);
    if let Some(mut holder) = holder {
        holder.kill().unwrap();
        holder.wait().unwrap();
    }
}

/// In a namespace that forbids `setgroups` the child cannot give up its groups.
#[test]
fn groups_do_not_come_along_into_a_joined_namespace() {
    if !is_root() || !util::user_namespaces() {
        println!("SKIP: needs root and user namespaces");
        return;
    }
    if !in_subprocess("rights::groups_do_not_come_along_into_a_joined_namespace") {
        return;
    }
    let mut holder = Command::new("sleep")
        .arg("600")
        .namespaces(Namespaces::USER)
        .uid_map(0, 65534, 1)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let namespace = std::fs::File::open(format!("/proc/{}/ns/user", holder.pid())).unwrap();
    let own = std::thread::spawn(move || {
        let groups = [7u32, 8];
        let setgroups = [2, groups.as_ptr() as usize, 0, 0, 0];
        assert_eq!(call(libc::SYS_setgroups, setgroups), 0);
        let inside = sh(GROUPS, |command| {
            command
                .before_exec(BeforeExec::join_namespaces(namespace, Namespaces::USER))
                .uid(0);
        });
        assert_eq!(inside, "Groups:");
        sh(GROUPS, |_| ())
    });
    assert_eq!(own.join().unwrap(), "Groups: 7 8");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A user who is one already needs no right; what it has beside that user's groups is not kept by accident.
#[test]
fn a_caller_may_be_the_user_already() {
    let test = "rights::a_caller_may_be_the_user_already";
    if !is_root() {
        println!("SKIP: needs root, to become another user");
        return;
    }
    if !in_subprocess(test) {
        return;
    }
    if Command::new("true").user("nobody").is_err() {
        println!("SKIP: no user nobody");
        return;
    }
    let run = |groups: &'static [u32]| {
        let nobody = move || {
            let list = [groups.len(), groups.as_ptr() as usize, 0, 0, 0];
            assert_eq!(call(libc::SYS_setgroups, list), 0);
            let id = NOBODY as usize;
            assert_eq!(call(libc::SYS_setresgid, [id, id, id, 0, 0]), 0);
            assert_eq!(call(libc::SYS_setresuid, [id, id, id, 0, 0]), 0);
            let mut command = Command::new("sh");
            command.args(["-c", GROUPS]);
            let output = command.user("nobody")?.output()?;
            Ok::<_, rawthread::Error>(String::from_utf8(output.stdout).unwrap())
        };
        std::thread::spawn(nobody).join().unwrap()
    };
    assert_eq!(run(&[]).unwrap().trim_end(), "Groups:");
    assert_eq!(
        run(&[NOBODY]).unwrap().trim_end(),
        format!("Groups: {NOBODY}")
    );
    let error = run(&[NOBODY, 7]).unwrap_err();
    assert_eq!(error.operation(), Some("setgroups"), "{error}");
}
