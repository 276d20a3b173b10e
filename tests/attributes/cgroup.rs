//! Threads that begin in a cgroup, in a hierarchy of this test's own.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rawthread::Builder;

use crate::support;

/// A cgroup of the version-2 hierarchy, which is mounted for this test; removed at the end.
struct Tree {
    mount: PathBuf,
    group: PathBuf,
}

impl Tree {
    /// `None`, and it says why, without the rights.
    fn new(name: &str) -> Option<Self> {
        let name = format!("rawthread-{name}-{}", std::process::id());
        let mount = std::env::temp_dir().join(&name);
        let this = Self {
            group: mount.join(&name),
            mount,
        };
        fs::create_dir(&this.mount).unwrap();
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
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
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

#[test]
fn each_refusal_says_which_rule() {
    let refused = |fd: i32| {
        let (owned, ran) = (std::sync::Arc::new(()), std::sync::Arc::new(()));
        let (weak, closure) = (std::sync::Arc::downgrade(&owned), ran.clone());
        let error = Builder::new()
            .cgroup(fd)
            .try_spawn(move || drop((owned, closure)))
            .unwrap_err();
        assert!(weak.upgrade().is_none(), "the closure is dropped");
        (error.raw_os_error().unwrap(), error.to_string())
    };
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
