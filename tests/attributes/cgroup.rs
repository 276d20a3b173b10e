//! Threads that begin in a cgroup, in a hierarchy of this test's own.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rawthread::Builder;

use crate::common::in_subprocess;
use crate::support;

/// A cgroup of the version-2 hierarchy, which is mounted for this test, where no other thread but those
/// that it spawns sees it; removed at the end.
struct Tree {
    mount: PathBuf,
    group: PathBuf,
    /// What this test has the root pass on.
    controller: Option<String>,
}

impl Tree {
    /// `None`, and it says why, without the rights.
    fn new(name: &str) -> Option<Self> {
        let name = format!("rawthread-{name}-{}", std::process::id());
        let mount = std::env::temp_dir().join(&name);
        let this = Self {
            group: mount.join(&name),
            mount,
            controller: None,
        };
        fs::create_dir(&this.mount).unwrap();
        let own = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let none = std::ptr::null();
        if !own || unsafe { libc::mount(none, c"/".as_ptr(), none, private, none.cast()) } != 0 {
            let error = std::io::Error::last_os_error();
            println!("SKIP: no mount namespace of the test's own: {error}");
            return None;
        }
        let target = std::ffi::CString::new(this.mount.to_str().unwrap()).unwrap();
        let kind = c"cgroup2".as_ptr();
        let mounted = unsafe { libc::mount(kind, target.as_ptr(), kind, 0, std::ptr::null()) } == 0;
        if !mounted || fs::create_dir(&this.group).is_err() {
            let error = std::io::Error::last_os_error();
            println!("SKIP: no version 2 hierarchy to write to: {error}");
            return None;
        }
        Some(this)
    }

    fn open(&self) -> File {
        File::open(&self.group).unwrap()
    }

    /// Has the cgroup pass a controller on that threaded cgroups do not have; false, and it says why, if
    /// this hierarchy has none.
    fn pass_controllers_on(&mut self) -> bool {
        const THREADED: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];
        let root = self.mount.join("cgroup.subtree_control");
        let there = fs::read_to_string(self.mount.join("cgroup.controllers")).unwrap();
        let there = there.split_whitespace();
        let Some(controller) = there.into_iter().find(|name| !THREADED.contains(name)) else {
            println!("SKIP: no controller of a domain in the version 2 hierarchy");
            return false;
        };
        let passed_on = fs::read_to_string(&root).unwrap();
        let add = format!("+{controller}");
        if !passed_on.split_whitespace().any(|name| name == controller) {
            if let Err(error) = fs::write(&root, &add) {
                println!("SKIP: {controller} cannot be passed on: {error}");
                return false;
            }
            self.controller = Some(controller.to_owned());
        }
        fs::write(self.group.join("cgroup.subtree_control"), &add).unwrap();
        true
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
        if let Some(controller) = &self.controller {
            let root = self.mount.join("cgroup.subtree_control");
            let _ = fs::write(root, format!("-{controller}"));
        }
        let target = std::ffi::CString::new(self.mount.to_str().unwrap()).unwrap();
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        let _ = fs::remove_dir(&self.mount);
    }
}

/// The calling thread's cgroup in the version-2 hierarchy.
fn own_group() -> String {
    let tid = unsafe { libc::gettid() };
    let all = fs::read_to_string(format!("/proc/self/task/{tid}/cgroup")).unwrap();
    let line = all.lines().find(|line| line.starts_with("0::")).unwrap();
    line.to_owned()
}

#[test]
fn a_thread_begins_in_a_threaded_cgroup() {
    if support::by_libc() {
        return;
    }
    let Some(tree) = Tree::new("in") else { return };
    if let Err(error) = fs::write(tree.group.join("cgroup.type"), "threaded") {
        println!("SKIP: no threaded cgroup: {error}");
        return;
    }
    let mine = own_group();
    let name = tree.group.file_name().unwrap().to_str().unwrap().to_owned();
    let directory = tree.open();
    for size in [64 << 10, 2 << 20] {
        let thread = Builder::new()
            .stack_size(size)
            .cgroup(directory.as_raw_fd())
            .try_spawn(own_group);
        match thread {
            Ok(thread) => {
                let group = thread.join_reaped().unwrap();
                assert!(group.ends_with(&name), "{group}");
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP), "{error}");
                println!("SKIP: this process is no child of a threaded domain: {error}");
            }
        }
    }
    assert_eq!(own_group(), mine);
    assert_eq!(rawthread::spawn(own_group).join().unwrap(), mine);
}

/// The errno and the text of a spawn that is refused, whose closure is dropped.
#[track_caller]
fn refused(fd: i32) -> (i32, String) {
    let (owned, ran) = (std::sync::Arc::new(()), std::sync::Arc::new(()));
    let (weak, closure) = (std::sync::Arc::downgrade(&owned), ran.clone());
    let error = Builder::new()
        .cgroup(fd)
        .try_spawn(move || drop((owned, closure)))
        .unwrap_err();
    assert!(weak.upgrade().is_none(), "the closure is dropped");
    assert_eq!(std::sync::Arc::strong_count(&ran), 1);
    (error.raw_os_error().unwrap(), error.to_string())
}

#[test]
fn each_refusal_says_which_rule() {
    if support::by_libc() {
        let (errno, text) = refused(0);
        assert_eq!(errno, libc::ENOSYS);
        return assert!(text.contains("before_start"), "{text}");
    }
    let (errno, text) = refused(-1);
    assert_eq!(errno, libc::EINVAL, "{text}");
    let (errno, text) = refused(File::open("/").unwrap().as_raw_fd());
    assert_eq!(errno, libc::EBADF, "{text}");
    assert!(text.contains("version 2 cgroup"), "{text}");
    let Some(tree) = Tree::new("refused") else {
        return;
    };
    // A domain of its own, not of this process's.
    let directory = tree.open();
    let (errno, text) = refused(directory.as_raw_fd());
    assert_eq!(errno, libc::EOPNOTSUPP, "{text}");
    assert!(text.contains("domain"), "{text}");
    fs::remove_dir(&tree.group).unwrap();
    let (errno, text) = refused(directory.as_raw_fd());
    assert!([libc::ENOENT, libc::ENODEV].contains(&errno), "{text}");
    assert!(text.contains("removed"), "{text}");
}

#[test]
fn a_cgroup_that_passes_controllers_on_has_no_threads() {
    if support::by_libc() {
        return;
    }
    let Some(mut tree) = Tree::new("busy") else {
        return;
    };
    if !tree.pass_controllers_on() {
        return;
    }
    let (errno, text) = refused(tree.open().as_raw_fd());
    assert_eq!(errno, libc::EBUSY, "{text}");
    assert!(text.contains("cgroup.subtree_control"), "{text}");
}

/// The descriptor alone gives no right.
#[test]
fn a_user_without_the_right_is_told_which() {
    if support::by_libc() || !in_subprocess("cgroup::a_user_without_the_right_is_told_which") {
        return;
    }
    let Some(tree) = Tree::new("right") else {
        return;
    };
    if let Err(error) = fs::write(tree.group.join("cgroup.type"), "threaded") {
        println!("SKIP: no threaded cgroup: {error}");
        return;
    }
    let directory = tree.open();
    // Threads of the crate follow, as of any libc's.
    rawthread::spawn(|| ()).join().unwrap();
    if unsafe { libc::seteuid(65534) } != 0 {
        println!("SKIP: no other user id here");
        return;
    }
    let (errno, text) = refused(directory.as_raw_fd());
    assert_eq!(unsafe { libc::seteuid(0) }, 0);
    assert_eq!(errno, libc::EACCES, "{text}");
    assert!(text.contains("cgroup.threads"), "{text}");
}
