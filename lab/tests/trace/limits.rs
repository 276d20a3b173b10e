//! Many tasks, short lives, and load: nothing may be lost.
#![allow(unsafe_code, reason = "asks for the user")]

use std::process::Command;
use std::thread;

use crate::support::{c_program, report, trace, trace_c, trace_with, tree};

/// How many runs each test of races makes: more with `LAB_TRACE_RUNS`.
fn runs() -> usize {
    let given = std::env::var("LAB_TRACE_RUNS").ok();
    given.and_then(|runs| runs.parse().ok()).unwrap_or(24)
}

/// Four traces at a time, each of a shell that runs 20 programs.
#[test]
fn no_execution_is_lost_under_load() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                  /bin/echo $i >/dev/null; done";
    // SAFETY: no arguments.
    let is_root = unsafe { libc::geteuid() } == 0;
    let through_su = is_root && Command::new("su").args(["-c", "true"]).status().is_ok();
    let command: &[&str] = if through_su {
        &["su", "-s", "/bin/sh", "-c", script]
    } else {
        println!("SKIP: su needs root: a shell alone");
        &["sh", "-c", script]
    };
    let check = || {
        for _ in 0..runs().div_ceil(4) {
            let Some(output) = trace_with(&[], command) else {
                return;
            };
            let report = report(&output);
            assert!(output.status.success(), "{report}");
            let became: Vec<_> = (1..=20)
                .filter(|number| {
                    let wanted = format!("became /bin/echo {number}; exit 0");
                    tree(&report).iter().any(|line| line.ends_with(&wanted))
                })
                .collect();
            assert_eq!(became, (1..=20).collect::<Vec<_>>(), "{report}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(check);
        }
    });
}

/// The process exits while its threads are made, and while children are killed in their calls.
const SHORT_LIVES: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *make(void *a) {
    pthread_t thread;
    for (int i = 0; i < 50; i++)
        if (!pthread_create(&thread, 0, (void *(*)(void *))getpid, 0)) pthread_detach(thread);
    return a;
}
int main(void) {
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) for (;;) { pid_t inner = fork(); if (inner == 0) _exit(0); waitpid(inner, 0, 0); }
        usleep(i * 700);
        kill(pid, SIGKILL);
        waitpid(pid, 0, 0);
    }
    pthread_t thread;
    for (int i = 0; i < 4; i++) pthread_create(&thread, 0, make, 0);
    usleep(2000);
    exit(5);
}
"#;

#[test]
fn tasks_that_die_between_event_and_question_are_no_error() {
    let Some(program) = c_program("short_lives", &["-pthread"], SHORT_LIVES) else {
        return;
    };
    let program = program.to_str().expect("UTF-8");
    for _ in 0..runs() {
        let Some(output) = trace(&[program]) else {
            return;
        };
        let report = report(&output);
        assert_eq!(output.status.code(), Some(5), "{report}");
        assert!(!report.contains("ptrace failed"), "{report}");
        assert!(report.contains("killed by SIGKILL"), "{report}");
    }
}

const MANY: &str = r#"
#include <pthread.h>
#include <stdlib.h>
static pthread_barrier_t barrier;
static void *meet(void *a) { pthread_barrier_wait(&barrier); return a; }
int main(int count, char **words) {
    int n = atoi(words[1]);
    pthread_t *threads = calloc(n, sizeof *threads);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_barrier_init(&barrier, 0, n + 1);
    for (int i = 0; i < n; i++)
        if (pthread_create(&threads[i], &small, meet, 0)) _Exit(77);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < n; i++) pthread_join(threads[i], 0);
    return 0;
}
"#;

#[test]
fn ten_thousand_threads_at_once_are_counted_and_folded() {
    let Some(output) = trace_c("many", &["-pthread"], MANY, &["10000"]) else {
        return;
    };
    let report = report(&output);
    if output.status.code() == Some(77) {
        return println!("SKIP: the machine has no room for 10,000 threads");
    }
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(
        report.contains("10000 threads and 0 processes made."),
        "{report}"
    );
    assert!(
        report.contains(" x 10000 pthread_create (NPTL); exit 0"),
        "{report}"
    );
    assert!(report.contains("    x 9999 more: "), "{report}");
    assert!(report.lines().count() < 12, "{report}");
}

/// A thread executes a program: its process goes on with the process's number.
const EXEC_IN_THREAD: &str = r#"
#include <pthread.h>
#include <unistd.h>
static void *run(void *a) { execl("/bin/true", "true", "from", "thread", (char *)0); return a; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, run, 0);
    for (;;) pause();
}
"#;

#[test]
fn an_exec_by_a_thread_is_its_process_s() {
    let Some(output) = trace_c("exec_in_thread", &["-pthread"], EXEC_IN_THREAD, &[]) else {
        return;
    };
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let tree = tree(&report);
    assert!(
        tree[0].ends_with(", then true from thread; exit 0"),
        "{report}"
    );
    assert!(
        tree[1].contains("went on as its process, by exec"),
        "{report}"
    );
}

/// Four threads make threads and processes all the time, until another one executes the program again,
/// which kills them inside their calls; four times.
const EXEC_IN_A_STORM: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int depth;
static void *make(void *a) {
    for (unsigned i = 0;; i++) {
        pthread_t thread;
        if (!pthread_create(&thread, 0, (void *(*)(void *))getpid, 0)) pthread_detach(thread);
        if (i % 3 == 0) { pid_t pid = vfork(); if (pid == 0) _exit(0); waitpid(pid, 0, 0); }
    }
}
static void *run(void *a) {
    char next[16];
    usleep(rand() % 3000);
    snprintf(next, sizeof next, "%d", depth - 1);
    execl("/proc/self/exe", "storm", next, (char *)0);
    return a;
}
int main(int count, char **words) {
    pthread_t thread;
    depth = atoi(words[1]);
    srand(getpid() + depth);
    if (depth == 0) return 17;
    for (int i = 0; i < 4; i++) pthread_create(&thread, 0, make, 0);
    for (int i = 0; i < 2; i++) pthread_create(&thread, 0, run, 0);
    for (;;) pause();
}
"#;

/// A thread that its maker, killed by the exec, could not announce is counted, and counted once.
#[test]
fn tasks_whose_makers_an_exec_kills_are_counted_once() {
    let Some(program) = c_program("exec_in_a_storm", &["-pthread"], EXEC_IN_A_STORM) else {
        return;
    };
    let program = program.to_str().expect("UTF-8");
    for _ in 0..runs() / 2 {
        let Some(output) = trace(&[program, "4"]) else {
            return;
        };
        let report = report(&output);
        assert_eq!(output.status.code(), Some(17), "{report}");
        assert!(
            !report.contains("unseen") && !report.contains("was not seen"),
            "{report}"
        );
    }
}
