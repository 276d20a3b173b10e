//! How the child's standard streams are opened.

use std::os::fd::AsRawFd;
use std::time::Duration;

use rawthread::process::{Command, Stdio};

/// As std opens it: a sandbox may allow no more.
#[test]
fn null_is_opened_for_what_the_stream_does() {
    let mut child = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .descriptor(7, Stdio::null())
        .spawn()
        .unwrap();
    let access = [0, 1, 2, 7].map(|number| {
        let path = format!("/proc/{}/fdinfo/{number}", child.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        i32::from_str_radix(flags.unwrap().trim(), 8).unwrap() & libc::O_ACCMODE
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = [libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY, libc::O_RDWR];
    assert_eq!(access, expected);
}

/// Both streams at once, more than a pipe holds, and one that ends long before the other.
#[test]
fn large_outputs_are_whole() {
    let script =
        "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; head -c 5000001 /dev/zero";
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert_eq!(output.stdout.len(), 8_000_001);
    assert_eq!(output.stderr.len(), 1_000_000);
    let only_errors = Command::new("sh")
        .args(["-c", "exec >&-; head -c 300000 /dev/zero >&2"])
        .output()
        .unwrap();
    assert_eq!(
        (only_errors.stdout.len(), only_errors.stderr.len()),
        (0, 300_000)
    );
}

#[test]
fn a_pipe_lends_its_descriptor() {
    use std::os::fd::{AsFd, AsRawFd};
    let child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdout.as_ref().unwrap();
    assert_eq!(pipe.as_fd().as_raw_fd(), pipe.as_raw_fd());
    assert_eq!(pipe.as_raw_fd(), pipe.raw_fd());
}

/// A grandchild that keeps the pipe open is not waited for; a child that runs too long is killed.
#[test]
fn output_with_a_limit_waits_for_the_child_alone() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo said; sleep 600 & exit 4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = command.spawn().unwrap();
    let group = child.pid();
    let output = child
        .wait_with_output_timeout(Duration::from_secs(300))
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(output.stdout, b"said\n");
    // SAFETY: the group of the sleeping grandchild, which is not gone.
    assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);

    let mut command = Command::new("sleep");
    let child = command.arg("600").stdout(Stdio::piped()).spawn().unwrap();
    let output = child
        .wait_with_output_timeout(Duration::from_millis(20))
        .unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));

    let mut command = Command::new("head");
    command
        .args(["-c", "3000000", "/dev/zero"])
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let output = child
        .wait_with_output_timeout(Duration::from_secs(300))
        .unwrap();
    assert_eq!(
        (output.stdout.len(), output.status.code()),
        (3_000_000, Some(0))
    );
}

#[test]
fn bytes_are_what_the_child_reads() {
    let large = vec![b'x'; 1 << 20];
    let counted = Command::new("wc")
        .arg("-c")
        .stdin(Stdio::bytes(&large).unwrap())
        .output();
    assert_eq!(counted.unwrap().stdout, b"1048576\n");
}

#[test]
fn a_group_is_signalled_until_its_leader_is_reaped() {
    let mut shell = Command::new("sh")
        .args(["-c", "sleep 600 & wait"])
        .process_group(0)
        .spawn()
        .unwrap();
    shell.signal_group(libc::SIGKILL).unwrap();
    assert_eq!(shell.wait().unwrap().signal(), Some(libc::SIGKILL));
    let error = shell.signal_group(libc::SIGKILL).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
}

/// A command that lives on does not hold the pipe that its child reads: the writer learns of the child's end.
#[test]
fn a_pipe_is_given_to_one_child() {
    if !crate::common::in_subprocess("stdio::a_pipe_is_given_to_one_child") {
        return;
    }
    let mut yes = Command::new("yes").stdout(Stdio::piped()).spawn().unwrap();
    let mut head = Command::new("head");
    head.arg("-n1").stdin(yes.stdout.take().unwrap());
    assert_eq!(head.output().unwrap().stdout, b"y\n");
    let status = yes.wait_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(
        status.and_then(|status| status.signal()),
        Some(libc::SIGPIPE)
    );
    let error = head.spawn().unwrap_err();
    assert_eq!(error.kind(), rawthread::ErrorKind::InvalidInput, "{error}");

    // A spawn that fails has given nothing away.
    let mut echo = Command::new("echo").stdout(Stdio::piped()).spawn().unwrap();
    let mut refused = Command::new("cat");
    refused
        .stdin(echo.stdout.take().unwrap())
        .current_dir("/no/such");
    assert!(refused.output().is_err());
    assert_eq!(refused.current_dir("/").output().unwrap().stdout, b"\n");
    echo.wait().unwrap();
}

#[test]
fn three_commands_make_a_pipeline() {
    let mut first = Command::new("printf")
        .arg("b\\na\\nb\\n")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut second = Command::new("sort")
        .stdin(first.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let last = Command::new("uniq")
        .stdin(second.stdout.take().unwrap())
        .output()
        .unwrap();
    assert_eq!(last.stdout, b"a\nb\n");
    assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
}

/// Each child reads from the start, at its own pace, and leaves the bytes as they are.
#[test]
fn bytes_are_every_childs() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "cat; echo x >&0"])
        .stdin(Stdio::bytes("abc").unwrap())
        .stderr(Stdio::null());
    for _ in 0..3 {
        assert_eq!(command.output().unwrap().stdout, b"abc");
    }
    let mut half = Command::new("head");
    half.args(["-c", "1"]).stdin(Stdio::bytes("abc").unwrap());
    for _ in 0..2 {
        assert_eq!(half.output().unwrap().stdout, b"a");
    }
}

/// As std's `output`: a program must not read what is meant for its parent.
#[test]
fn a_captured_program_does_not_read_its_parents_input() {
    if !crate::common::in_subprocess("stdio::a_captured_program_does_not_read_its_parents_input") {
        return;
    }
    let (read, _write) = std::io::pipe().unwrap();
    // SAFETY: the number is this process's input.
    assert_eq!(unsafe { libc::dup2(read.as_raw_fd(), 0) }, 0);
    let input = |command: &mut Command| {
        let output = command
            .args(["-c", "readlink /proc/$$/fd/0"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(input(&mut Command::new("sh")), "/dev/null\n");
    let inherited = input(Command::new("sh").stdin(Stdio::inherit()));
    assert!(inherited.starts_with("pipe:"), "{inherited}");
}
