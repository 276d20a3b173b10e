//! A command: program, arguments, environment and descriptors.

use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;

use super::environment::Environment;
use super::settings::Settings;
use super::stdio::{Descriptors, Stdio};
use crate::error::Error;
use crate::process::kernel_str::{KernelStr, cstring};

/// A program to run, and everything about the process that will run it.
///
/// The child is made by `clone3(CLONE_VM | CLONE_VFORK)`: nothing of the parent is copied, so the
/// cost does not grow with its memory. In the child there is no code but this crate's: a plan that
/// was prepared in the parent, carried out by raw system calls with all signals blocked. If a step
/// fails, the `execve` included, `spawn` returns that error with the step's name, and no child is
/// left. Feature `alloc`.
///
/// # Beside its peers
///
/// | | `std::process::Command` | Go's `os/exec`, `SysProcAttr` | here |
/// |---|---|---|---|
/// | how | `posix_spawn`; `fork` once ids, groups, `pre_exec`, or `PATH` for a bare name are set | `clone(VM\|VFORK)`; without them for user namespaces | `clone3(VM\|VFORK)`; with user namespaces `VM` alone |
/// | which step failed | no | no | [`Error::operation`](crate::Error::operation) |
/// | working directory, ids, groups | yes; groups unstable | yes | yes |
/// | user by name | no | no (by `os/user`) | [`user`](Self::user), with its groups |
/// | process group, session, terminal | group; session unstable | yes | yes |
/// | descriptors beyond 2 | no | `ExtraFiles`, from 3 on | any number |
/// | the child's pid in its environment (`LISTEN_PID`) | no | no | [`env_pid`](Self::env_pid) |
/// | two meanings for one descriptor | no | no | an error of [`map_descriptors`](Self::map_descriptors) |
/// | files opened and closed by the child, directory by descriptor | no (`posix_spawn` has them) | no | [`BeforeExec::open`], [`close`](crate::process::BeforeExec::close), [`change_dir`](crate::process::BeforeExec::change_dir) |
/// | all others closed | no | no | [`close_others`](Self::close_others) |
/// | resource limits | no | no (by `Prlimit` afterwards) | [`rlimit`](Self::rlimit) |
/// | signal mask, default handlers | the caller's; SIGPIPE | reset to what Go started with | [`signal_mask`](Self::signal_mask), [`default_signal`](Self::default_signal) |
/// | parent-death signal | no | `Pdeathsig` | [`parent_death_signal`](Self::parent_death_signal) |
/// | chroot | unstable | `Chroot` | [`chroot`](Self::chroot) |
/// | namespaces, id maps | no | `Cloneflags`, `UidMappings` | [`namespaces`](Self::namespaces), [`uid_map`](Self::uid_map) |
/// | cgroup at birth | no | `UseCgroupFD` | [`cgroup`](Self::cgroup) |
/// | pidfd | unstable | `PidFD` | [`pidfd`](Self::pidfd), on by default |
/// | own root, mounts, loopback, joined namespaces | no | no | [`before_exec`](Self::before_exec) |
/// | capabilities | no | `AmbientCaps` | all but a set given up, those ambient: [`BeforeExec::keep_capabilities`] |
/// | Landlock, seccomp | no | no | [`BeforeExec::landlock`], [`BeforeExec::refuse_calls`], [`BeforeExec::seccomp`] |
/// | scheduler, affinity, OOM score, tracing, foreground | no | `Ptrace`, `Foreground` | [`before_exec`](Self::before_exec) |
/// | work in the parent while the child waits | no | no | [`parent_hook`](Self::parent_hook) |
/// | output within a time, SIGTERM first, the whole group | no | `WaitDelay`, `Cancel` | [`output_timeout`](Self::output_timeout), [`Child::wait_with_output_timeout`], [`TimeLimit`] |
/// | bytes as stdin | no | `Stdin`, by a goroutine | [`Stdio::bytes`], no thread |
/// | clocks of a time namespace | no | no | [`BeforeExec::time_offsets`] |
/// | the child's group | no | no | [`Child::signal_group`], [`Child::wait_group`] |
/// | what the child used | no | `SysUsage` | [`Child::usage`] |
/// | replace this process | `exec` | `syscall.Exec`, without any of this | [`exec`](Self::exec) |
/// | other steps | `pre_exec`, any closure, unsafe, slow | no | [`BeforeExec`], a fixed set, safe |
/// | zombie when the handle is dropped | yes | yes, without `Wait` | no |
///
/// # Where the program is looked for
///
/// As `execvp(3)` does, in the child's own root, working directory and environment: a name with a
/// slash is a path; any other is tried in each directory of the child's `PATH` (`/bin:/usr/bin`
/// if it has none). A directory where the file is missing, or may not be executed or reached, is passed over.
/// If no directory has the program, the error is `EACCES` if any of them refused it so, and else that of the last
/// directory. A file that is executable but in no format the kernel knows is given to `/bin/sh`, if it is text: a
/// program of another machine or a broken one is `ENOEXEC`.
///
/// # The order of steps
///
/// Id maps and the parent's hook; signal handlers to the default; session, process group, terminal;
/// [`before_exec`](Self::before_exec); root, working directory; descriptors; limits; groups, group
/// id, user id; parent-death signal; signal mask; those steps of [`before_exec`](Self::before_exec) that
/// confine the program (capabilities, Landlock, seccomp); `execve`. Steps that open, close or enter
/// descriptors follow the descriptors.
///
/// [`BeforeExec`]: crate::process::BeforeExec
/// [`BeforeExec::open`]: crate::process::BeforeExec::open
/// [`BeforeExec::close`]: crate::process::BeforeExec::close
/// [`BeforeExec::change_dir`]: crate::process::BeforeExec::change_dir
/// [`BeforeExec::time_offsets`]: crate::process::BeforeExec::time_offsets
/// [`Child::wait_group`]: crate::process::Child::wait_group
/// [`BeforeExec::keep_capabilities`]: crate::process::BeforeExec::keep_capabilities
/// [`BeforeExec::landlock`]: crate::process::BeforeExec::landlock
/// [`BeforeExec::refuse_calls`]: crate::process::BeforeExec::refuse_calls
/// [`BeforeExec::seccomp`]: crate::process::BeforeExec::seccomp
/// [`TimeLimit`]: crate::process::TimeLimit
/// [`Child::wait_with_output_timeout`]: crate::process::Child::wait_with_output_timeout
/// [`Child::signal_group`]: crate::process::Child::signal_group
/// [`Child::usage`]: crate::process::Child::usage
///
/// ```
/// use rawthread::process::Command;
///
/// let output = Command::new("echo").arg("hello").output()?;
/// assert_eq!(output.stdout, b"hello\n");
///
/// let error = Command::new("no-such-program").spawn().unwrap_err();
/// assert_eq!(error.operation(), Some("execve"));
/// assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
/// # Ok::<(), rawthread::Error>(())
/// ```
#[doc(alias("posix_spawn", "vfork", "execve"))]
pub struct Command {
    pub(super) program: CString,
    /// The zeroth too.
    pub(super) arguments: Vec<CString>,
    pub(super) environment: Environment,
    pub(super) descriptors: Descriptors,
    pub(super) settings: Settings,
    /// A string with a NUL in it was given.
    pub(super) has_nul: bool,
    pub(super) hook: Option<Box<Hook>>,
}

/// See [`Command::parent_hook`].
pub(super) type Hook = dyn FnMut(i32) -> Result<(), Error> + Send + Sync;

impl Command {
    /// A command for `program` without arguments, in the caller's environment and directory, with
    /// the caller's stdin, stdout and stderr.
    ///
    /// ```
    /// let status = rawthread::process::Command::new("true").status()?;
    /// assert!(status.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn new(program: impl KernelStr) -> Self {
        let mut command = Self {
            program: CString::default(),
            arguments: Vec::new(),
            environment: Environment::default(),
            descriptors: Descriptors::default(),
            settings: Settings::default(),
            has_nul: false,
            hook: None,
        };
        command.program = command.checked_cstring(&program);
        command.arguments.push(command.program.clone());
        command
    }

    /// Adds an argument.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert_eq!(Command::new("echo").arg("a b").output()?.stdout, b"a b\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn arg(&mut self, argument: impl KernelStr) -> &mut Self {
        let argument = self.checked_cstring(&argument);
        self.arguments.push(argument);
        self
    }

    /// Adds arguments.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert_eq!(Command::new("echo").args(["a", "b"]).output()?.stdout, b"a b\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn args<A: KernelStr>(&mut self, arguments: impl IntoIterator<Item = A>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Sets the zeroth argument, which is the program's name unless set.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let output = Command::new("sh").arg0("other").args(["-c", "echo $0"]).output()?;
    /// assert_eq!(output.stdout, b"other\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn arg0(&mut self, argument: impl KernelStr) -> &mut Self {
        self.arguments[0] = self.checked_cstring(&argument);
        self
    }

    /// Sets an environment variable of the child.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let output = Command::new("sh").args(["-c", "echo $A"]).env("A", "1").output()?;
    /// assert_eq!(output.stdout, b"1\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn env(&mut self, name: impl KernelStr, value: impl KernelStr) -> &mut Self {
        self.environment
            .set(name.as_kernel_bytes(), value.as_kernel_bytes());
        self
    }

    /// Sets an environment variable of the child to the child's own process id, as the child sees it: in a pid
    /// namespace of its own, 1. [`get_envs`](Self::get_envs) does not have the variable, which has no value before
    /// the child is made. There is one such variable; a second call names another in its place.
    ///
    /// For socket activation: a service takes over the descriptors from 3 on if `LISTEN_PID` is its own id
    /// (`sd_listen_fds(3)`). `examples/daemon.rs` is a program that does this.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// # use rawthread::process::Command;
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    /// let output = Command::new("sh")
    ///     .args(["-c", "test $LISTEN_PID = $$ && readlink /proc/$$/fd/3"])
    ///     .descriptor(3, std::os::fd::OwnedFd::from(socket))
    ///     .env("LISTEN_FDS", "1")
    ///     .env_pid("LISTEN_PID")
    ///     .output()?;
    /// assert!(output.stdout.starts_with(b"socket:"));
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias("LISTEN_PID", "sd_listen_fds", "socket activation"))]
    pub fn env_pid(&mut self, name: impl KernelStr) -> &mut Self {
        self.environment.set_to_pid(name.as_kernel_bytes());
        self
    }

    /// Sets environment variables of the child.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let output = Command::new("env").env_clear().envs([("A", "1"), ("B", "2")]).output()?;
    /// assert_eq!(output.stdout, b"A=1\nB=2\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn envs<N: KernelStr, V: KernelStr>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Removes an environment variable of the child.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let output = Command::new("/bin/sh").args(["-c", "echo ${HOME-none}"]).env_remove("HOME").output()?;
    /// assert_eq!(output.stdout, b"none\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn env_remove(&mut self, name: impl KernelStr) -> &mut Self {
        self.environment.remove(name.as_kernel_bytes());
        self
    }

    /// Gives the child no variables but those set from here on.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert!(Command::new("/usr/bin/env").env_clear().output()?.stdout.is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Self {
        self.environment.clear();
        self
    }

    /// Connects the child's stdin.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// assert!(Command::new("cat").stdin(Stdio::null()).status()?.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.descriptor(0, stdio)
    }

    /// Connects the child's stdout.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// assert!(Command::new("echo").stdout(Stdio::null()).status()?.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.descriptor(1, stdio)
    }

    /// Connects the child's stderr.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// let mut child = Command::new("ls").arg("/no/such").stderr(Stdio::piped()).spawn()?;
    /// assert!(!child.wait_with_output()?.stderr.is_empty());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.descriptor(2, stdio)
    }

    /// Connects any descriptor of the child. Descriptors are put in place all at once: swapping
    /// two works. A pipe is possible for 0, 1 and 2.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use rawthread::process::Command;
    ///
    /// let file = std::fs::File::open("/proc/self/comm").unwrap();
    /// let output = Command::new("sh").args(["-c", "cat <&9"]).descriptor(9, file).output()?;
    /// assert!(!output.stdout.is_empty());
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn descriptor(&mut self, number: i32, stdio: impl Into<Stdio>) -> &mut Self {
        self.descriptors.set(number, stdio.into());
        self
    }

    /// As [`descriptor`](Self::descriptor), for several, and refuses to connect a number twice.
    ///
    /// # Errors
    /// `InvalidInput` if a number is negative, comes twice, or was connected before: then none of these is
    /// connected, and what was given is closed.
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// use rawthread::process::Command;
    ///
    /// let open = || std::fs::File::open("/dev/null").unwrap();
    /// let mut command = Command::new("true");
    /// command.map_descriptors([(3, open()), (4, open())])?;
    /// assert!(command.map_descriptors([(5, open()), (4, open())]).is_err());
    /// assert!(command.status()?.success());
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn map_descriptors<S: Into<Stdio>>(
        &mut self,
        descriptors: impl IntoIterator<Item = (i32, S)>,
    ) -> Result<&mut Self, Error> {
        let mut added = Descriptors::default();
        for (number, stdio) in descriptors {
            if number < 0 {
                return Err(Error::invalid_input(
                    "a descriptor of a negative number",
                    "Descriptors are numbered from 0.",
                ));
            }
            if added.has(number) || self.descriptors.has(number) {
                return Err(Error::invalid_input(
                    "a descriptor of the child is connected twice",
                    "Give each its own number; `descriptor` replaces what a number was connected to.",
                ));
            }
            added.set(number, stdio.into());
        }
        self.descriptors.0.append(&mut added.0);
        Ok(self)
    }

    /// Closes every descriptor of the child from 3 up that was not connected here. One call from Linux 5.11 on;
    /// before, one for each descriptor.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert!(Command::new("true").close_others().status()?.success());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn close_others(&mut self) -> &mut Self {
        self.settings.close_others = true;
        self
    }

    /// `text` as the kernel takes it; remembers if it cannot.
    pub(super) fn checked_cstring(&mut self, text: &dyn KernelStr) -> CString {
        cstring(text).unwrap_or_else(|| {
            self.has_nul = true;
            CString::default()
        })
    }
}
