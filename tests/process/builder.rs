//! `process::Builder`: what the child shares, where it stands, what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use rawthread::ErrorKind;
use rawthread::flags::CloneFlags;
use rawthread::process::{Builder, Fork, Namespaces, fork};

use crate::common;
use crate::util;

#[test]
fn a_plain_child_has_a_copy_of_memory() {
    let word = AtomicI32::new(1);
    // SAFETY: the child stores into its copy and exits.
    let mut child = unsafe {
        Builder::new().spawn(|| {
            word.store(2, Ordering::Relaxed);
            word.load(Ordering::Relaxed)
        })
    }
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert_eq!(word.load(Ordering::Relaxed), 1);
}

#[test]
fn a_child_with_vm_shares_memory_and_stands_on_its_own_stack() {
    static STORED: AtomicI32 = AtomicI32::new(0);
    static FRAME: AtomicUsize = AtomicUsize::new(0);
    static PID: AtomicI32 = AtomicI32::new(0);
    for extra in [
        CloneFlags::empty(),
        CloneFlags::VFORK,
        CloneFlags::FILES | CloneFlags::FS | CloneFlags::SIGHAND,
        CloneFlags::CHILD_SETTID | CloneFlags::CHILD_CLEARTID | CloneFlags::PARENT_SETTID,
    ] {
        STORED.store(0, Ordering::SeqCst);
        // SAFETY: the child stores to statics and makes one raw system call.
        let mut child = unsafe {
            Builder::new().flags(CloneFlags::VM | extra).spawn(|| {
                let local = 0u8;
                FRAME.store(&raw const local as usize, Ordering::SeqCst);
                PID.store(libc::getpid(), Ordering::SeqCst);
                STORED.fetch_add(1, Ordering::SeqCst);
                11
            })
        }
        .unwrap_or_else(|error| panic!("{extra:?}: {error}"));
        if extra.contains(CloneFlags::VFORK) {
            assert_eq!(
                STORED.load(Ordering::SeqCst),
                1,
                "the parent ran before the child ended"
            );
        }
        assert_eq!(child.wait().unwrap().code(), Some(11), "{extra:?}");
        assert_eq!(STORED.load(Ordering::SeqCst), 1);
        assert_eq!(PID.load(Ordering::SeqCst), child.pid());
        let local = 0u8;
        let distance = FRAME
            .load(Ordering::SeqCst)
            .abs_diff(&raw const local as usize);
        assert!(distance > 64 * 1024, "the child ran on its parent's stack");
    }
}

#[test]
fn the_stack_of_a_vm_child_has_a_guard_and_is_unmapped_after_wait() {
    // Alone: another thread might map the very page that is looked for.
    if !common::in_subprocess(
        "builder::the_stack_of_a_vm_child_has_a_guard_and_is_unmapped_after_wait",
    ) {
        return;
    }
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    /// Walks down a page at a time until the guard stops it.
    fn dig(depth: usize) -> usize {
        let frame = [depth as u8; 1024];
        DEEPEST.store(&raw const frame as usize, Ordering::SeqCst);
        let below = if depth < usize::MAX {
            dig(depth + 1)
        } else {
            0
        };
        below + usize::from(std::hint::black_box(&frame)[0])
    }
    // SAFETY: the child only uses its own stack, until the guard ends it: a SIGSEGV in a process
    // of its own. CLEAR_SIGHAND keeps the parent's handler for that signal out of it.
    let mut child = unsafe {
        Builder::new()
            .flags(CloneFlags::VM | CloneFlags::CLEAR_SIGHAND)
            .own_tls(false)
            .stack_size(64 * 1024)
            .spawn(|| dig(0) as i32)
    }
    .unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGSEGV));
    let deepest = DEEPEST.load(Ordering::SeqCst) & !4095;
    let mut resident = 0u8;
    // SAFETY: asks about one page and writes one byte.
    let mapped = unsafe { libc::mincore(deepest as *mut _, 4096, &mut resident) };
    assert_eq!(mapped, -1, "the child's stack is still mapped");
}

#[test]
fn the_closure_is_dropped_once_whatever_happens() {
    let token = Arc::new(());
    let held = Arc::clone(&token);
    // SAFETY: the child only exits.
    let mut child =
        unsafe { Builder::new().spawn(move || Arc::strong_count(&held) as i32) }.unwrap();
    assert_eq!(Arc::strong_count(&token), 1, "the parent keeps no copy");
    assert_eq!(child.wait().unwrap().code(), Some(2));

    for flags in [
        CloneFlags::SIGHAND,
        CloneFlags::VM | CloneFlags::NEWNS | CloneFlags::FS,
    ] {
        let held = Arc::clone(&token);
        // SAFETY: no child is made.
        let failed = unsafe {
            Builder::new()
                .flags(flags)
                .spawn(move || Arc::strong_count(&held) as i32)
        };
        assert!(failed.is_err());
        assert_eq!(Arc::strong_count(&token), 1, "{flags:?} leaked the closure");
    }
}

#[test]
fn a_panic_in_the_child_is_exit_status_101() {
    if !common::in_subprocess("builder::a_panic_in_the_child_is_exit_status_101") {
        return;
    }
    // SAFETY: the harness waits for this thread alone; the child prints and exits.
    let mut child = unsafe { Builder::new().spawn(|| panic!("on purpose")) }.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(101));
}

#[test]
fn a_thread_is_refused_with_the_place_to_go() {
    let thread = CloneFlags::VM | CloneFlags::SIGHAND | CloneFlags::THREAD;
    // SAFETY: no child is made.
    let error = unsafe { Builder::new().flags(thread).spawn(|| 0) }.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("rawthread::Builder"), "{error}");
}

#[test]
fn a_refused_set_of_flags_names_the_rule() {
    for (flags, signal, words) in [
        (
            CloneFlags::SIGHAND,
            libc::SIGCHLD,
            "CLONE_SIGHAND needs CLONE_VM",
        ),
        (CloneFlags::PARENT, libc::SIGCHLD, "exit signal"),
        (
            CloneFlags::NEWNS | CloneFlags::FS,
            libc::SIGCHLD,
            "CLONE_FS",
        ),
        (CloneFlags::from_bits_retain(1 << 60), libc::SIGCHLD, "flag"),
    ] {
        // SAFETY: no child is made.
        let error = unsafe {
            Builder::new()
                .flags(flags)
                .exit_signal(signal as u32)
                .spawn(|| 0)
        }
        .expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(error.violated_rule().unwrap().contains(words), "{error}");
        assert!(error.to_string().contains("verdict"), "{error}");
    }
}

#[test]
fn a_pid_in_use_is_refused_by_name() {
    // SAFETY: no child is made.
    let error = unsafe { Builder::new().set_tid(&[1]).spawn(|| 0) }.unwrap_err();
    assert!(error.to_string().contains("id asked for"), "{error}");
}

#[test]
fn the_pid_can_be_chosen() {
    let free = (20_000..30_000)
        .rev()
        .find(|pid| util::state_of(*pid).is_none())
        .unwrap();
    // SAFETY: the child asks for its number.
    let made = unsafe {
        Builder::new()
            .set_tid(&[free])
            .spawn(move || i32::from(libc::getpid() != free))
    };
    match made {
        Ok(mut child) => {
            assert_eq!(child.pid(), free);
            assert!(child.wait().unwrap().success());
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            println!("SKIP: choosing a pid needs CAP_CHECKPOINT_RESTORE");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_user_namespace_maps_ids_before_the_closure_runs() {
    if !util::user_namespaces() {
        return;
    }
    // SAFETY: asks for ids.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    for shared in [
        CloneFlags::empty(),
        CloneFlags::VM,
        CloneFlags::FILES,
        CloneFlags::VM | CloneFlags::FILES,
    ] {
        // SAFETY: the child asks for its ids by async-signal-safe calls.
        let mut child = unsafe {
            Builder::new()
                .flags(shared)
                .namespaces(Namespaces::USER)
                .uid_map(5, uid, 1)
                .gid_map(6, gid, 1)
                .spawn(|| (libc::getuid() * 10 + libc::getgid()) as i32)
        }
        .unwrap_or_else(|error| panic!("{shared:?}: {error}"));
        assert_eq!(child.wait().unwrap().code(), Some(56), "{shared:?}");
    }
}

#[test]
fn a_refused_id_map_is_spawns_error_and_leaves_no_child() {
    if !common::in_subprocess("builder::a_refused_id_map_is_spawns_error_and_leaves_no_child")
        || !util::user_namespaces()
    {
        return;
    }
    for shared in [CloneFlags::empty(), CloneFlags::VM, CloneFlags::FILES] {
        // SAFETY: the closure never runs.
        let error = unsafe {
            Builder::new()
                .flags(shared)
                .namespaces(Namespaces::USER)
                // Overlapping lines: EINVAL for every caller.
                .uid_map(0, 0, 2)
                .uid_map(1, 5, 2)
                .spawn(|| 0)
        }
        .unwrap_err();
        assert_eq!(error.operation(), Some("uid_map"), "{error}");
        // SAFETY: waits for any child of this process, which is this test's own.
        let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        assert_eq!(left, -1, "a child is left");
    }
}

#[test]
fn a_wrong_cgroup_descriptor_is_named() {
    let file = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: no child is made.
    let error = unsafe { Builder::new().cgroup(file).spawn(|| 0) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    assert!(error.to_string().contains("cgroup"), "{error}");
}

#[test]
fn a_child_is_born_in_its_cgroup() {
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .into_iter()
        .find(|root| std::path::Path::new(root).join("cgroup.procs").exists());
    let Some(root) = root else {
        println!("SKIP: no cgroup v2 here");
        return;
    };
    let path = format!("{root}/rawthread-test-{}", std::process::id());
    if let Err(error) = std::fs::create_dir(&path) {
        println!("SKIP: cannot make a cgroup: {error}");
        return;
    }
    let directory = std::fs::File::open(&path).unwrap();
    // SAFETY: the child waits to be killed.
    let mut child = unsafe {
        Builder::new().cgroup(directory).spawn(|| {
            libc::pause();
            0
        })
    }
    .unwrap();
    let members = std::fs::read_to_string(format!("{path}/cgroup.procs")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    common::poll_until("the cgroup empties", || std::fs::remove_dir(&path).is_ok());
    assert_eq!(members.trim(), child.pid().to_string());
}

#[test]
fn fork_returns_twice_and_libc_works_in_the_child() {
    // Other threads allocate all the time: the child must not find a locked allocator.
    static STOP: AtomicU32 = AtomicU32::new(0);
    let busy: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                while STOP.load(Ordering::Relaxed) == 0 {
                    drop(std::hint::black_box(vec![0u8; 4096]));
                }
            })
        })
        .collect();
    for round in 0..50 {
        // SAFETY: the child allocates, which libc's fork allows, and exits without destructors.
        match unsafe { fork() }.unwrap() {
            Fork::Child => {
                let text = format!("{round}");
                // SAFETY: ends the child.
                unsafe { libc::_exit(text.len() as i32) }
            }
            Fork::Parent(mut child) => {
                let status = child
                    .wait_timeout(std::time::Duration::from_secs(60))
                    .unwrap();
                assert_eq!(
                    status.expect("the child hangs").code(),
                    Some(format!("{round}").len() as i32)
                );
            }
        }
    }
    STOP.store(1, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
}
