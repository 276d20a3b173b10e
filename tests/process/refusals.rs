//! What the kernel refuses keeps its errno and is explained.

use rawthread::flags::{Call, Caller, CloneFlags};
use rawthread::process::{Builder, Command, Namespaces};

use crate::common::{self, in_subprocess};
use crate::filter::refuse;
use crate::util;

fn refused(number: i64, errno: i32, run: impl FnOnce() -> rawthread::Error + Send) -> String {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(refuse(number, None, errno));
            run()
        });
        let error = thread.join().unwrap();
        assert_eq!(error.raw_os_error(), Some(errno), "{error}");
        error.to_string()
    })
}

#[test]
fn a_program_named_by_a_path_fails_with_execves_errno() {
    if !in_subprocess("refusals::a_program_named_by_a_path_fails_with_execves_errno") {
        return;
    }
    let errors = |name: &str| {
        let ours = Command::new(name).spawn().unwrap_err();
        let std = std::process::Command::new(name).spawn().unwrap_err();
        assert_eq!(ours.operation(), Some("execve"));
        (ours.raw_os_error(), std.raw_os_error())
    };
    for (name, errno) in [
        ("/bin/true/", libc::ENOTDIR),
        ("/bin/true/true", libc::ENOTDIR),
        ("/no/such", libc::ENOENT),
        ("/", libc::EACCES),
    ] {
        assert_eq!(errors(name), (Some(errno), Some(errno)), "{name}");
    }
    for errno in [
        libc::ESTALE,
        libc::ETIMEDOUT,
        libc::ENODEV,
        libc::ENOTDIR,
        libc::EIO,
        libc::ENOEXEC,
    ] {
        // A file that execve does not know the format of is given to a shell, by execve.
        let run = || Command::new("/bin/true").spawn().unwrap_err();
        let text = refused(libc::SYS_execve, errno, run);
        assert!(!text.contains("lists the reasons"), "{text}");
    }
}

/// As execvp(3): EACCES if any directory's file may not be run, else what the last said.
#[test]
fn a_program_looked_for_fails_as_with_std() {
    if !in_subprocess("refusals::a_program_looked_for_fails_as_with_std") {
        return;
    }
    let directory = common::Directory::new("refusals");
    let here = directory.path().to_str().unwrap();
    let file = format!("{here}/file");
    util::write(&directory.path().join("file"), "", 0o644);
    util::write(&directory.path().join("tool"), "", 0o644);
    for (path, errno) in [
        (format!("{here}:/no/such"), libc::EACCES),
        (format!("/no/such:{here}:{file}"), libc::EACCES),
        (format!("/no/such:{file}"), libc::ENOTDIR),
        (format!("{file}:/no/such"), libc::ENOENT),
        ("/no/such".into(), libc::ENOENT),
    ] {
        let name = "tool";
        let ours = Command::new(name).env("PATH", &*path).spawn();
        let std = std::process::Command::new(name).env("PATH", &path).spawn();
        assert_eq!(ours.unwrap_err().raw_os_error(), Some(errno), "{path}");
        assert_eq!(std.unwrap_err().raw_os_error(), Some(errno), "std: {path}");
    }
}

#[test]
fn a_cgroup_that_takes_no_processes_is_explained() {
    if !in_subprocess("refusals::a_cgroup_that_takes_no_processes_is_explained") {
        return;
    }
    let root = std::fs::File::open("/").unwrap();
    for (errno, word) in [
        (libc::EBUSY, "subtree_control"),
        (libc::EOPNOTSUPP, "cgroup.type"),
        (libc::ENODEV, "removed"),
        (libc::EBADF, "cgroup v2"),
    ] {
        let root = || root.try_clone().unwrap();
        let command = || Command::new("true").cgroup(root()).spawn().unwrap_err();
        let text = refused(libc::SYS_clone3, errno, command);
        assert!(text.contains(word), "{text}");
        // SAFETY: no child is made.
        let builder = || unsafe { Builder::new().cgroup(root()).spawn(|| 0) }.unwrap_err();
        let text = refused(libc::SYS_clone3, errno, builder);
        assert!(text.contains(word), "{text}");
    }
}

/// A controller that a cgroup gives to its children as long as the value lives.
struct Given {
    file: String,
    controller: String,
}

impl Given {
    /// The first that `cgroup` can give and does not give yet.
    fn first_of(cgroup: &str) -> Option<Self> {
        let read = |name| std::fs::read_to_string(format!("{cgroup}/{name}")).unwrap_or_default();
        let (has, gives) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
        let file = format!("{cgroup}/cgroup.subtree_control");
        let is_free = |name: &&str| !gives.split_whitespace().any(|given| given == *name);
        has.split_whitespace()
            .filter(is_free)
            .find(|name| std::fs::write(&file, format!("+{name}")).is_ok())
            .map(|name| Self {
                file: file.clone(),
                controller: name.into(),
            })
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.file, format!("-{}", self.controller));
    }
}

/// The kernel's own answer, where a controller can be given to children.
#[test]
fn a_cgroup_with_controllers_for_its_children_is_explained() {
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let Some(root) = roots
        .into_iter()
        .find(|root| std::path::Path::new(root).join("cgroup.procs").exists())
    else {
        println!("SKIP: no cgroup v2 here");
        return;
    };
    let path = format!("{root}/rawthread-busy-{}", std::process::id());
    if let Err(error) = std::fs::create_dir(&path) {
        println!("SKIP: cannot make a cgroup: {error}");
        return;
    }
    // Most machines give controllers to the children of the root; here one of the root's may be free,
    // as hugetlb is where the others are of version 1.
    let given = Given::first_of(&path)
        .map(|given| (None, given))
        .or_else(|| {
            let by_root = Given::first_of(root)?;
            Given::first_of(&path).map(|given| (Some(by_root), given))
        });
    let directory = std::fs::File::open(&path).unwrap();
    let result = Command::new("true").cgroup(directory).status();
    let skipped = given.is_none();
    if let Some((by_root, by_path)) = given {
        drop(by_path);
        drop(by_root);
    }
    std::fs::remove_dir(&path).unwrap();
    if skipped {
        println!("SKIP: no controller to give");
        return;
    }
    let error = result.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
    assert!(error.to_string().contains("subtree_control"), "{error}");
}

/// The mask is the calling thread's, as with std, unless one is set.
#[test]
fn the_signal_mask_is_inherited() {
    if !in_subprocess("refusals::the_signal_mask_is_inherited") {
        return;
    }
    // SAFETY: this process is the test's own.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGHUP);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
    let arguments = ["SigBlk", "/proc/self/status"];
    let ours = Command::new("grep").args(arguments).output().unwrap();
    let std = std::process::Command::new("grep").args(arguments).output();
    assert_eq!(ours.stdout, b"SigBlk:\t0000000000000201\n");
    assert_eq!(std.unwrap().stdout, ours.stdout);
    let none = Command::new("grep")
        .args(arguments)
        .signal_mask(rawthread::SignalSet::empty())
        .output();
    assert_eq!(none.unwrap().stdout, b"SigBlk:\t0000000000000000\n");
}

/// The kernel says ENOMEM, and memory has nothing to do with it.
#[test]
fn a_pid_namespace_without_init_is_named() {
    let test = "refusals::a_pid_namespace_without_init_is_named";
    if !crate::settings::is_root() {
        println!("SKIP: needs root, for a pid namespace");
        return;
    }
    if !crate::common::in_subprocess(test) {
        return;
    }
    // SAFETY: this thread's children belong to a new namespace from here on.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        println!("SKIP: no pid namespace here");
        return;
    }
    // SAFETY: the children compute.
    let mut init = unsafe { Builder::new().spawn(|| 0) }.unwrap();
    init.wait().unwrap();
    // SAFETY: as above.
    let error = unsafe { Builder::new().spawn(|| 0) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert!(error.violated_rule().unwrap().contains("init"), "{error}");
    let error = Command::new("true").spawn().unwrap_err();
    assert!(error.to_string().contains("init"), "{error}");
}

/// User namespaces nest 32 deep. `Caller::current` does not see how deep it is, as it says; the error of the
/// call does.
#[test]
fn the_depth_of_user_namespaces_is_named() {
    /// Makes one namespace in another until the kernel refuses; exits with 0 if it did so as expected.
    fn descend(depth: i32) -> i32 {
        // SAFETY: asks for ids.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let builder = Builder::new()
            .namespaces(Namespaces::USER)
            .uid_map(0, uid, 1)
            .gid_map(0, gid, 1);
        // SAFETY: this process has one thread.
        let child = unsafe { builder.spawn(move || descend(depth + 1)) };
        match child {
            Ok(mut child) => child
                .wait()
                .map_or(99, |status| status.code().unwrap_or(98)),
            Err(error) => {
                let flags = CloneFlags::NEWUSER;
                let verdict = flags.verdict(Call::Clone3, 17, &Caller::current());
                let text = error.to_string();
                println!("at depth {depth}: {text}; foretold: {:?}", verdict.errno());
                let is_named = error.raw_os_error() == Some(libc::ENOSPC)
                    && error.limit() == Some(rawthread::Limit::Namespaces)
                    && text.contains("nest");
                i32::from(depth < 10 || !is_named || verdict.errno().is_some())
            }
        }
    }
    if !util::user_namespaces() || !in_subprocess("refusals::the_depth_of_user_namespaces_is_named")
    {
        return;
    }
    // SAFETY: the child does what a process with one thread may.
    let code = unsafe { Builder::new().spawn(|| descend(0)) }
        .unwrap()
        .wait();
    assert_eq!(code.unwrap().code(), Some(0));
}
