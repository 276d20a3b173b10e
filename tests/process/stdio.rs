//! How the child's standard streams are opened.

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
