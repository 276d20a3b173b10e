//! What a caller may get wrong, and what the error says then.

use rawthread::ErrorKind;
use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Cgroup, Command, Namespaces, Stdio};

use crate::common::in_subprocess;
use crate::util::user_namespaces;

/// Of several steps of one kind the error names the one that failed, by its path.
#[test]
fn an_error_names_the_path_of_its_step() {
    let file = |path: &str| BeforeExec::write_file(path, "x", None);
    let steps = || [file("/dev/null"), file("/no/such/file"), file("/no/other")];
    let error = Command::new("true")
        .before_execs(steps())
        .status()
        .unwrap_err();
    assert_eq!(error.operation(), Some("write"));
    let text = error.to_string();
    assert!(text.contains("(\"/no/such/file\"): ENOENT (2)"), "{text}");
    assert!(!text.contains("other") && !text.contains("null"), "{text}");

    let flag_sets = [
        CloneFlags::empty(),
        CloneFlags::VM,
        CloneFlags::VM | CloneFlags::VFORK,
    ];
    for flags in flag_sets {
        let mut builder = Builder::new().flags(flags);
        for step in steps() {
            builder = builder.before_start(step);
        }
        // SAFETY: the child does not come to its closure.
        let error = unsafe { builder.spawn(|| 0) }.unwrap_err();
        assert_eq!(error.to_string(), text, "{flags:?}");
    }
}

#[test]
fn an_error_names_the_program_and_the_directories() {
    let text = |command: &mut Command| command.status().unwrap_err().to_string();
    let program = text(&mut Command::new("no-such-program"));
    assert!(program.contains("(\"no-such-program\")"), "{program}");
    let directory = text(Command::new("true").current_dir("/no/such/dir"));
    assert!(directory.contains("(\"/no/such/dir\")"), "{directory}");
    let root = text(Command::new("true").chroot("/no/such/place"));
    assert!(root.contains("(\"/no/such/place\")"), "{root}");
    // A step without a path names none, whatever else was set.
    let mut ids = Command::new("true");
    ids.current_dir("/").process_group(i32::MAX);
    let group = text(&mut ids);
    assert!(!group.contains('"'), "{group}");
    let exec = Command::new("no-such-program").exec().to_string();
    assert_eq!(exec, program);
}

#[test]
fn a_filter_takes_only_errnos_and_numbers_of_calls() {
    let filtered = |calls: &[i64], errno| {
        let filter = BeforeExec::refuse_calls(calls.iter().copied(), errno);
        let steps = [BeforeExec::no_new_privileges(), filter];
        Command::new("true").before_execs(steps).status()
    };
    for errno in [0, -1, 4096, 99_999, i32::MIN] {
        let error = filtered(&[libc::SYS_mount], errno).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{errno}: {error}");
        assert!(error.to_string().contains("errno"), "{error}");
    }
    for call in [-1, 0x4000_0000, i64::MAX] {
        let error = filtered(&[libc::SYS_mount, call], libc::EPERM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{call}: {error}");
        assert!(error.to_string().contains("SYS_"), "{error}");
    }
    assert!(filtered(&[libc::SYS_mount], 4095).unwrap().success());
}

/// In either order of the two calls.
#[test]
fn flags_do_not_drop_namespaces() {
    if !user_namespaces() {
        return;
    }
    let apart = Namespaces::USER | Namespaces::PID;
    let shared = CloneFlags::FS | CloneFlags::SYSVSEM;
    let before = Builder::new().namespaces(apart).flags(CloneFlags::SYSVSEM);
    let after = Builder::new().flags(CloneFlags::SYSVSEM).namespaces(apart);
    for builder in [before, after] {
        // SAFETY: the child shares no memory and makes a system call.
        let mut child = unsafe { builder.spawn(|| libc::getpid()) }.unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
    // The kernel's rules see them: a user namespace needs a directory of its own.
    let refused = Builder::new().namespaces(apart).flags(shared);
    // SAFETY: no child is made.
    let error = unsafe { refused.spawn(|| 0) }.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

/// Nothing would read from the pipe, or write to it.
#[test]
fn a_process_that_exists_gets_no_pipe() {
    let error = Command::new("true").stdout(Stdio::piped()).exec();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

/// The directory is the builder's, and a clone has one of its own.
#[test]
fn a_builder_holds_its_cgroup() {
    if !in_subprocess("inputs::a_builder_holds_its_cgroup") {
        return;
    }
    let missing = Cgroup::open(c"/no/such/group").unwrap_err();
    assert_eq!(missing.operation(), Some("openat"));
    let file = Cgroup::open(c"/proc/self/stat").unwrap_err();
    assert_eq!(file.raw_os_error(), Some(libc::ENOTDIR));

    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let builder = Builder::new().cgroup(Cgroup::open(c"/").unwrap());
    assert_eq!(open(), before + 1);
    let clone = builder.clone();
    assert_eq!(open(), before + 2);
    let refused = |builder: &Builder| {
        // SAFETY: no child is made.
        let error = unsafe { builder.spawn(|| 0) }.unwrap_err();
        error.operation().map(str::to_owned)
    };
    let operation = refused(&builder);
    assert_ne!(operation.as_deref(), Some("fcntl(F_DUPFD_CLOEXEC)"));
    drop(builder);
    assert_eq!(refused(&clone), operation);

    // No number is left for another clone.
    let limit = libc::rlimit {
        rlim_cur: 3,
        rlim_max: 3,
    };
    // SAFETY: reads one structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let without = clone.clone();
    assert_eq!(refused(&without).as_deref(), Some("fcntl(F_DUPFD_CLOEXEC)"));
}
