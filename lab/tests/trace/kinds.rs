//! Which calls are seen, and what they are called: every machine, every known maker.

use std::path::Path;
use std::process::Command;

use crate::support::{LAB, report, trace, trace_c, tree};

#[test]
fn a_shell_makes_a_child_that_becomes_a_program() {
    let Some(output) = trace(&["sh", "-c", "/bin/true; echo hello; exit 3"]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(3), "{report}");
    assert_eq!(output.stdout, b"hello\n", "the program's output is its own");
    let tree = tree(&report);
    assert!(
        tree[0].contains("the command: sh -c '/bin/true;"),
        "{report}"
    );
    assert!(tree[1].starts_with("└─ process"), "{report}");
    assert!(tree[1].ends_with("became /bin/true; exit 0"), "{report}");
    assert!(report.contains("0 threads and 1 process made"), "{report}");
}

/// The tour makes a task of every kind: the tracer must tell them apart from outside.
#[test]
fn every_kind_of_task_is_recognised() {
    let Some(output) = trace(&[LAB, "tour"]) else {
        return;
    };
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let expect = |kind: &str, class: &str| {
        let found = report.lines().any(|line| {
            line.contains(&format!(" {kind} ")) && line.contains(&format!(", {class}"))
        });
        assert!(found, "{kind} by {class}: {report}");
    };
    expect("process", "fork");
    expect("process", "clone vm");
    expect("process", "Go exec.Command");
    expect("process", "LinuxThreads (1996)");
    expect("thread", "pthread_create (NPTL)");
    expect("thread", "Go runtime thread");
    assert!(report.contains("VM|FS|FILES|SIGHAND, SIGUSR2"), "{report}");
}

/// Without libc, so that any gcc for x86 builds it: a fork, and a clone that shares memory.
const BARE_32: &str = r#"
__asm__(".globl _start\n_start:\n"
        "mov $2, %eax\n int $0x80\n test %eax, %eax\n jz child\n"
        "mov %eax, %ebx\n mov $7, %eax\n xor %ecx, %ecx\n xor %edx, %edx\n int $0x80\n"
        "mov $120, %eax\n mov $0x111, %ebx\n mov $stack_top, %ecx\n"
        "xor %edx, %edx\n xor %esi, %esi\n xor %edi, %edi\n int $0x80\n test %eax, %eax\n jz child\n"
        "mov %eax, %ebx\n mov $7, %eax\n xor %ecx, %ecx\n xor %edx, %edx\n int $0x80\n"
        "mov $1, %eax\n mov $9, %ebx\n int $0x80\n"
        "child:\n mov $1, %eax\n xor %ebx, %ebx\n int $0x80\n"
        ".bss\n .align 16\n .skip 4096\nstack_top:\n");
"#;

fn is_x86() -> bool {
    let is_x86 = std::env::consts::ARCH == "x86_64";
    if !is_x86 {
        println!("SKIP: 32-bit programs of x86 do not run here");
    }
    is_x86
}

#[test]
fn calls_of_a_bare_32_bit_program_are_decoded() {
    if !is_x86() {
        return;
    }
    let flags = [
        "-m32",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
    ];
    let Some(output) = trace_c("bare_32", &flags, BARE_32, &[]) else {
        return;
    };
    let report = report(&output);
    if output.status.code() == Some(126) {
        return println!("SKIP: the kernel runs no 32-bit programs: {report}");
    }
    assert_eq!(output.status.code(), Some(9), "{report}");
    assert!(report.contains("fork (i386)"), "{report}");
    assert!(report.contains("clone (i386)"), "{report}");
    assert!(report.contains("clone vm"), "{report}");
    assert!(
        report.contains("0 threads and 2 processes made."),
        "{report}"
    );
}

#[test]
fn calls_of_a_32_bit_program_of_glibc_are_decoded() {
    if !is_x86() {
        return;
    }
    let Some(output) = trace_c("makers_32", &["-m32", "-pthread"], MAKERS, &[]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    makers_are_named(&report);
    assert!(report.contains(" (i386)"), "{report}");
    assert!(
        report.contains("1 thread and 3 processes made."),
        "{report}"
    );
}

/// fork, vfork, posix_spawn and pthread_create of the C library.
const MAKERS: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static void *run(void *a) { pthread_setname_np(pthread_self(), "worker-1"); return a; }
int main(void) {
    pthread_t thread;
    pid_t pid;
    char *words[] = { "true", "a b", 0 };
    if (pthread_create(&thread, 0, run, 0)) return 1;
    pthread_join(thread, 0);
    if ((pid = fork()) == 0) _exit(5);
    waitpid(pid, 0, 0);
    if ((pid = vfork()) == 0) _exit(6);
    waitpid(pid, 0, 0);
    if (posix_spawn(&pid, "/bin/true", 0, 0, words, environ)) return 2;
    waitpid(pid, 0, 0);
    return 0;
}
"#;

fn makers_are_named(report: &str) {
    let tree = tree(report);
    assert_eq!(tree[0].matches("the command").count(), 1);
    let vfork = if std::env::consts::ARCH == "x86_64" {
        "vfork; exit 6"
    } else {
        "vfork or Go exec.Command; exit 6"
    };
    for wanted in [
        "pthread_create (NPTL), named \"worker-1\"; exit 0",
        "fork; exit 5",
        vfork,
        "posix_spawn, became true 'a b'; exit 0",
    ] {
        assert!(
            tree.iter().any(|line| line.ends_with(wanted)),
            "{wanted}: {report}"
        );
    }
}

#[test]
fn what_the_c_library_makes_is_named() {
    if let Some(output) = trace_c("makers", &["-pthread"], MAKERS, &[]) {
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        makers_are_named(&report);
        assert!(
            report.contains("1 thread and 3 processes made."),
            "{report}"
        );
    }
}

const GO: &str = r#"
package main

import (
    "os/exec"
    "runtime"
    "sync"
)

func main() {
    var started sync.WaitGroup
    for i := 0; i < 4; i++ {
        started.Add(1)
        go func() { runtime.LockOSThread(); started.Done(); select {} }()
    }
    started.Wait()
    if exec.Command("/bin/true").Run() != nil {
        panic("true")
    }
}
"#;

#[test]
fn what_go_makes_is_named() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("main.go"), GO).expect("a file");
    let built = Command::new("go")
        .args(["build", "-o", "program", "main.go"])
        .current_dir(&folder)
        .env("GOCACHE", folder.join("cache"))
        .env("GOFLAGS", "")
        .output();
    match built {
        Ok(output) if output.status.success() => {}
        Ok(output) => return println!("SKIP: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => return println!("SKIP: no go: {error}"),
    }
    let program = folder.join("program");
    let Some(output) = trace(&[program.to_str().expect("UTF-8")]) else {
        return;
    };
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    let tree = tree(&report);
    for line in tree.iter().filter(|line| line.contains("─ thread")) {
        assert!(line.contains("Go runtime thread"), "{line}: {report}");
    }
    let command = tree.iter().find(|line| line.contains("became /bin/true"));
    assert!(
        command.expect("it is there").contains("Go exec.Command"),
        "{report}"
    );
    assert!(!report.contains("NPTL"), "{report}");
}

#[test]
fn a_refused_clone_is_shown_with_its_errno() {
    let Some(output) = trace(&[LAB, "probe", "sighand"]) else {
        return;
    };
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("Invalid argument"), "{report}");
    assert!(report.contains("refused"), "{report}");
}

/// clone3 with a bad address, and a fork that asks not to be traced.
const HIDDEN: &str = r#"
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    if (syscall(SYS_clone3, 16L, 88L) != -1) return 1;
    long pid = syscall(SYS_clone, 0x00800000L | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0) _exit(0);
    waitpid(pid, 0, 0);
    return 0;
}
"#;

#[test]
fn what_cannot_be_seen_is_said() {
    let Some(output) = trace_c("hidden", &[], HIDDEN, &[]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("Bad address"), "{report}");
    assert!(
        report.contains("the arguments could not be read"),
        "{report}"
    );
    assert!(report.contains("fork, not traced"), "{report}");
    assert!(
        report.contains("1 task was made with CLONE_UNTRACED"),
        "{report}"
    );
}

/// The lab's filter and the program's own are both in force.
#[test]
fn a_program_that_installs_a_filter_is_traced() {
    const SOURCE: &str = r#"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog program = { 1, allow };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 1;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 2;
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    waitpid(pid, 0, 0);
    return 0;
}
"#;
    if let Some(output) = trace_c("own_filter", &[], SOURCE, &[]) {
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report.contains("fork; exit 3"), "{report}");
    }
}
