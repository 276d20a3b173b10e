//! A child with a parent-death signal whose parent dies before the child has set it.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rawthread::Signal;
use rawthread::process::{BeforeExec, Command, Namespaces};

use crate::common::{Directory, is_child, rerun_self};
use crate::settings::is_root;
use crate::util::user_namespaces;

/// Where the pipes lie, and how the child comes to a pid namespace.
const PLACE: &str = "RAWTHREAD_TEST_ORPHAN";
const WAY: &str = "RAWTHREAD_TEST_ORPHAN_WAY";

#[derive(Clone, Copy, Debug)]
enum Way {
    /// It comes to none: its parent's number tells.
    Plain,
    /// It is made in one.
    Own,
    /// And in a user namespace with maps.
    Mapped,
    /// Its parent makes all its children in one.
    Unshared,
}

fn make_fifo(path: PathBuf) -> PathBuf {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// Spawns a program in a pid namespace, whose child stops on its way there until the pipes have other ends.
fn be_the_parent(place: &Path) {
    // SAFETY: asks for ids.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo alive >&2"])
        .parent_death_signal(Signal::new(libc::SIGKILL).unwrap())
        .before_exec(BeforeExec::open(20, place.join("come"), libc::O_WRONLY, 0))
        .before_exec(BeforeExec::open(21, place.join("go"), libc::O_RDONLY, 0));
    match std::env::var(WAY).unwrap().as_str() {
        "Mapped" => {
            command
                .namespaces(Namespaces::USER | Namespaces::PID)
                .uid_map(0, uid, 1)
                .gid_map(0, gid, 1);
        }
        "Own" => {
            command.namespaces(Namespaces::PID);
        }
        "Plain" => {}
        _ => {
            // SAFETY: no memory.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        }
    }
    let _ = command.spawn().unwrap().wait();
}

/// What the program says whose parent `dies` before the signal was set.
fn program_says(test: &str, way: Way, dies: bool) -> String {
    let directory = Directory::new(&format!("orphan-{way:?}"));
    let come = make_fifo(directory.path().join("come"));
    let go = make_fifo(directory.path().join("go"));
    let mut command = rerun_self(test);
    command
        .env(PLACE, directory.path())
        .env(WAY, format!("{way:?}"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let mut parent = command.spawn().unwrap();
    // Opens once the child has come that far; then the child waits at the second pipe.
    let come = File::open(come).unwrap();
    if dies {
        parent.kill().unwrap();
        parent.wait().unwrap();
    }
    let go = File::options().write(true).open(go).unwrap();
    // Ends when no process has it: the child, whatever became of it.
    let mut said = String::new();
    parent
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    parent.wait().unwrap();
    drop((come, go));
    said
}

#[test]
fn a_parent_is_seen_to_die_also_outside_the_pid_namespace() {
    let test = "orphans::a_parent_is_seen_to_die_also_outside_the_pid_namespace";
    if is_child(test) {
        be_the_parent(Path::new(&std::env::var_os(PLACE).unwrap()));
        return;
    }
    let mut ways = vec![Way::Plain];
    if is_root() {
        ways.extend([Way::Own, Way::Unshared]);
    }
    if user_namespaces() {
        ways.push(Way::Mapped);
    }
    for way in ways {
        assert_eq!(program_says(test, way, false), "alive\n", "{way:?}");
        assert_eq!(
            program_says(test, way, true),
            "",
            "{way:?}: it has outlived its parent"
        );
    }
}
