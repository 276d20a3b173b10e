//! What the tests share.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rawthread::process::Command;

/// Whether a process or zombie of this number exists, and its state letter (`Z` for a zombie).
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    after_name.chars().next()
}

/// Whether this machine lets the caller make user namespaces.
pub(crate) fn user_namespaces() -> bool {
    // SAFETY: the child only exits.
    let child = unsafe {
        rawthread::process::Builder::new()
            .namespaces(rawthread::process::Namespaces::USER)
            .spawn(|| 0)
    };
    let can = Path::new("/proc/self/uid_map").exists()
        && child.is_ok_and(|mut child| child.wait().is_ok_and(|status| status.success()));
    if !can {
        println!("SKIP: no user namespaces for this user here");
    }
    can
}

/// What a shell script prints.
pub(crate) fn sh(script: &str, configure: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    configure(&mut command);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Writes a file through another process: a descriptor open for writing, even one that a parallel
/// fork has copied, makes execve say ETXTBSY.
pub(crate) fn write(path: &Path, text: &str, mode: u32) {
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", "printf %s \"$2\" > \"$1\"", "sh"])
        .arg(path)
        .arg(text)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// As [`write`], of any bytes.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8], mode: u32) {
    use std::io::Write;
    let mut cat = std::process::Command::new("/bin/sh")
        .args(["-c", "exec cat > \"$1\"", "sh"])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(cat.wait().unwrap().success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
