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
