//! A shell as process 1 of new user, pid, mount, UTS, IPC and network namespaces.
//!
//! ```sh
//! cargo run --example container                          # a shell to look around in
//! cargo run --example container -- sh -c 'id; ps; hostname'
//! ```
//!
//! No right is needed where the machine lets users make user namespaces: the new namespace makes
//! the caller its root, and root may make the others. What the shell sees: user 0, itself as
//! process 1, a /proc of its own, a host name that the host does not have, and no network but a
//! loopback device that is down.

use std::process::ExitCode;

use rawthread::Signal;
use rawthread::process::{BeforeExec, Command, Namespaces};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "/bin/sh".to_owned());
    match contain(&program, words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("container: {program}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn contain(
    program: &str,
    arguments: impl Iterator<Item = String>,
) -> Result<ExitCode, rawthread::Error> {
    let (uid, gid) = caller();
    let status = Command::new(program)
        .args(arguments)
        .namespaces(
            Namespaces::USER
                | Namespaces::PID
                | Namespaces::MOUNT
                | Namespaces::UTS
                | Namespaces::IPC
                | Namespaces::NET,
        )
        // The caller, and no other user, is root inside.
        .uid_map(0, uid, 1)
        .gid_map(0, gid, 1)
        // Mounts made inside must not show outside; then /proc can tell of these processes alone.
        .before_exec(BeforeExec::mount(
            "",
            "/",
            "",
            libc::MS_REC | libc::MS_PRIVATE,
            "",
        ))
        .before_exec(BeforeExec::mount("proc", "/proc", "proc", 0, ""))
        .before_exec(BeforeExec::host_name("container"))
        // If this program is killed, so is process 1, and with it every process inside.
        .parent_death_signal(Signal::new(libc::SIGKILL)?)
        .status()?;
    println!("container: {status}");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The caller's effective user and group id, as the owner of a process's directory in /proc.
fn caller() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or((0, 0), |own| (own.uid(), own.gid()))
}
