//! A container: a program with its own root, devices, /proc, seven namespaces, few capabilities, a seccomp
//! filter and limits, by safe code. A user needs no right where the machine lets users make user namespaces;
//! root's container has ids that no user has. docs/guide/containers.md says what it does not keep out:
//! cargo run --example container -- sh -c 'id; ls /; hostname; ls /proc; mount -t tmpfs x /usr'

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use libc::{MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC};
use libc::{SYS_add_key, SYS_bpf, SYS_keyctl, SYS_ptrace, SYS_request_key, SYS_unshare};
use rawthread::process::{BeforeExec as Step, Capabilities, Command, Namespaces, Rlimit};
use rawthread::{Error, Signal};

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "/bin/sh".to_owned());
    let group = cgroup().inspect_err(|error| eprintln!("Rlimits alone, no control group: {error}"));
    let (path, group) = group.ok().unzip();
    let ended = container(&program, group).and_then(|mut all| all.args(words).status());
    path.map(fs::remove_dir);
    std::process::exit(ended?.code().unwrap_or(1));
}

/// The command that runs `program` in a container.
pub(crate) fn container(program: &str, cgroup: Option<File>) -> Result<Command, Error> {
    // Its root is the caller outside, the owner of its directory in /proc; of root's, an id without a user.
    let own = fs::metadata("/proc/self").map(|own| (own.uid(), own.gid(), 1));
    let outside = own.ok().filter(|own| own.0 != 0);
    let (uid, gid, count) = outside.unwrap_or((524_288, 524_288, 65_536));
    let kept = Capabilities::CHOWN | Capabilities::KILL;
    let mut command = Command::new(program);
    command
        .namespaces(Namespaces::all() - Namespaces::TIME)
        .uid_map(0, uid, count)
        .gid_map(0, gid, count)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("HOME", "/"), ("TERM", "linux")])
        .close_others()
        .rlimit(Rlimit::OpenFiles, 256, 256)
        .rlimit(Rlimit::Processes, 64, 64)
        .rlimit(Rlimit::Core, 0, 0)
        // If this program is killed, so is process 1, and with it every process inside.
        .parent_death_signal(Signal::new(libc::SIGKILL)?)
        .before_execs(own_root("/tmp"))
        .before_exec(Step::host_name("container"))
        .before_exec(Step::loopback_up())
        .before_exec(Step::no_new_privileges())
        .before_exec(Step::keep_capabilities(kept));
    let keys = [SYS_add_key, SYS_keyctl, SYS_request_key];
    let calls = keys.into_iter().chain([SYS_bpf, SYS_ptrace, SYS_unshare]);
    command.before_exec(Step::refuse_calls(calls, libc::EPERM));
    cgroup.map(|cgroup| command.cgroup(cgroup));
    Ok(command)
}

/// A root in memory, mounted on `at`: the host's programs, to read; devices; a /proc of this pid namespace.
fn own_root(at: &str) -> Vec<Step> {
    let (hard, inside) = (MS_NOSUID | MS_NODEV, |path: &str| format!("{at}{path}"));
    // Without the second, mounts made inside show outside.
    let private = Step::mount("", "/", "", MS_REC | MS_PRIVATE, "");
    let root = Step::mount("root", at, "tmpfs", hard, "mode=755,size=64m");
    let mut steps = vec![Step::set_ids(0, 0), private, root];
    steps.extend(["/dev", "/etc", "/proc", "/tmp"].map(|dir| Step::make_dir(inside(dir), 0o755)));
    for dir in "/usr /bin /sbin /lib /lib64 /etc/alternatives".split(' ') {
        let new = inside(dir);
        if let Ok(target) = fs::read_link(dir) {
            steps.push(Step::symlink(target, new));
        } else if fs::exists(dir).unwrap_or(false) {
            steps.extend([Step::make_dir(&new, 0o755), Step::bind(dir, &new)]);
            steps.push(Step::restrict_mounts(new, hard | MS_RDONLY));
        }
    }
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        steps.push(Step::write_file(inside(device), "", Some(0o666)));
        steps.push(Step::bind(device, inside(device)));
    }
    let (proc, sys) = (inside("/proc"), inside("/proc/sys"));
    let namespaces = format!("{sys}/user/max_user_namespaces");
    steps.push(Step::mount("proc", proc, "proc", hard, ""));
    // No user namespace inside gives capabilities, and no parameter of the kernel can be set.
    steps.extend([
        Step::write_file(namespaces, "0", None),
        Step::bind(&sys, &sys),
    ]);
    steps.extend([Step::restrict_mounts(sys, MS_RDONLY), Step::pivot_root(at)]);
    steps
}

/// A control group of at most 64 tasks, in version 2's tree.
pub(crate) fn cgroup() -> std::io::Result<(PathBuf, File)> {
    let mut trees = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter();
    let tree = trees.find(|tree| fs::exists(format!("{tree}/cgroup.procs")).unwrap_or(false));
    let tree = tree.ok_or_else(|| std::io::Error::other("no version 2 in /sys/fs/cgroup"))?;
    let path = PathBuf::from(format!("{tree}/container-{}", std::process::id()));
    fs::create_dir(&path)?;
    let limited = fs::write(path.join("pids.max"), "64").and_then(|()| File::open(&path));
    let group = limited.inspect_err(|_| drop(fs::remove_dir(&path)))?;
    Ok((path, group))
}
