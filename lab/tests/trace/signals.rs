//! Signals while tracing: the terminal's, and those that stop and continue.
#![allow(unsafe_code, reason = "a pseudo-terminal")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::support::{LAB, report, trace, trace_c};

#[test]
fn the_end_of_the_command_is_the_end_of_the_trace() {
    if let Some(output) = trace(&["sh", "-c", "kill -TERM $$"]) {
        assert_eq!(output.status.code(), Some(128 + 15), "{}", report(&output));
        assert!(report(&output).contains("killed by SIGTERM"));
    }
}

/// As `timeout` and service managers send it: to the lab alone.
#[test]
fn a_signal_to_the_lab_is_passed_on_to_the_program() {
    for (signal, name) in [
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
    ] {
        let script = format!("trap 'exit 7' {name}; echo ready; while :; do sleep 0.01; done");
        let mut command = Command::new(LAB);
        command.args(["trace", "--", "sh", "-c", &script]);
        // SAFETY: system calls only. A shell's `&` and nohup have the tests run with these ignored.
        unsafe {
            command.pre_exec(move || {
                libc::signal(signal, libc::SIG_DFL);
                Ok(())
            });
        }
        let mut lab = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut output = lab.stdout.take().expect("a pipe");
        let mut ready = [0; 6];
        if output.read_exact(&mut ready).is_ok() {
            // SAFETY: sends a signal to a child.
            assert_eq!(unsafe { libc::kill(lab.id() as i32, signal) }, 0);
        }
        let ended = lab.wait_with_output().expect("it ends");
        let report = report(&ended);
        if report.contains("does not let the lab trace") {
            return println!("SKIP: {report}");
        }
        assert_eq!(ended.status.code(), Some(7), "SIG{name}: {report}");
        assert!(report.contains("the command: sh"), "{report}");
    }
}

/// Both ends of a new pseudo-terminal: the user's, and the program's.
fn pseudo_terminal() -> (File, File) {
    let (mut user, mut program) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: the kernel writes two descriptors, which are owned here alone.
    unsafe {
        let made = libc::openpty(&mut user, &mut program, null, null.cast(), null.cast());
        assert_eq!(made, 0, "openpty: {}", std::io::Error::last_os_error());
        (File::from_raw_fd(user), File::from_raw_fd(program))
    }
}

/// Reads on until the text holds `word`, or the terminal is closed.
fn read_until(terminal: &mut File, text: &mut String, word: &str) {
    let mut bytes = [0; 1024];
    while !text.contains(word) {
        match terminal.read(&mut bytes) {
            // EIO: no process has the other end.
            Ok(0) | Err(_) => return,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&bytes[..length])),
        }
    }
}

/// Runs a shell script under the lab on a terminal, sends `key` once it is ready, and returns what
/// the terminal showed and the lab's status.
fn on_a_terminal(script: &str, key: u8) -> Option<(String, Option<i32>)> {
    let (mut user, program) = pseudo_terminal();
    let mut command = Command::new(LAB);
    command
        .args(["trace", "--", "sh", "-c", script])
        .env("NO_COLOR", "1");
    let stream = || program.try_clone().expect("a descriptor");
    command.stdin(stream()).stdout(stream()).stderr(stream());
    let fd = program.as_raw_fd();
    // SAFETY: system calls only.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            // A shell's `&` has the tests run with these ignored, which programs inherit.
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            libc::signal(libc::SIGQUIT, libc::SIG_DFL);
            match libc::ioctl(fd, libc::TIOCSCTTY, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let mut child = command.spawn().expect("it runs");
    drop((command, program));
    let mut text = String::new();
    read_until(&mut user, &mut text, "ready");
    if text.contains("does not let the lab trace") {
        println!("SKIP: {text}");
        let _ = child.wait();
        return None;
    }
    user.write_all(&[key]).expect("a key is pressed");
    read_until(&mut user, &mut text, "processes made");
    let status = child.wait().expect("it ends");
    Some((text, status.code()))
}

const CTRL_C: u8 = 3;
const CTRL_BACKSLASH: u8 = 28;

#[test]
fn ctrl_c_is_the_program_s_to_handle() {
    let script = "trap 'echo trapped; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    if let Some((text, status)) = on_a_terminal(script, CTRL_C) {
        assert!(text.contains("trapped"), "{text}");
        assert!(
            text.contains("the command: sh"),
            "the tree is drawn: {text}"
        );
        assert_eq!(status, Some(7), "{text}");
    }
}

#[test]
fn ctrl_c_and_quit_end_a_program_that_does_not_handle_them() {
    for (key, signal, word) in [(CTRL_C, 2, "SIGINT"), (CTRL_BACKSLASH, 3, "SIGQUIT")] {
        if let Some((text, status)) = on_a_terminal("ulimit -c 0; echo ready; exec sleep 60", key) {
            assert!(text.contains(&format!("killed by {word}")), "{text}");
            assert_eq!(status, Some(128 + signal), "{text}");
        }
    }
}

/// A child with two threads that count is stopped, seen to be stopped, and continued.
const STOPPED: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile long *counts;
static void *count(void *place) {
    for (;;) { counts[(long)place]++; usleep(500); }
}
static int advances(void) {
    long first = counts[0], second = counts[1];
    for (int i = 0; i < 20000; i++) {
        if (counts[0] != first && counts[1] != second) return 1;
        usleep(1000);
    }
    return 0;
}
int main(void) {
    counts = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    /* Where stops do not work, some wait would not end. */
    alarm(60);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pthread_t thread;
        pthread_create(&thread, 0, count, (void *)1);
        count((void *)0);
    }
    int status;
    for (int round = 0; round < 5; round++) {
        if (!advances()) return 1;
        kill(pid, SIGSTOP);
        if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status)) return 2;
        usleep(20000);
        long first = counts[0], second = counts[1];
        usleep(100000);
        if (counts[0] != first || counts[1] != second) return 3;
        kill(pid, SIGCONT);
        if (waitpid(pid, &status, WCONTINUED) != pid || !WIFCONTINUED(status)) return 4;
    }
    if (!advances()) return 5;
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) return 6;
    return 0;
}
"#;

#[test]
fn sigstop_and_sigcont_work_as_without_the_lab() {
    if let Some(output) = trace_c("stopped", &["-pthread"], STOPPED, &[]) {
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report.contains("killed by SIGKILL"), "{report}");
        assert!(report.contains("1 thread and 1 process made."), "{report}");
    }
}
