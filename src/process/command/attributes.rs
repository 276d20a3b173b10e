//! The methods of [`Command`] that set what a process has beside program, environment and descriptors.

use alloc::boxed::Box;

use super::builder::Command;
use crate::error::Error;
use crate::process::before_exec::BeforeExec;
use crate::process::cgroup::Cgroup;
use crate::process::kernel_str::KernelStr;
use crate::process::namespaces::Namespaces;
use crate::process::rlimit::Rlimit;
use crate::process::users;
use crate::thread::{Signal, SignalSet};

impl Command {
    /// Sets the child's working directory. A relative path of the program or in `PATH` starts
    /// from there.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert_eq!(Command::new("pwd").current_dir("/proc").output()?.stdout, b"/proc\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn current_dir(&mut self, path: impl KernelStr) -> &mut Self {
        self.settings.directory = Some(self.checked_cstring(&path));
        self
    }

    /// Sets the child's root directory (`chroot(2)`); its working directory is the new root unless
    /// [`current_dir`](Self::current_dir) names another, inside it.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let error = Command::new("true").chroot("/no/such").spawn().unwrap_err();
    /// assert_eq!(error.operation(), Some("chroot"));
    /// ```
    pub fn chroot(&mut self, path: impl KernelStr) -> &mut Self {
        self.settings.root = Some(self.checked_cstring(&path));
        self
    }

    /// Makes the child the leader of a new session without a terminal: `setsid(2)`.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let output = Command::new("sh")
    ///     .args(["-c", "cut -d' ' -f1,6 /proc/$$/stat"])
    ///     .new_session()
    ///     .output()?;
    /// let ids: Vec<_> = output.stdout.trim_ascii().split(|byte| *byte == b' ').collect();
    /// assert_eq!(ids[0], ids[1]); // the session is named after its leader
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn new_session(&mut self) -> &mut Self {
        self.settings.new_session = true;
        self
    }

    /// Puts the child into a process group; 0 makes a new one: `setpgid(2)`.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let mut child = Command::new("sleep").arg("60").process_group(0).spawn()?;
    /// // A negative pid means the group.
    /// assert_eq!(unsafe { libc::kill(-child.pid(), libc::SIGTERM) }, 0);
    /// assert_eq!(child.wait()?.signal(), Some(libc::SIGTERM));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.settings.process_group = Some(group);
        self
    }

    /// Makes the terminal that `fd` (the parent's number) is open on the child's controlling
    /// terminal: `ioctl_tty(2)`, `TIOCSCTTY`. Needs [`new_session`](Self::new_session).
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let error = Command::new("true").new_session().controlling_terminal(-1).spawn().unwrap_err();
    /// assert_eq!(error.operation(), Some("ioctl(TIOCSCTTY)"));
    /// ```
    pub fn controlling_terminal(&mut self, fd: i32) -> &mut Self {
        self.settings.controlling_terminal = Some(fd);
        self
    }

    /// Sets the child's real, effective and saved user id: `setresuid(2)`.
    ///
    /// With the id the child's supplementary groups change: to those of [`groups`](Self::groups) if it was called,
    /// and otherwise to none. To have none takes `CAP_SETGID`. A caller without that right has a child that keeps the
    /// caller's groups, and no error. In a new user namespace without a group map no child may change its groups:
    /// there the calling thread gives them up for the moment of the clone, if it has `CAP_SETGID`.
    ///
    /// Until the child is the program, this process is not dumpable (`PR_SET_DUMPABLE`), for it shares memory
    /// with the child: it makes no core file, and only root may trace it. Then it is as before, unless its own ids
    /// or permitted capabilities, as the calling thread has them, changed meanwhile. A `PR_SET_DUMPABLE` of 0 by
    /// another thread meanwhile cannot be told from that and is undone: make it again after the spawn. A child of
    /// libc's `fork` in another thread meanwhile stays as it is then; one of [`fork`](crate::process::fork()) does not.
    ///
    /// # Errors
    /// Of the spawn: `EPERM` of `setresuid` without `CAP_SETUID`, unless the id is one of the caller's own; `EINVAL` if
    /// the id has no place in the child's user namespace; `InvalidInput` for 4294967295.
    ///
    /// ```no_run
    /// # use rawthread::process::Command;
    /// let output = Command::new("id").arg("-u").uid(65534).output()?;
    /// assert_eq!(output.stdout, b"65534\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn uid(&mut self, uid: u32) -> &mut Self {
        self.settings.uid = Some(uid);
        self
    }

    /// Makes the child the user `name`: with its id, its group and its supplementary groups, as they are
    /// registered now. Variables (`HOME`, `USER`) stay as they are.
    ///
    /// To become another user takes `CAP_SETUID` and `CAP_SETGID`. A caller that is that user already, and has no
    /// other supplementary groups, needs no right: where it may not set groups, it keeps those that it has.
    ///
    /// A program with a dynamic libc asks that (`getpwnam(3)`, `getgrouplist(3)`), which may ask a
    /// directory service; any other reads `/etc/passwd` and `/etc/group`.
    ///
    /// # Errors
    /// `InvalidInput` if there is no such user; that of the look-up. Of the spawn: `EPERM` of `setgroups`,
    /// `setresgid` or `setresuid` without the right.
    ///
    /// ```no_run
    /// # use rawthread::process::Command;
    /// let output = Command::new("id").arg("-un").user("nobody")?.output()?;
    /// assert_eq!(output.stdout, b"nobody\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn user(&mut self, name: impl KernelStr) -> Result<&mut Self, Error> {
        let user = users::look_up(&name)?;
        self.uid(user.uid).gid(user.gid).groups(user.groups);
        self.settings.groups_may_stay = true;
        Ok(self)
    }

    /// Sets the child's real, effective and saved group id.
    ///
    /// ```no_run
    /// # use rawthread::process::Command;
    /// let output = Command::new("id").arg("-g").gid(65534).output()?;
    /// assert_eq!(output.stdout, b"65534\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn gid(&mut self, gid: u32) -> &mut Self {
        self.settings.gid = Some(gid);
        self
    }

    /// Sets the child's supplementary groups.
    ///
    /// ```no_run
    /// # use rawthread::process::Command;
    /// let status = Command::new("true").groups([100, 101]).status()?;
    /// assert!(status.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn groups(&mut self, groups: impl IntoIterator<Item = u32>) -> &mut Self {
        self.settings.groups = Some(groups.into_iter().collect());
        self.settings.groups_may_stay = false;
        self
    }

    /// Sets a resource's soft and hard limit in the child: `setrlimit(2)`.
    ///
    /// ```
    /// # use rawthread::process::{Command, Rlimit};
    /// let status = Command::new("sh")
    ///     .args(["-c", "test $(ulimit -c) = 0"])
    ///     .rlimit(Rlimit::Core, 0, 0)
    ///     .status()?;
    /// assert!(status.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn rlimit(&mut self, resource: Rlimit, soft: u64, hard: u64) -> &mut Self {
        self.settings.limits.push((resource.number(), soft, hard));
        self
    }

    /// Sets the signals that are blocked in the child. Unless set they are those of the thread that
    /// spawns it, as with `std::process::Command`.
    ///
    /// ```
    /// # use rawthread::{Signal, process::Command};
    /// let output = Command::new("grep")
    ///     .args(["SigBlk", "/proc/self/status"])
    ///     .signal_mask([Signal::new(libc::SIGHUP)?, Signal::new(libc::SIGUSR1)?].into_iter().collect())
    ///     .output()?;
    /// assert_eq!(output.stdout, b"SigBlk:\t0000000000000201\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn signal_mask(&mut self, blocked: SignalSet) -> &mut Self {
        self.settings.mask = Some(blocked.kernel());
        self
    }

    /// Gives a signal its default action in the child even if the caller ignores it. Signals that
    /// the caller has handlers for are always reset, and so is `SIGPIPE`, which Rust programs
    /// ignore.
    ///
    /// ```
    /// # use rawthread::{Signal, process::Command};
    /// Command::new("true").default_signal(Signal::new(libc::SIGCHLD)?).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn default_signal(&mut self, signal: Signal) -> &mut Self {
        let set = self.settings.default_signals;
        self.settings.default_signals = set.with(signal.number()).unwrap_or(set);
        self
    }

    /// The signal that the child gets when the *thread* that spawned it dies:
    /// `PR_SET_PDEATHSIG(2const)`. Spawn from a thread that lives as long as the child should. A child whose
    /// parent has died before the signal was set ends; of a parent outside its pid namespace it learns that since
    /// Linux 5.3.
    ///
    /// ```
    /// # use rawthread::{Signal, process::Command};
    /// Command::new("true").parent_death_signal(Signal::new(libc::SIGTERM)?).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn parent_death_signal(&mut self, signal: Signal) -> &mut Self {
        self.settings.death_signal = Some(signal.number());
        self
    }

    /// Adds namespaces of the child's own.
    ///
    /// ```no_run
    /// # use rawthread::process::{Command, Namespaces};
    /// let output = Command::new("sh")
    ///     .args(["-c", "echo $$"])
    ///     .namespaces(Namespaces::USER | Namespaces::PID)
    ///     .output()?;
    /// assert_eq!(output.stdout, b"1\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn namespaces(&mut self, namespaces: Namespaces) -> &mut Self {
        self.settings.namespaces |= namespaces;
        self
    }

    /// Maps `length` user ids from `outside` on to those from `inside` on in the child's user
    /// namespace, before any other step. May be called up to 32 times.
    ///
    /// ```no_run
    /// # use rawthread::process::{Command, Namespaces};
    /// let me = unsafe { libc::geteuid() };
    /// let output = Command::new("id")
    ///     .arg("-u")
    ///     .namespaces(Namespaces::USER)
    ///     .uid_map(0, me, 1)
    ///     .output()?;
    /// assert_eq!(output.stdout, b"0\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn uid_map(&mut self, inside: u32, outside: u32, length: u32) -> &mut Self {
        self.settings.maps.users.add(inside, outside, length);
        self
    }

    /// As [`uid_map`](Self::uid_map), for group ids. Where the caller lacks `CAP_SETGID`, `setgroups`
    /// is denied in the namespace first, as the kernel demands.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let error = Command::new("id").gid_map(0, 0, 1).spawn().unwrap_err();
    /// assert!(error.to_string().contains("Namespaces::USER"));
    /// ```
    pub fn gid_map(&mut self, inside: u32, outside: u32, length: u32) -> &mut Self {
        self.settings.maps.groups.add(inside, outside, length);
        self
    }

    /// Starts the child in a version-2 cgroup (`CLONE_INTO_CGROUP`, Linux 5.7): a `File` of its directory with std, or a
    /// [`Cgroup`].
    ///
    /// ```no_run
    /// # use rawthread::process::{Cgroup, Command};
    /// let jobs = Cgroup::open(c"/sys/fs/cgroup/jobs")?;
    /// Command::new("job").cgroup(jobs).spawn()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn cgroup(&mut self, cgroup: impl Into<Cgroup>) -> &mut Self {
        self.settings.cgroup = Some(cgroup.into());
        self
    }

    /// Sets whether the child comes with a pidfd. Unless set, it does if the kernel can and a
    /// descriptor is free.
    ///
    /// Without one its handle knows it by number: it does not find the status where SIGCHLD is ignored, and
    /// [`Child::wait_group`](crate::process::Child::wait_group) reaps no other child meanwhile.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let child = Command::new("true").pidfd(false).spawn()?;
    /// assert!(child.raw_pidfd().is_none());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn pidfd(&mut self, enable: bool) -> &mut Self {
        self.settings.pidfd = Some(enable);
        self
    }

    /// Adds a step that the child takes before `execve`. Steps of each row are taken in the order in which they
    /// were given:
    ///
    /// | steps | when | with which ids and descriptors |
    /// |---|---|---|
    /// | `keep_capabilities`, `landlock`, `seccomp`, `refuse_calls` | last, right before `execve` | the program's |
    /// | `open`, `close`, `change_dir` | after [`descriptor`](Self::descriptor) and [`current_dir`](Self::current_dir), before [`uid`](Self::uid) | the ids of the caller, the descriptors of the program |
    /// | all others | before [`current_dir`](Self::current_dir) | those of the caller; in a new user namespace all capabilities over it |
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("sh")
    ///     .args(["-c", "umask"])
    ///     .before_exec(BeforeExec::umask(0o007))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"0007\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn before_exec(&mut self, step: BeforeExec) -> &mut Self {
        self.settings.before_exec.push(step);
        self
    }

    /// Adds steps, as [`before_exec`](Self::before_exec) does.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("sh")
    ///     .args(["-c", "umask; nice"])
    ///     .before_execs([BeforeExec::umask(0o007), BeforeExec::nice(19)])
    ///     .output()?;
    /// assert_eq!(output.stdout, b"0007\n19\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn before_execs(&mut self, steps: impl IntoIterator<Item = BeforeExec>) -> &mut Self {
        self.settings.before_exec.extend(steps);
        self
    }

    /// Runs `hook` in this process, with the child's pid, while the child waits to take its first step:
    /// for what must be done to it from outside, such as running `newuidmap` or moving a network device
    /// into its namespace. Id maps set here are written before that. Each `spawn` runs it, and returns
    /// its error as its own.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let status = Command::new("true")
    ///     .parent_hook(|pid| {
    ///         println!("{pid} is about to become true");
    ///         Ok(())
    ///     })
    ///     .status()?;
    /// assert!(status.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn parent_hook(
        &mut self,
        hook: impl FnMut(i32) -> Result<(), Error> + Send + Sync + 'static,
    ) -> &mut Self {
        self.hook = Some(Box::new(hook));
        self
    }
}
