//! What stands in the tracer's way: filters of the program's own, other tracers, processes that cannot
//! be attached to, bits that the kernel ignores.
#![allow(unsafe_code, reason = "asks for the user, and leaves rights")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{LAB, c_program, report, trace_c};

/// A filter that refuses every call that makes a task, in force in every thread. A thread that ran
/// before asks for a process afterwards, and the first one by fork.
const REFUSES: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
static int ends[2];
static void *run(void *failed) {
    char byte;
    read(ends[0], &byte, 1);
    *(int *)failed = fork();
    if (*(int *)failed == 0) _exit(0);
    return 0;
}
int main(void) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_fork
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 2, 0),
#else
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 2, 0),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    };
    struct sock_fprog program = { sizeof steps / sizeof *steps, steps };
    pthread_t thread;
    int failed = 0;
    pipe(ends);
    if (pthread_create(&thread, 0, run, &failed)) return 1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 2;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) return 3;
    write(ends[1], "", 1);
    pthread_join(thread, 0);
    return failed == -1 && fork() == -1 ? 0 : 4;
}
"#;

/// The program's filter answers before the lab's.
#[test]
fn calls_that_the_program_s_own_filter_refuses_are_seen() {
    if let Some(output) = trace_c("own_refusals", &["-pthread"], REFUSES, &[]) {
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert_eq!(report.matches("Permission denied").count(), 2, "{report}");
        assert!(
            report.contains("1 thread and 0 processes made, 2 requests refused."),
            "{report}"
        );
    }
}

#[test]
fn strict_mode_that_the_lab_prevents_is_said() {
    const SOURCE: &str = r#"
#include <sys/prctl.h>
int main(void) { return prctl(PR_SET_SECCOMP, 1) ? 5 : 6; }
"#;
    if let Some(output) = trace_c("strict_mode", &[], SOURCE, &[]) {
        let report = report(&output);
        let said = report.contains("strict mode, which failed because of the lab's filter");
        assert_eq!(output.status.code() == Some(5), said, "{report}");
    }
}

#[test]
fn a_lab_under_a_lab_names_the_tracer() {
    // Not by the helper: it takes what the inner one says for a SKIP.
    let output = Command::new(LAB)
        .args(["trace", "--", LAB, "trace", "true"])
        .output()
        .expect("it runs");
    let report = report(&output);
    if report.starts_with("lab: a sandbox") {
        return println!("SKIP: {report}");
    }
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(
        report.contains("traces the lab and what it makes"),
        "{report}"
    );
    assert!(!report.contains("sandbox"), "{report}");
}

fn attach(pid: &str) -> Output {
    Command::new(LAB)
        .args(["trace", "--attach", pid])
        .output()
        .expect("it runs")
}

#[test]
fn what_cannot_be_attached_to_is_named() {
    let refuses = |pid: &str, why: &str| {
        let output = attach(pid);
        let report = report(&output);
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert_eq!(report.lines().count(), 1, "{report}");
        assert!(report.contains(why), "{report}");
    };
    // SAFETY: no arguments.
    let own_thread = unsafe { libc::gettid() };
    refuses(&own_thread.to_string(), "this is a thread of process");
    // Ended, and not waited for until the handle is.
    let mut child = Command::new("true").spawn().expect("it runs");
    let status = format!("/proc/{}/status", child.id());
    while !std::fs::read_to_string(&status)
        .expect("it is there")
        .contains("State:\tZ")
    {
        std::thread::yield_now();
    }
    refuses(&child.id().to_string(), "it has ended");
    child.wait().expect("a child");
    let output = Command::new("sh")
        .args(["-c", "exec \"$0\" trace --attach $$", LAB])
        .output()
        .expect("it runs");
    assert!(
        report(&output).contains("that is the lab itself"),
        "{}",
        report(&output)
    );
    if let Ok(stat) = std::fs::read_to_string("/proc/2/stat")
        && stat.contains("(kthreadd)")
    {
        refuses("2", "a thread of the kernel");
    }
}

#[test]
fn ignored_set_user_id_bits_are_said() {
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        return println!("SKIP: a set-user-ID program of another user takes root to make");
    }
    let Some(program) = c_program(
        "set_user_id",
        &[],
        "#include <unistd.h>\nint main(void) { return geteuid() == 0 ? 3 : 4; }\n",
    ) else {
        return;
    };
    use std::os::unix::fs::PermissionsExt;
    let place = std::env::temp_dir().join(format!("lab-set-user-id-{}", std::process::id()));
    std::fs::create_dir(&place).expect("a folder");
    // Where other users may run it, which the build folder may not allow: the lab, too.
    let (copy, lab) = (place.join("program"), place.join("lab"));
    for (from, to) in [(program.as_path(), &copy), (Path::new(LAB), &lab)] {
        // By another process: a descriptor for writing that a child of another test inherits for a
        // moment makes the file busy (ETXTBSY).
        let copied = Command::new("cp").arg(from).arg(to).status();
        assert!(copied.expect("cp runs").success());
    }
    for (file, mode) in [(&place, 0o755), (&lab, 0o755), (&copy, 0o4755)] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("its mode");
    }
    let run = |command: &mut Command| command.uid(65534).gid(65534).output().expect("it runs");
    let alone = run(&mut Command::new(&copy));
    let traced = run(Command::new(&lab).args(["trace", "--"]).arg(&copy));
    std::fs::remove_dir_all(&place).expect("it can be removed");
    if alone.status.code() != Some(3) {
        return println!("SKIP: set-user-ID bits have no effect here");
    }
    let report = report(&traced);
    if report.contains("does not let the lab trace") {
        return println!("SKIP: {report}");
    }
    assert_eq!(traced.status.code(), Some(4), "{report}");
    assert!(report.contains("ran with its caller's ids"), "{report}");
}
