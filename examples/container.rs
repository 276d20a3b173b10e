//! A container: a program in seven namespaces of its own, with its own root, devices and /proc, few
//! capabilities, a seccomp filter and limits. No line of it is unsafe, and no right is needed where the
//! machine lets users make user namespaces.
//!
//! ```sh
//! cargo run --example container                          # a shell to look around in
//! cargo run --example container -- sh -c 'id; ls /; hostname; ls /proc; mount -t tmpfs x /usr'
//! ```

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use libc::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT};
use rawthread::process::{BeforeExec, Capabilities, Command, Namespaces, Rlimit};
use rawthread::{Error, Signal};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "/bin/sh".to_owned());
    let group = cgroup();
    let status = container(&program, group.as_ref()).and_then(|mut all| all.args(words).status());
    let _ = fs::remove_dir(cgroup_path());
    match status {
        Ok(status) => ExitCode::from(status.code().map_or(1, |code| code as u8)),
        Err(error) => {
            eprintln!("container: {program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command that runs `program` in a container.
pub(crate) fn container(program: &str, cgroup: Option<&fs::File>) -> Result<Command, Error> {
    // The caller, as the owner of its directory in /proc, is root inside; no other user is there.
    let (uid, gid) = fs::metadata("/proc/self").map_or((0, 0), |own| (own.uid(), own.gid()));
    let kept = Capabilities::CHOWN | Capabilities::DAC_OVERRIDE | Capabilities::KILL;
    let mut command = Command::new(program);
    command
        .namespaces(Namespaces::all() - Namespaces::TIME)
        .uid_map(0, uid, 1)
        .gid_map(0, gid, 1)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/"), ("TERM", "linux")])
        .close_others()
        .rlimit(Rlimit::OpenFiles, 256, 256)
        .rlimit(Rlimit::Core, 0, 0)
        // If this program is killed, so is process 1, and with it every process inside.
        .parent_death_signal(Signal::new(libc::SIGKILL)?);
    if let Some(cgroup) = cgroup {
        command.cgroup(cgroup.as_raw_fd());
    }
    for step in own_root("/tmp") {
        command.before_exec(step);
    }
    command
        .before_exec(BeforeExec::host_name("container"))
        .before_exec(BeforeExec::loopback_up())
        .before_exec(BeforeExec::no_new_privileges())
        .before_exec(BeforeExec::keep_capabilities(kept))
        .before_exec(BeforeExec::seccomp(filter()));
    Ok(command)
}

/// A root on a file system in memory, mounted on `at`: the host's programs, to read; some devices; a
/// /proc of this pid namespace.
fn own_root(at: &str) -> Vec<BeforeExec> {
    let hard = MS_NOSUID | MS_NODEV;
    let bind = |from: &str, to: &str| BeforeExec::mount(from, to, "", MS_BIND | MS_REC, "");
    // Mounts made inside must not show outside.
    let mut steps = vec![
        BeforeExec::mount("", "/", "", MS_REC | MS_PRIVATE, ""),
        BeforeExec::mount("root", at, "tmpfs", hard, "mode=755,size=64m"),
    ];
    for dir in ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] {
        let new = format!("{at}{dir}");
        if let Ok(target) = fs::read_link(dir) {
            steps.push(BeforeExec::symlink(target, new));
        } else if fs::metadata(dir).is_ok() {
            let read_only = MS_BIND | MS_REMOUNT | MS_RDONLY | hard;
            steps.extend([BeforeExec::make_dir(&new, 0o755), bind(dir, &new)]);
            steps.push(BeforeExec::mount("", &new, "", read_only, ""));
        }
    }
    for dir in ["/dev", "/proc", "/tmp"] {
        steps.push(BeforeExec::make_dir(format!("{at}{dir}"), 0o755));
    }
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        let new = format!("{at}{device}");
        steps.push(BeforeExec::write_file(&new, "", Some(0o666)));
        steps.push(bind(device, &new));
    }
    let proc = format!("{at}/proc");
    steps.push(BeforeExec::mount(
        "proc",
        proc,
        "proc",
        hard | MS_NOEXEC,
        "",
    ));
    steps.push(BeforeExec::pivot_root(at));
    steps
}

fn cgroup_path() -> String {
    format!("/sys/fs/cgroup/container-{}", std::process::id())
}

/// A control group of at most 64 tasks, where the caller may make one in version 2's tree.
fn cgroup() -> Option<fs::File> {
    fs::metadata("/sys/fs/cgroup/cgroup.controllers").ok()?;
    fs::create_dir(cgroup_path()).ok()?;
    fs::write(format!("{}/pids.max", cgroup_path()), "64").ok()?;
    fs::File::open(cgroup_path()).ok()
}

/// A filter that answers EPERM to what reaches around the container, and to other ABIs' calls.
fn filter() -> Vec<u8> {
    let mounts = [libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root];
    let others = [libc::SYS_unshare, libc::SYS_setns, libc::SYS_bpf];
    let kernel = [libc::SYS_ptrace, libc::SYS_keyctl, libc::SYS_init_module];
    let refused = [mounts, others, kernel].concat();
    let abi = match std::env::consts::ARCH {
        "x86_64" => 0xc000_003e,
        _ => 0xc000_00b7,
    };
    let op = |code: u16, yes: u8, no: u8, value: u32| {
        let [a, b] = code.to_ne_bytes();
        let [c, d, e, f] = value.to_ne_bytes();
        [a, b, yes, no, c, d, e, f]
    };
    let count = refused.len() as u8;
    // Loads (0x20) the ABI and then the number of seccomp_data, and compares (0x15: =, 0x35: >=).
    let mut code = vec![op(0x20, 0, 0, 4), op(0x15, 0, count + 3, abi)];
    code.extend([op(0x20, 0, 0, 0), op(0x35, count + 1, 0, 0x4000_0000)]);
    for (at, number) in (0..).zip(refused) {
        code.push(op(0x15, count - at, 0, number as u32));
    }
    code.push(op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW));
    code.push(op(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | 1));
    code.concat()
}
