//! A container: a program in seven namespaces of its own, with its own root, devices and /proc, few
//! capabilities, a seccomp filter and limits. No line of it is unsafe, and no right is needed where the
//! machine lets users make user namespaces.
//!
//! ```sh
//! cargo run --example container                          # a shell to look around in
//! cargo run --example container -- sh -c 'id; ls /; hostname; ls /proc; mount -t tmpfs x /usr'
//! ```

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libc::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT};
use rawthread::process::{BeforeExec, Capabilities, Command, Namespaces, Rlimit};
use rawthread::{Error, Signal};

/// What reaches around the container; calls of other ABIs are refused with them.
const REFUSED: [i64; 10] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_ptrace,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_perf_event_open,
];

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "/bin/sh".to_owned());
    let (path, group) = cgroup(Path::new("/sys/fs/cgroup")).unzip();
    let ended = container(&program, group.as_ref()).and_then(|mut all| all.args(words).status());
    path.map(fs::remove_dir);
    std::process::exit(ended?.code().unwrap_or(1));
}

/// The command that runs `program` in a container.
pub(crate) fn container(program: &str, cgroup: Option<&File>) -> Result<Command, Error> {
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
        .before_exec(BeforeExec::refuse_calls(REFUSED, libc::EPERM));
    Ok(command)
}

/// A root on a file system in memory, mounted on `at`: the host's programs, to read; some devices; a
/// /proc of this pid namespace.
fn own_root(at: &str) -> Vec<BeforeExec> {
    let hard = MS_NOSUID | MS_NODEV;
    let bind = |from: &str, to: &str| BeforeExec::mount(from, to, "", MS_BIND | MS_REC, "");
    // Mounts made inside must not show outside.
    let private = BeforeExec::mount("", "/", "", MS_REC | MS_PRIVATE, "");
    let root = BeforeExec::mount("root", at, "tmpfs", hard, "mode=755,size=64m");
    let mut steps = vec![private, root];
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
    let dirs = ["/dev", "/proc", "/tmp"];
    steps.extend(dirs.map(|dir| BeforeExec::make_dir(format!("{at}{dir}"), 0o755)));
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        let new = format!("{at}{device}");
        steps.push(BeforeExec::write_file(&new, "", Some(0o666)));
        steps.push(bind(device, &new));
    }
    let (proc, flags) = (format!("{at}/proc"), hard | MS_NOEXEC);
    steps.push(BeforeExec::mount("proc", proc, "proc", flags, ""));
    steps.push(BeforeExec::pivot_root(at));
    steps
}

/// A control group of at most 64 tasks, where the caller may make one in version 2's `tree`.
pub(crate) fn cgroup(tree: &Path) -> Option<(PathBuf, File)> {
    fs::metadata(tree.join("cgroup.controllers")).ok()?;
    let path = tree.join(format!("container-{}", std::process::id()));
    fs::create_dir(&path).ok()?;
    let limited = fs::write(path.join("pids.max"), "64").and_then(|()| File::open(&path));
    limited
        .map_err(|_| fs::remove_dir(&path))
        .ok()
        .map(|group| (path, group))
}
