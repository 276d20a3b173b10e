//! The steps of a child as data, and taking them.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::{Error, Operation};
use crate::process::capabilities::Capabilities;
use crate::process::ids::Ids;
use crate::process::landlock::Landlock;
use crate::process::namespaces::Namespaces;
use crate::sys::file::OwnedFd;
use crate::sys::sched::{self, SchedAttr};
use crate::sys::{Errno, confine, process, setup};
use crate::thread::CpuSet;

/// A step that the child takes before `execve`: one system call of a fixed set.
///
/// There is no closure here on purpose. The child shares the parent's memory and has no thread
/// identity of its own; whatever it may do must be known to touch neither.
///
/// ```
/// use rawthread::process::{BeforeExec, Command};
///
/// let output = Command::new("sh")
///     .args(["-c", "umask"])
///     .before_exec(BeforeExec::umask(0o027))
///     .output()?;
/// assert_eq!(output.stdout, b"0027\n");
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BeforeExec(pub(super) Action);

#[derive(Clone, Debug)]
pub(super) enum Action {
    Umask(u32),
    Nice(i32),
    Scheduling(SchedAttr),
    Affinity(Box<CpuSet>),
    OomScore(i32),
    TraceMe,
    Foreground(i32),
    HostName(CString),
    LoopbackUp,
    Open {
        number: i32,
        path: CString,
        flags: i32,
        mode: u32,
    },
    Close(i32),
    ChangeDir(i32),
    /// Lines for `timens_offsets`.
    TimeOffsets(Vec<u8>),
    Mount {
        source: Option<CString>,
        target: CString,
        kind: Option<CString>,
        flags: u64,
        data: Option<CString>,
    },
    Unmount(CString, i32),
    /// With `MS_*` of the four that `mount_setattr(2)` has too.
    RestrictMount(CString, u64),
    PivotRoot(CString),
    MakeDir(CString, u32),
    Symlink(CString, CString),
    WriteFile(CString, Vec<u8>, Option<u32>),
    #[cfg_attr(
        not(feature = "std"),
        allow(dead_code, reason = "std has the type that hands the descriptor over")
    )]
    JoinNamespaces(Arc<OwnedFd>, Namespaces),
    SetIds(u32, u32),
    SecureBits(u32),
    NoNewPrivileges,
    KeepCapabilities(Capabilities),
    Landlock(Arc<Landlock>),
    /// Instructions of eight bytes.
    Seccomp(Vec<u64>),
    /// A filter whose length is no multiple of eight.
    BadFilter,
    /// A number for an errno that is none.
    BadErrno,
    /// A number for a system call that is none of this machine's own ABI.
    BadCall,
    /// A negative number for a descriptor.
    BadDescriptor,
    /// A string with a NUL in it was given.
    HasNul,
}

static NICE: Operation = Operation {
    name: "setpriority",
    purpose: "set the child's nice value",
    hint: |_| "A lower value needs CAP_SYS_NICE or RLIMIT_NICE.",
};
static NO_NEW_PRIVS: Operation = Operation {
    name: "prctl(PR_SET_NO_NEW_PRIVS)",
    purpose: "give up new privileges",
    hint: |_| "It needs Linux 3.5.",
};
static HOST_NAME: Operation = Operation {
    name: "sethostname",
    purpose: "set the child's host name",
    hint: |errno| match errno {
        Errno::EPERM => {
            "It needs CAP_SYS_ADMIN in the UTS namespace: add Namespaces::USER and UTS."
        }
        _ => "It takes 64 bytes.",
    },
};
static MOUNT: Operation = Operation {
    name: "mount",
    purpose: "change the child's mounts",
    hint: |errno| match errno {
        Errno::EPERM => {
            "It needs CAP_SYS_ADMIN in the mount namespace: add Namespaces::USER and MOUNT, and PID \
             for a /proc of its own."
        }
        _ => "It needs an existing target and the right type.",
    },
};

static SCHEDULING: Operation = Operation {
    name: "sched_setattr",
    purpose: "set the child's scheduling policy",
    hint: |errno| match errno {
        Errno::EPERM => "It needs CAP_SYS_NICE or RLIMIT_RTPRIO.",
        _ => "The priority is out of range for the policy.",
    },
};
static AFFINITY: Operation = Operation {
    name: "sched_setaffinity",
    purpose: "set the child's affinity",
    hint: |_| "The set names no processor that the machine has and the control group allows.",
};
static OOM_SCORE: Operation = Operation {
    name: "oom_score_adj",
    purpose: "set the child's OOM score adjustment",
    hint: |errno| match errno.number() {
        libc::EACCES => "A lower value needs CAP_SYS_RESOURCE.",
        libc::EINVAL => "It takes -1000 to 1000.",
        _ => "/proc must be mounted.",
    },
};
static TRACE_ME: Operation = Operation {
    name: "ptrace(PTRACE_TRACEME)",
    purpose: "have the parent trace the child",
    hint: |_| "A sandbox may forbid it.",
};
static FOREGROUND: Operation = Operation {
    name: "ioctl(TIOCSPGRP)",
    purpose: "make the child's process group the terminal's foreground group",
    hint: |_| "It takes the controlling terminal of the child's session.",
};
static LOOPBACK: Operation = Operation {
    name: "ioctl(SIOCSIFFLAGS)",
    purpose: "set the loopback device up",
    hint: |_| "It needs CAP_NET_ADMIN in the network namespace: add Namespaces::USER and NET.",
};
static OPEN: Operation = Operation {
    name: "openat",
    purpose: "open a file for the child",
    hint: |errno| match errno.number() {
        libc::EBADF => "Its number must lie below RLIMIT_NOFILE.",
        libc::EMFILE => {
            "Close others first: it takes one number more than the child's, for a moment."
        }
        _ => "It is opened in the child: with its ids, in its root and working directory.",
    },
};
static CHANGE_DIR: Operation = Operation {
    name: "fchdir",
    purpose: "enter the child's working directory",
    hint: |errno| match errno.number() {
        libc::EBADF => "Is the directory open in the child?",
        _ => "It must be a directory that the child may enter.",
    },
};
static TIME_OFFSETS: Operation = Operation {
    name: "timens_offsets",
    purpose: "set the clock offsets of the child's time namespace",
    hint: |errno| match errno.number() {
        libc::EACCES => {
            "A process is in it already: it takes a command, or a closure with VM, made with \
             Namespaces::TIME."
        }
        libc::EPERM => "It needs CAP_SYS_TIME in the user namespace: add Namespaces::USER.",
        libc::ERANGE => "No clock may be set before 0, or beyond some 146 years.",
        _ => "It needs Linux 5.6 with time namespaces, and /proc mounted.",
    },
};
static UNMOUNT: Operation = Operation {
    name: "umount2",
    purpose: "unmount a file system in the child",
    hint: |errno| match errno.number() {
        libc::EPERM => "It needs CAP_SYS_ADMIN in the mount namespace.",
        libc::EBUSY => "It is in use: MNT_DETACH unmounts it lazily.",
        _ => "It must be a mount point, and none that came locked from another user namespace.",
    },
};
static RESTRICT_MOUNT: Operation = Operation {
    name: "mount_setattr",
    purpose: "restrict the child's mounts",
    hint: |errno| match errno.number() {
        libc::ENOSYS => "It needs Linux 5.12.",
        libc::EPERM => "It needs CAP_SYS_ADMIN in the mount namespace.",
        _ => "It must be a mount point: bind it to itself.",
    },
};
static SET_IDS: Operation = Operation {
    name: "setresuid",
    purpose: "set the child's ids",
    hint: |errno| match errno {
        Errno::EPERM => "It needs CAP_SETUID and CAP_SETGID.",
        _ => "They must be mapped in the child's user namespace.",
    },
};
static PIVOT_ROOT: Operation = Operation {
    name: "pivot_root",
    purpose: "change the child's root mount",
    hint: |errno| match errno.number() {
        libc::EPERM => "It needs CAP_SYS_ADMIN in the mount namespace.",
        libc::EINVAL => {
            "The new root must be a mount point (bind it to itself), and neither it nor the old root's \
             parent shared: make / private first."
        }
        _ => "The new root must be a directory that is a mount point.",
    },
};
static MAKE_DIR: Operation = Operation {
    name: "mkdir",
    purpose: "make a directory in the child",
    hint: |_| "Its parent directory must exist and be writable.",
};
static SYMLINK: Operation = Operation {
    name: "symlink",
    purpose: "make a symbolic link in the child",
    hint: |_| "The directory must be writable, and the name free.",
};
static WRITE_FILE: Operation = Operation {
    name: "write",
    purpose: "write a file in the child",
    hint: |_| "The child must be able to open it for writing.",
};
static SETNS: Operation = Operation {
    name: "setns",
    purpose: "join namespaces",
    hint: |errno| match errno.number() {
        libc::EPERM => "It needs CAP_SYS_ADMIN over the namespace and in its own.",
        _ => "It takes a descriptor of such a namespace, or a pidfd (Linux 5.8).",
    },
};
static SECUREBITS: Operation = Operation {
    name: "prctl(PR_SET_SECUREBITS)",
    purpose: "set the child's securebits",
    hint: |_| "It needs CAP_SETPCAP, and bits that are not locked.",
};
static CAPABILITIES: Operation = Operation {
    name: "capset",
    purpose: "give up capabilities",
    hint: |_| "To take capabilities from the bounding set needs CAP_SETPCAP: add Namespaces::USER.",
};
static LANDLOCK: Operation = Operation {
    name: "landlock_restrict_self",
    purpose: "put Landlock rules in force",
    hint: |_| "It needs no_new_privileges or CAP_SYS_ADMIN.",
};
static SECCOMP: Operation = Operation {
    name: "seccomp",
    purpose: "install a seccomp filter",
    hint: |errno| match errno.number() {
        libc::EACCES => "It needs no_new_privileges or CAP_SYS_ADMIN.",
        _ => "The kernel checks the filter: each jump forward, the last instruction a return.",
    },
};

/// `setresuid(2)` takes it for "leave as it is": the program would keep the rights that it was to lose.
pub(in crate::process) const NO_ID: Error = Error::invalid_input(
    "4294967295 (-1) as a user or group id, which is no id",
    "Give an id, or leave it unset to keep the caller's.",
);

type Failed = (&'static Operation, Errno);

impl BeforeExec {
    /// Takes the step; `ids` says whose a step for ids sets. Runs in the child: raw system calls only, for
    /// [`Ids::Thread`].
    pub(in crate::process) fn run(&self, ids: Ids) -> Result<(), Failed> {
        let at = |step: &'static Operation| move |errno: Errno| (step, errno);
        match &self.0 {
            Action::Umask(mask) => {
                process::set_umask(*mask);
                Ok(())
            }
            Action::Nice(value) => process::set_nice(*value).map_err(at(&NICE)),
            Action::Scheduling(attributes) => {
                sched::set_attributes(0, attributes).map_err(at(&SCHEDULING))
            }
            Action::Affinity(set) => sched::set_affinity(0, set.words()).map_err(at(&AFFINITY)),
            Action::OomScore(value) => set_oom_score(*value).map_err(at(&OOM_SCORE)),
            Action::TraceMe => setup::trace_me().map_err(at(&TRACE_ME)),
            Action::Foreground(fd) => setup::set_foreground(*fd).map_err(at(&FOREGROUND)),
            Action::HostName(name) => process::set_host_name(name).map_err(at(&HOST_NAME)),
            Action::Open {
                number,
                path,
                flags,
                mode,
            } => process::open_as(*number, path, *flags, *mode).map_err(at(&OPEN)),
            Action::Close(number) => {
                process::close(*number);
                Ok(())
            }
            Action::ChangeDir(fd) => process::fchdir(*fd).map_err(at(&CHANGE_DIR)),
            Action::TimeOffsets(lines) => {
                setup::write_file(c"/proc/self/timens_offsets", lines, None)
                    .map_err(at(&TIME_OFFSETS))
            }
            Action::LoopbackUp => setup::loopback_up().map_err(at(&LOOPBACK)),
            Action::Mount {
                source,
                target,
                kind,
                flags,
                data,
            } => process::mount(
                source.as_deref(),
                target,
                kind.as_deref(),
                *flags,
                data.as_deref(),
            )
            .map_err(at(&MOUNT)),
            Action::Unmount(target, flags) => setup::unmount(target, *flags).map_err(at(&UNMOUNT)),
            Action::RestrictMount(target, flags) => {
                setup::restrict_mounts(target, *flags).map_err(at(&RESTRICT_MOUNT))
            }
            Action::PivotRoot(root) => pivot_root(root).map_err(at(&PIVOT_ROOT)),
            Action::MakeDir(path, mode) => setup::make_dir(path, *mode).map_err(at(&MAKE_DIR)),
            Action::Symlink(target, path) => setup::symlink(target, path).map_err(at(&SYMLINK)),
            Action::WriteFile(path, bytes, mode) => {
                setup::write_file(path, bytes, *mode).map_err(at(&WRITE_FILE))
            }
            Action::JoinNamespaces(fd, kinds) => {
                confine::set_namespace(fd.as_raw(), kinds.flags().bits()).map_err(at(&SETNS))
            }
            Action::SetIds(uid, gid) => set_ids(ids, *uid, *gid).map_err(at(&SET_IDS)),
            Action::SecureBits(bits) => confine::set_securebits(*bits).map_err(at(&SECUREBITS)),
            Action::NoNewPrivileges => process::set_no_new_privileges().map_err(at(&NO_NEW_PRIVS)),
            Action::KeepCapabilities(kept) => {
                keep_capabilities(kept.bits()).map_err(at(&CAPABILITIES))
            }
            Action::Landlock(rules) => {
                confine::landlock_restrict(rules.as_raw()).map_err(at(&LANDLOCK))
            }
            Action::Seccomp(filter) => confine::install_filter(filter).map_err(at(&SECCOMP)),
            Action::BadFilter
            | Action::BadErrno
            | Action::BadCall
            | Action::BadDescriptor
            | Action::HasNul => Ok(()),
        }
    }
}

/// Supplementary groups are given up where that is permitted: it is not in a user namespace whose group map
/// was written without the right.
fn set_ids(ids: Ids, uid: u32, gid: u32) -> Result<(), Errno> {
    match ids.set_groups(&[]) {
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    ids.set_gid(gid)?;
    ids.set_uid(uid)
}

/// Makes the mount at `root` the root, and unmounts the old one with all below it.
fn pivot_root(root: &core::ffi::CStr) -> Result<(), Errno> {
    process::chdir(root)?;
    setup::pivot_root_here()?;
    // The old root is on top of the new one now, and the working directory leads to it.
    setup::unmount(c".", libc::MNT_DETACH)?;
    process::chdir(c"/")
}

/// No program of the child or its descendants has a capability but these, whoever owns its file.
fn keep_capabilities(kept: u64) -> Result<(), Errno> {
    let mut sets = confine::capability_sets()?;
    // A change of ids takes them out of force.
    sets.effective = sets.permitted;
    confine::set_capability_sets(sets)?;
    for capability in 0..u64::BITS {
        match confine::is_bounding(capability) {
            Ok(true) if kept >> capability & 1 == 0 => confine::drop_bounding(capability)?,
            Ok(_) => {}
            // Beyond the last that this kernel knows.
            Err(_) => break,
        }
    }
    // Linux before 4.3 has no ambient set: a program that is not root's has none then.
    let has_ambient = confine::clear_ambient().is_ok();
    let kept = kept & sets.permitted;
    confine::set_capability_sets(confine::CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: kept,
    })?;
    for capability in (0..u64::BITS).filter(|bit| has_ambient && kept >> bit & 1 == 1) {
        confine::raise_ambient(capability)?;
    }
    Ok(())
}

/// Without an allocator: the child must not use it.
fn set_oom_score(value: i32) -> Result<(), Errno> {
    let mut text = [0u8; 11];
    let mut at = text.len();
    let mut left = value.unsigned_abs();
    loop {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    setup::write_file(c"/proc/self/oom_score_adj", &text[at..], None)
}
