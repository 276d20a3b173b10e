//! Steps that change what a program finds in its file system and namespaces.

use alloc::vec::Vec;

use super::action::{Action, BeforeExec};
use crate::process::kernel_str::{KernelStr, cstring};

impl BeforeExec {
    /// Sets the host name of the UTS namespace: `sethostname(2)`.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::host_name("inside");
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn host_name(name: impl KernelStr) -> Self {
        Self(cstring(&name).map_or(Action::HasNul, Action::HostName))
    }

    /// `mount(2)`, with `libc::MS_*` as flags; an empty `source`, `kind` or `data` is left out.
    ///
    /// ```
    /// use rawthread::process::BeforeExec;
    /// // What a container starts with: its mounts do not spread to the host, and its own /proc.
    /// let apart = BeforeExec::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
    /// let proc = BeforeExec::mount("proc", "/proc", "proc", 0, "");
    /// # let _ = (apart, proc);
    /// ```
    #[must_use]
    pub fn mount(
        source: impl KernelStr,
        target: impl KernelStr,
        kind: impl KernelStr,
        flags: u64,
        data: impl KernelStr,
    ) -> Self {
        let optional = |given: &dyn KernelStr| match cstring(given) {
            Some(text) if text.is_empty() => Some(None),
            other => other.map(Some),
        };
        let mount = || {
            Some(Action::Mount {
                source: optional(&source)?,
                target: cstring(&target)?,
                kind: optional(&kind)?,
                flags,
                data: optional(&data)?,
            })
        };
        Self(mount().unwrap_or(Action::HasNul))
    }

    /// Shows the file or directory `source`, with all that is mounted below it, at `target` too: `mount(2)`
    /// with `MS_BIND` and `MS_REC`.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::bind("/usr", "/srv/inner/usr");
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn bind(source: impl KernelStr, target: impl KernelStr) -> Self {
        Self::mount(source, target, "", libc::MS_BIND | libc::MS_REC, "")
    }

    /// Sets restrictions of the mount at `target` and of every mount below it: `mount_setattr(2)` (Linux 5.12).
    /// They are of `libc::MS_RDONLY`, `MS_NOSUID`, `MS_NODEV` and `MS_NOEXEC`.
    ///
    /// `mount` with `MS_REMOUNT` and `MS_BIND` restricts one mount: what is mounted below it stays as it is.
    ///
    /// ```
    /// use rawthread::process::BeforeExec;
    /// // The host's programs, to read.
    /// let steps = [
    ///     BeforeExec::bind("/usr", "/srv/inner/usr"),
    ///     BeforeExec::restrict_mounts("/srv/inner/usr", libc::MS_RDONLY | libc::MS_NOSUID),
    /// ];
    /// # let _ = steps;
    /// ```
    #[must_use]
    pub fn restrict_mounts(target: impl KernelStr, restrictions: u64) -> Self {
        let restrict = |target| Action::RestrictMount(target, restrictions);
        Self(cstring(&target).map_or(Action::HasNul, restrict))
    }

    /// Unmounts what is mounted at `target`: `umount2(2)`, with `libc::MNT_*` as flags.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::unmount("/mnt", libc::MNT_DETACH);
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn unmount(target: impl KernelStr, flags: i32) -> Self {
        Self(cstring(&target).map_or(Action::HasNul, |target| Action::Unmount(target, flags)))
    }

    /// Makes the mount at `new_root` the root of the mount namespace, and unmounts the old root with all
    /// below it: `pivot_root(2)`. Unlike [`chroot`](crate::process::Command::chroot) it leaves no way out.
    ///
    /// ```
    /// use rawthread::process::BeforeExec;
    ///
    /// let steps = [
    ///     // Or the new mounts would show outside.
    ///     BeforeExec::mount("", "/", "", libc::MS_REC | libc::MS_PRIVATE, ""),
    ///     // A directory becomes a mount point by being bound to itself.
    ///     BeforeExec::bind("/srv/inner", "/srv/inner"),
    ///     BeforeExec::pivot_root("/srv/inner"),
    /// ];
    /// # let _ = steps;
    /// ```
    #[must_use]
    pub fn pivot_root(new_root: impl KernelStr) -> Self {
        Self(cstring(&new_root).map_or(Action::HasNul, Action::PivotRoot))
    }

    /// Makes a directory: `mkdir(2)`.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::make_dir("/run/mine", 0o755);
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn make_dir(path: impl KernelStr, mode: u32) -> Self {
        Self(cstring(&path).map_or(Action::HasNul, |path| Action::MakeDir(path, mode)))
    }

    /// Makes `path` a symbolic link to `target`: `symlink(2)`.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::symlink("/proc/self/fd", "/dev/fd");
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn symlink(target: impl KernelStr, path: impl KernelStr) -> Self {
        let link = || Some(Action::Symlink(cstring(&target)?, cstring(&path)?));
        Self(link().unwrap_or(Action::HasNul))
    }

    /// Writes `bytes` to an existing file, such as one of `/proc` or of a control group; with a `mode`,
    /// to a new one.
    ///
    /// Files of `/proc` that act on a process's memory (`coredump_filter`, `clear_refs`, `mem`) are refused for a child
    /// that shares its parent's, as each command's does until `execve`: they would change the parent. They are told by the
    /// last name of the path; do not write them through a link of another name.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("cat")
    ///     .arg("/proc/self/comm")
    ///     .before_exec(BeforeExec::write_file("/proc/self/comm", b"before", None))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"cat\n"); // execve sets it again
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn write_file(path: impl KernelStr, bytes: impl AsRef<[u8]>, mode: Option<u32>) -> Self {
        let bytes = Vec::from(bytes.as_ref());
        Self(cstring(&path).map_or(Action::HasNul, |path| Action::WriteFile(path, bytes, mode)))
    }

    /// Sets the loopback device of the network namespace up: in a new one it is down.
    ///
    /// ```
    /// let step = rawthread::process::BeforeExec::loopback_up();
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn loopback_up() -> Self {
        Self(Action::LoopbackUp)
    }

    /// Sets how many seconds the monotonic and the boot-time clock of the program's time namespace are
    /// ahead of the first namespace's: `time_namespaces(7)`. Needs
    /// [`Namespaces::TIME`](crate::process::Namespaces::TIME) and `CAP_SYS_TIME`, and `/proc`.
    ///
    /// The kernel takes offsets only as long as no process is in the namespace. The child of a command is not yet: it
    /// enters its time namespace by `execve`, after this step. The child of a closure is not either if it shares memory
    /// (`CLONE_VM`): its own clocks stay the caller's, and a program that it executes has the new ones. A closure's child
    /// with memory of its own is in the namespace from its start: there the step fails with `EACCES`.
    ///
    /// ```no_run
    /// # use rawthread::process::{BeforeExec, Command, Namespaces};
    /// // A program that believes the machine to have been up for a year.
    /// let year = 365 * 24 * 3600;
    /// Command::new("uptime")
    ///     .namespaces(Namespaces::USER | Namespaces::TIME)
    ///     .before_exec(BeforeExec::time_offsets(year, year))
    ///     .status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn time_offsets(monotonic: i64, boottime: i64) -> Self {
        let lines = alloc::format!("monotonic {monotonic} 0\nboottime {boottime} 0\n");
        Self(Action::TimeOffsets(lines.into_bytes()))
    }

    /// Joins namespaces of another process: `setns(2)`. If `fd` is a pidfd of that process (Linux 5.8), `kinds` says
    /// which of its namespaces; if it is an open file of `/proc/PID/ns`, `kinds` is that one kind, or empty. Feature `std`.
    ///
    /// Two kinds are special. Of a pid namespace the program itself does not become a member; the processes that it
    /// makes do. A user namespace is joined only by a process of one thread that shares its working directory with no
    /// other: the children of commands are that, and those of closures without `CLONE_FS`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command, Namespaces};
    /// let own = std::fs::File::open("/proc/self/ns/uts").unwrap();
    /// let step = BeforeExec::join_namespaces(own, Namespaces::UTS);
    /// if let Err(error) = Command::new("true").before_exec(step).status() {
    ///     assert_eq!(error.operation(), Some("setns")); // not root
    /// }
    /// ```
    #[cfg(feature = "std")]
    #[must_use]
    pub fn join_namespaces(
        fd: impl Into<std::os::fd::OwnedFd>,
        kinds: crate::process::namespaces::Namespaces,
    ) -> Self {
        let fd = crate::sys::file::OwnedFd::from(fd.into());
        Self(Action::JoinNamespaces(alloc::sync::Arc::new(fd), kinds))
    }
}
