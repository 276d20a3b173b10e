//! A task has what a new thread of its spawner's would have inherited, attribute by attribute.

use std::fs;

use rawthread::{Builder, warm};

use crate::common::in_subprocess;
use crate::{settled, tid};

/// Something that a thread can change for itself and that its new threads inherit.
struct Trait {
    what: &'static str,
    /// False if the kernel or the caller's rights do not allow it.
    change: fn() -> bool,
}

fn call(number: i64, arguments: [usize; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

fn control(request: i32, arguments: [usize; 4]) -> i64 {
    let [a, b, c, d] = arguments;
    call(libc::SYS_prctl, [request as usize, a, b, c, d])
}

/// Effective, permitted and inheritable set, low halves before high ones.
fn with_capabilities(change: impl FnOnce(&mut [u32; 6])) -> bool {
    let mut header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    let arguments = [header.as_mut_ptr() as usize, sets.as_mut_ptr() as usize];
    let [a, b] = arguments;
    if call(libc::SYS_capget, [a, b, 0, 0, 0]) != 0 {
        return false;
    }
    let before = sets;
    change(&mut sets);
    before != sets && call(libc::SYS_capset, [a, b, 0, 0, 0]) == 0
}

const CAP_SETUID: u32 = 7;
const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_ADMIN: u32 = 21;
const NONE: usize = u32::MAX as usize;
const SOME_ID: usize = 4321;

fn confine() -> bool {
    // Allows everything.
    let mut allow = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &mut allow,
    };
    let address = &raw const program as usize;
    control(libc::PR_SET_SECCOMP, [2, address, 0, 0]) == 0
}

const TRAITS: &[Trait] = &[
    Trait {
        what: "no_new_privs",
        change: || control(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]) == 0,
    },
    Trait {
        what: "seccomp filter",
        change: confine,
    },
    Trait {
        what: "effective capabilities",
        change: || with_capabilities(|sets| sets[0] &= !(1 << CAP_SYS_CHROOT)),
    },
    Trait {
        what: "permitted capabilities",
        change: || {
            with_capabilities(|sets| {
                sets[0] &= !(1 << CAP_SYS_CHROOT);
                sets[1] &= !(1 << CAP_SYS_CHROOT);
            })
        },
    },
    Trait {
        what: "inheritable capabilities",
        change: || with_capabilities(|sets| sets[2] |= 1 << CAP_SYS_CHROOT),
    },
    Trait {
        what: "bounding set",
        change: || control(libc::PR_CAPBSET_DROP, [CAP_SYS_ADMIN as usize, 0, 0, 0]) == 0,
    },
    Trait {
        what: "secure bits",
        change: || control(libc::PR_SET_SECUREBITS, [1 << 2, 0, 0, 0]) == 0,
    },
    Trait {
        what: "capabilities kept at a change of ids",
        change: || control(libc::PR_SET_KEEPCAPS, [1, 0, 0, 0]) == 0,
    },
    Trait {
        what: "real user",
        change: || call(libc::SYS_setresuid, [SOME_ID, NONE, NONE, 0, 0]) == 0,
    },
    Trait {
        what: "saved user",
        change: || call(libc::SYS_setresuid, [NONE, NONE, SOME_ID, 0, 0]) == 0,
    },
    Trait {
        what: "filesystem user",
        change: || {
            call(libc::SYS_setfsuid, [SOME_ID, 0, 0, 0, 0]);
            call(libc::SYS_setfsuid, [NONE, 0, 0, 0, 0]) == SOME_ID as i64
        },
    },
    Trait {
        what: "real group",
        change: || call(libc::SYS_setresgid, [SOME_ID, NONE, NONE, 0, 0]) == 0,
    },
    Trait {
        what: "filesystem group",
        change: || {
            call(libc::SYS_setfsgid, [SOME_ID, 0, 0, 0, 0]);
            call(libc::SYS_setfsgid, [NONE, 0, 0, 0, 0]) == SOME_ID as i64
        },
    },
    Trait {
        what: "supplementary groups",
        change: || {
            let groups = [SOME_ID as u32, 4322];
            call(libc::SYS_setgroups, [2, groups.as_ptr() as usize, 0, 0, 0]) == 0
        },
    },
    Trait {
        what: "timer slack",
        change: || control(libc::PR_SET_TIMERSLACK, [777_000, 0, 0, 0]) == 0,
    },
    Trait {
        what: "I/O priority",
        // Best effort, 7.
        change: || call(libc::SYS_ioprio_set, [1, 0, 2 << 13 | 7, 0, 0]) == 0,
    },
    Trait {
        what: "personality",
        change: || {
            const UNAME26: usize = 0x002_0000;
            let now = call(libc::SYS_personality, [NONE, 0, 0, 0, 0]) as usize;
            call(libc::SYS_personality, [now | UNAME26, 0, 0, 0, 0]) >= 0
        },
    },
    Trait {
        what: "memory policy",
        // MPOL_LOCAL.
        change: || call(libc::SYS_set_mempolicy, [4, 0, 0, 0, 0]) == 0,
    },
];

/// What the kernel tells of the calling thread that a new thread inherits.
fn told() -> String {
    let kept = [
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ];
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let lines = status
        .lines()
        .filter(|line| kept.iter().any(|name| line.split(':').next() == Some(name)));
    let mut told: Vec<String> = lines.map(str::to_owned).collect();
    let mut nodes = [0u64; 16];
    let mut mode = 0i32;
    let policy = [
        &raw mut mode as usize,
        nodes.as_mut_ptr() as usize,
        1024,
        0,
        0,
    ];
    let answered = call(libc::SYS_get_mempolicy, policy);
    told.push(format!(
        "secure bits {} slack {} ioprio {} personality {:x} mempolicy {answered} {mode} {nodes:?}",
        control(libc::PR_GET_SECUREBITS, [0; 4]),
        control(libc::PR_GET_TIMERSLACK, [0; 4]),
        call(libc::SYS_ioprio_get, [1, 0, 0, 0, 0]),
        call(libc::SYS_personality, [NONE, 0, 0, 0, 0]),
    ));
    told.join("\n")
}

/// A spawner changes one trait after the other; its tasks have it, and others' have not.
fn spawners_change_themselves() {
    let mut wrong = Vec::new();
    for Trait { what, change } in TRAITS {
        // An idle worker with the process's attributes.
        settled();
        // A filesystem id loses capabilities, so the spawner ends with its attributes.
        let spawner = move || {
            // Its credentials are known before the change.
            warm::spawn(|| ()).join().unwrap();
            if !change() {
                return None;
            }
            let first = warm::spawn(told).join().unwrap();
            let next = warm::spawn(told).join().unwrap();
            Some((told(), first, next))
        };
        let Some((own, first, next)) = rawthread::spawn(spawner).join().unwrap() else {
            println!("SKIP: {what} cannot be changed here");
            continue;
        };
        if own != first || own != next {
            wrong.push(format!(
                "{what}:\n{own}\n--- task\n{first}\n--- next task\n{next}"
            ));
        }
        // Nor is there anything of it left for others.
        let (own, other) = (told(), warm::spawn(told).join().unwrap());
        if own != other {
            wrong.push(format!("{what}, after it:\n{own}\n--- task\n{other}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A task changes one trait after the other; no later task has it.
fn tasks_change_themselves() {
    let mut wrong = Vec::new();
    for Trait { what, change } in TRAITS {
        settled();
        let Some(spoilt) = warm::spawn(move || change().then(tid)).join().unwrap() else {
            println!("SKIP: {what} cannot be changed here");
            continue;
        };
        let own = told();
        for _ in 0..20 {
            let (by, task) = warm::spawn(|| (tid(), told())).join().unwrap();
            if task != own || by == spoilt {
                wrong.push(format!("{what}:\n{own}\n--- next task\n{task}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_task_has_what_its_spawner_has_made_of_itself() {
    if in_subprocess("inherited::a_task_has_what_its_spawner_has_made_of_itself") {
        spawners_change_themselves();
    }
}

#[test]
fn a_task_leaves_no_trait_to_the_next() {
    if in_subprocess("inherited::a_task_leaves_no_trait_to_the_next") {
        tasks_change_themselves();
    }
}

/// Gives up all rights of the process, whose credentials no thread can change any more.
fn close_credentials() {
    const NOBODY: u32 = 65534;
    // SAFETY: libc changes all threads; a process without the rights stays as it is.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setresgid(NOBODY, NOBODY, NOBODY);
        libc::setresuid(NOBODY, NOBODY, NOBODY);
    }
}

/// Where the credentials are not asked for again.
#[test]
fn the_same_without_any_rights() {
    if in_subprocess("inherited::the_same_without_any_rights") {
        close_credentials();
        spawners_change_themselves();
        tasks_change_themselves();
    }
}

/// The one way to other credentials: a user namespace, for the only thread of a process.
#[test]
fn a_user_namespace_gives_rights_to_the_only_thread() {
    if !in_subprocess("inherited::a_user_namespace_gives_rights_to_the_only_thread") {
        return;
    }
    close_credentials();
    settled();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let agree = || (0..3).all(|_| warm::spawn(told).join().unwrap() == told());
        // The spawner's credentials are known.
        let before = agree();
        while std::fs::read_dir("/proc/self/task").unwrap().count() > 1 {
            rawthread::trim();
        }
        let made = unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0;
        // A thread that gives the new rights up leaves a worker with the ids and rights of before.
        let humble = rawthread::spawn(|| {
            let gave_up = with_capabilities(|sets| *sets = [0; 6]);
            (0..3).for_each(|_| warm::spawn(|| ()).join().unwrap());
            gave_up
        });
        let made = humble.join().unwrap() && made;
        unsafe { libc::_exit(i32::from(!made) * 2 + i32::from(!before || !agree())) };
    }
    let mut status = -1;
    unsafe { libc::waitpid(pid, &mut status, 0) };
    if status == 2 << 8 {
        println!("SKIP: no user namespace can be made here");
        return;
    }
    assert_eq!(status, 0);
}

/// The ambient set is told bit by bit, and only where it can have bits.
#[test]
fn an_ambient_capability_is_inherited_and_not_left() {
    if !in_subprocess("inherited::an_ambient_capability_is_inherited_and_not_left") {
        return;
    }
    fn raise() -> bool {
        const RAISE: usize = 2;
        control(libc::PR_CAP_AMBIENT, [RAISE, CAP_SETUID as usize, 0, 0]) == 0
    }
    // Inheritable in every thread from here on, so that the ambient set alone differs.
    if !with_capabilities(|sets| sets[2] |= 1 << CAP_SETUID) {
        println!("SKIP: the inheritable set cannot be changed here");
        return;
    }
    settled();
    let spawner = Builder::new().spawn(|| {
        assert!(raise());
        (told(), warm::spawn(told).join().unwrap())
    });
    let (own, task) = spawner.unwrap().join().unwrap();
    assert_eq!(own, task);
    settled();
    assert!(warm::spawn(raise).join().unwrap());
    for _ in 0..20 {
        assert_eq!(warm::spawn(told).join().unwrap(), told());
    }
}

/// Nothing tells how a thread with no_new_privs has confined itself: its tasks are new threads.
#[test]
fn a_task_of_a_confined_spawner_has_its_filters() {
    if !in_subprocess("inherited::a_task_of_a_confined_spawner_has_its_filters") {
        return;
    }
    fn filters() -> String {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = |line: &&str| line.starts_with("Seccomp_filters");
        status.lines().find(line).unwrap_or_default().to_owned()
    }
    let spawner = || {
        control(libc::PR_SET_NO_NEW_PRIVS, [1, 0, 0, 0]);
        (0..3)
            .map(|_| {
                let confined = confine();
                (confined, filters(), warm::spawn(filters).join().unwrap())
            })
            .collect::<Vec<_>>()
    };
    for (confined, own, task) in rawthread::spawn(spawner).join().unwrap() {
        if !confined {
            println!("SKIP: no filter can be installed here");
            return;
        }
        assert_eq!(own, task);
    }
}
