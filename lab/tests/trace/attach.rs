//! `lab trace --attach`: a process that runs already.
#![allow(unsafe_code, reason = "sends a signal")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{LAB, c_program};

/// Two threads wait; for each line on standard input the process makes a thread and a child. At the
/// end of the input it exits with 9.
const SERVER: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static void *sleeps(void *a) { for (;;) pause(); }
static void *ends(void *a) { return a; }
int main(void) {
    char line[80];
    pthread_t thread;
    pthread_create(&thread, 0, sleeps, 0);
    puts("up");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        pthread_create(&thread, 0, ends, 0);
        pthread_join(thread, 0);
        pid_t pid = fork();
        if (pid == 0) _exit(4);
        waitpid(pid, 0, 0);
        puts("done");
        fflush(stdout);
    }
    return 9;
}
"#;

/// The server, built under this name, and its standard output.
fn server(name: &str) -> Option<(Child, BufReader<impl Read>)> {
    let program = c_program(name, &["-pthread"], SERVER)?;
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    expect_line(&mut output, "up\n");
    Some((child, output))
}

fn expect_line(output: &mut impl BufRead, expected: &str) {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, expected);
}

/// Attaches, and waits until every thread is traced; `None` where a sandbox forbids it.
fn attach(server: &mut Child) -> Option<Child> {
    let pid = server.id().to_string();
    let mut lab = Command::new(LAB)
        .args(["trace", "--attach", &pid])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let start = Instant::now();
    while !all_traced(server.id()) {
        if lab.try_wait().expect("a child").is_some() {
            println!("SKIP: {}", rest(lab));
            let _ = server.kill();
            let _ = server.wait();
            return None;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it never attached"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(lab)
}

fn all_traced(pid: u32) -> bool {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    std::fs::read_dir(tasks)
        .expect("a process")
        .flatten()
        .all(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            // Sleeping again after the stop of the attachment.
            status.contains("State:\tS") && !status.contains("TracerPid:\t0")
        })
}

fn rest(mut lab: Child) -> String {
    let mut text = String::new();
    let mut stderr = lab.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut text).expect("text");
    text
}

fn feed(server: &mut Child) {
    let input = server.stdin.as_mut().expect("a pipe");
    input.write_all(b"go\n").expect("it reads");
}

#[test]
fn what_an_attached_process_makes_is_seen() {
    let Some((mut server, mut output)) = server("server_followed") else {
        return;
    };
    let Some(mut lab) = attach(&mut server) else {
        return;
    };
    for _ in 0..3 {
        feed(&mut server);
        expect_line(&mut output, "done\n");
    }
    drop(server.stdin.take());
    let status = lab.wait().expect("it ends");
    let report = rest(lab);
    assert_eq!(server.wait().expect("it ends").code(), Some(9), "{report}");
    assert_eq!(status.code(), Some(9), "{report}");
    assert!(report.contains("was there before: "), "{report}");
    assert!(
        report.contains("3 threads and 3 processes made."),
        "{report}"
    );
    assert!(report.contains("fork; exit 4"), "{report}");
    assert!(!report.contains("not seen"), "{report}");
}

#[test]
fn interrupted_the_lab_detaches_and_the_process_goes_on() {
    let Some((mut server, mut output)) = server("server_left") else {
        return;
    };
    let Some(mut lab) = attach(&mut server) else {
        return;
    };
    feed(&mut server);
    expect_line(&mut output, "done\n");
    // SAFETY: sends a signal to a child.
    assert_eq!(unsafe { libc::kill(lab.id() as i32, libc::SIGINT) }, 0);
    let status = lab.wait().expect("it ends");
    let report = rest(lab);
    assert_eq!(status.code(), Some(0), "{report}");
    assert!(report.contains("; still running"), "{report}");
    assert!(report.contains("1 thread and 1 process made."), "{report}");
    feed(&mut server);
    expect_line(&mut output, "done\n");
    drop(server.stdin.take());
    assert_eq!(server.wait().expect("it ends").code(), Some(9));
}

#[test]
fn a_process_that_is_not_there_is_one_line() {
    let output = Command::new(LAB)
        .args(["trace", "--attach", "2147483647"])
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("there is no such process"), "{error}");
}
