//! What workers need of the file system: a jail, cgroups; all gone afterwards.
#![allow(unsafe_code, reason = "descriptors that workers inherit")]

use std::ffi::{CStr, CString};
use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::trial_call::Props;

/// Where workers may go.
pub(crate) struct Places {
    /// A directory to be chrooted to.
    pub(crate) jail: CString,
    /// One in it on which /proc can be mounted.
    pub(crate) jail_proc: CString,
    /// The limit and the member list of a cgroup with the pids controller.
    pub(crate) full_cgroup: Option<[CString; 2]>,
    /// Descriptors for the trials' arguments.
    pub(crate) props: Props,
    jail_path: PathBuf,
    cgroups: Vec<PathBuf>,
}

/// A name that no other run has: tests run side by side.
fn unique(what: &str) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only the numbers must differ.
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("rawthread-{what}-{}-{run}", process::id())
}

fn c_string(path: PathBuf) -> CString {
    CString::new(path.into_os_string().into_encoded_bytes()).expect("no NUL in a path")
}

fn open(path: &CStr) -> i32 {
    // SAFETY: the path ends in NUL.
    unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) }
}

/// Where to start asking for particular tids: far from those that the kernel hands out.
fn far_tid() -> i32 {
    let max = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let max: i32 = max.trim().parse().unwrap_or(32768);
    max / 4 * 3 + (process::id() as i32 * 97) % (max / 8)
}

/// The root of the version 2 cgroup tree, if there is one.
fn cgroup2_tree() -> Option<&'static str> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|path| fs::exists(format!("{path}/cgroup.controllers")).unwrap_or(false))
}

impl Places {
    /// Makes what the machine and our rights allow; what they do not is left out.
    pub(crate) fn make() -> Self {
        let jail_path = std::env::temp_dir().join(unique("jail"));
        fs::create_dir_all(jail_path.join("proc")).expect("a directory for the chroot");
        let mut places = Self {
            jail: c_string(jail_path.clone()),
            jail_proc: c_string(jail_path.join("proc")),
            full_cgroup: None,
            props: Props {
                cgroup: -1,
                removed_cgroup: -1,
                not_a_cgroup: open(c"/dev/null"),
                next_tid: far_tid(),
            },
            jail_path,
            cgroups: Vec::new(),
        };
        places.make_cgroups();
        places
    }

    fn make_cgroups(&mut self) {
        if let Some(tree) = cgroup2_tree() {
            let (kept, gone) = (self.cgroup(tree, "kept"), self.cgroup(tree, "gone"));
            if let (Some(kept), Some(gone)) = (kept, gone) {
                self.props.cgroup = open(&c_string(kept));
                self.props.removed_cgroup = open(&c_string(gone.clone()));
                _ = fs::remove_dir(gone);
            }
        }
        for tree in cgroup2_tree().into_iter().chain(["/sys/fs/cgroup/pids"]) {
            if let Some(full) = self.cgroup(tree, "full")
                && fs::exists(full.join("pids.max")).unwrap_or(false)
            {
                self.full_cgroup =
                    Some(["pids.max", "cgroup.procs"].map(|name| c_string(full.join(name))));
                break;
            }
        }
    }

    fn cgroup(&mut self, tree: &str, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(format!("{tree}/{}", unique(name)));
        fs::create_dir(&path).ok()?;
        self.cgroups.push(path.clone());
        Some(path)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for fd in [
            self.props.cgroup,
            self.props.removed_cgroup,
            self.props.not_a_cgroup,
        ] {
            // SAFETY: opened by `make`; closing -1 does nothing.
            unsafe { libc::close(fd) };
        }
        _ = fs::remove_dir_all(&self.jail_path);
        for path in &self.cgroups {
            // Its tasks are dead, but the kernel may still be putting them away.
            for _ in 0..1000 {
                let removed = fs::remove_dir(path);
                if removed.is_ok()
                    || removed.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
                {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}
