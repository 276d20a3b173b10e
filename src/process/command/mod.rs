//! Running another program: clone with shared memory, then execve.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`Command`]: program, arguments, environment, descriptors, running it |
//! | `settings.rs` | the rest of what it can set: ids, limits, signals, namespaces |
//! | `spawn.rs` | in the parent: clone, and how it went |
//! | `exec_child.rs` | in the child: the steps, on the parent's memory |
//! | `exec_stack.rs` | what it stands on there |
//! | `dumpable.rs` | in the parent: children that change ids leave it as it was |

mod before_exec;
mod debug;
mod dumpable;
mod environment;
mod exec_child;
mod exec_stack;
mod kernel_str;
mod output;
mod settings;
mod spawn;
mod stdio;

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_char;

use self::before_exec::NUL_IN_STRING;
use self::environment::Environment;
use self::exec_child::{ErrorReport, ExecPlan, FdMapping, StartLatch};
use self::settings::Settings;
use self::spawn::SpawnOptions;
use self::stdio::{Descriptors, Source};
use super::child::Child;
use super::pipe::Pipe;
use super::status::ExitStatus;
use crate::error::{Error, Operation};
use crate::sys::file::{self, OwnedFd};

pub use before_exec::{BeforeExec, Rlimit};
pub use kernel_str::KernelStr;
pub use output::Output;
pub use stdio::Stdio;

static PIPE: Operation = Operation {
    name: "pipe2",
    purpose: "make a pipe to the child",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};
static NULL: Operation = Operation {
    name: "openat",
    purpose: "open /dev/null for the child",
    hint: |_| "Is /dev mounted?",
};

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
/// | process group, session, terminal | group; session unstable | yes | yes |
/// | descriptors beyond 2 | no | `ExtraFiles`, from 3 on | any number |
/// | all others closed | no | no | [`close_others`](Self::close_others) |
/// | resource limits | no | no (by `Prlimit` afterwards) | [`rlimit`](Self::rlimit) |
/// | signal mask, default handlers | the caller's; SIGPIPE | reset to what Go started with | [`signal_mask`](Self::signal_mask), [`default_signal`](Self::default_signal) |
/// | parent-death signal | no | `Pdeathsig` | [`parent_death_signal`](Self::parent_death_signal) |
/// | chroot | unstable | `Chroot` | [`chroot`](Self::chroot) |
/// | namespaces, id maps | no | `Cloneflags`, `UidMappings` | [`namespaces`](Self::namespaces), [`uid_map`](Self::uid_map) |
/// | cgroup at birth | no | `UseCgroupFD` | [`cgroup`](Self::cgroup) |
/// | pidfd | unstable | `PidFD` | [`pidfd`](Self::pidfd), on by default |
/// | other steps | `pre_exec`, any closure, unsafe, slow | no | [`before_exec`](Self::before_exec), a fixed menu, safe |
/// | zombie when the handle is dropped | yes | yes, without `Wait` | no |
///
/// # Where the program is looked for
///
/// As `execvp(3)` does, in the child's own root, working directory and environment: a name with a
/// slash is a path; any other is tried in each directory of the child's `PATH` (`/bin:/usr/bin`
/// if it has none). A directory that has no such file or may not be searched is passed over; if
/// nothing better follows, "permission denied" is remembered over the error of the last. A file that is
/// executable but in no format the kernel knows is given to `/bin/sh`.
///
/// # The order of steps
///
/// Id maps; signal handlers to the default; session, process group, terminal;
/// [`before_exec`](Self::before_exec); root, working directory; descriptors; limits; groups, group
/// id, user id; parent-death signal; signal mask; `execve`.
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
pub struct Command {
    program: CString,
    /// The zeroth too.
    arguments: Vec<CString>,
    environment: Environment,
    descriptors: Descriptors,
    settings: Settings,
    /// A text with a NUL in it was given.
    has_nul: bool,
}

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

    /// Closes every descriptor of the child from 3 up that was not connected here (Linux 5.11).
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

    /// Runs the program, and returns once it runs.
    ///
    /// May be called again: descriptors given by `From<OwnedFd>` stay open for that as long as the
    /// command lives.
    ///
    /// # Errors
    /// The step that failed, by name; a limit; `InvalidInput` for a text with a NUL in it.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let mut child = Command::new("sleep").arg("60").spawn()?;
    /// child.kill()?;
    /// assert_eq!(child.wait()?.signal(), Some(libc::SIGKILL));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn spawn(&mut self) -> Result<Child, Error> {
        self.run(None, None)
    }

    /// Runs the program and waits for its end.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert_eq!(Command::new("false").status()?.code(), Some(1));
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn status(&mut self) -> Result<ExitStatus, Error> {
        self.run(None, Some(false))?.wait()
    }

    /// Runs the program to its end and returns what it wrote. Unless set, stdin is `/dev/null`,
    /// and stdout and stderr are pipes.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert_eq!(Command::new("pwd").current_dir("/").output()?.stdout, b"/\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn output(&mut self) -> Result<Output, Error> {
        let defaults = [Source::Null, Source::Piped, Source::Piped];
        self.run(Some(defaults), Some(false))?.wait_with_output()
    }

    /// `text` as the kernel takes it; remembers if it cannot.
    fn checked_cstring(&mut self, text: &dyn KernelStr) -> CString {
        CString::new(text.as_kernel_bytes()).unwrap_or_else(|_| {
            self.has_nul = true;
            CString::default()
        })
    }

    /// `defaults`: what 0, 1 and 2 are if nothing was said of them; `pidfd` likewise.
    fn run(&self, defaults: Option<[Source; 3]>, pidfd: Option<bool>) -> Result<Child, Error> {
        if self.has_nul || !self.settings.is_nul_free() {
            return Err(NUL_IN_STRING);
        }
        self.settings.check()?;
        let fds = self.connect(defaults)?;
        let environment = self.environment.build()?;
        let search_paths = environment::search_paths(&self.program, &environment)?;
        let paths = pointers(&search_paths);
        let arguments = pointers(&self.arguments);
        let shell: Vec<_> = [c"sh".as_ptr(), core::ptr::null()]
            .into_iter()
            .chain(arguments[1..].iter().copied())
            .map(Cell::new)
            .collect();
        let settings = &self.settings;
        let mut plan = ExecPlan {
            reset_handlers: false,
            default_signals: settings.default_signals,
            new_session: settings.new_session,
            process_group: settings.process_group,
            controlling_terminal: settings.controlling_terminal,
            before_exec: &settings.before_exec,
            root: settings.root.as_deref(),
            directory: settings.directory.as_deref(),
            fd_mappings: &fds.fd_mappings,
            close_from: settings.close_others.then_some(3),
            limits: &settings.limits,
            groups: settings.groups_to_set(),
            gid: settings.gid,
            uid: settings.uid,
            death: settings
                .death_signal
                .map(|signal| (signal, crate::sys::task::pid())),
            mask: settings.mask,
            search_paths: &paths[..search_paths.len()],
            arguments: &arguments,
            environment: environment.as_ptr(),
            shell: &shell,
            latch: StartLatch::new(!settings.maps.is_empty()),
            report: ErrorReport::default(),
        };
        let options = SpawnOptions {
            namespaces: settings.namespaces.flags(),
            maps: &settings.maps,
            pidfd: settings.pidfd.or(pidfd),
            cgroup: settings.cgroup,
        };
        let mut child = spawn::spawn(&mut plan, &options)?;
        [child.stdin, child.stdout, child.stderr] = fds.parent_ends;
        Ok(child)
    }

    /// Opens what the child's descriptors are to be connected to.
    fn connect(&self, defaults: Option<[Source; 3]>) -> Result<FdSetup, Error> {
        let mut fds = FdSetup::default();
        for (number, Stdio(source)) in &self.descriptors.0 {
            fds.add(*number, source)?;
        }
        for (number, source) in (0..).zip(defaults.iter().flatten()) {
            if !self.descriptors.has(number) {
                fds.add(number, source)?;
            }
        }
        Ok(fds)
    }
}

/// Pointers to strings, and a null.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([core::ptr::null()])
        .collect()
}

/// The parent's side of the child's descriptors.
#[derive(Default)]
struct FdSetup {
    fd_mappings: Vec<FdMapping>,
    /// Closed in the parent once the child has its copies.
    child_ends: Vec<OwnedFd>,
    parent_ends: [Option<Pipe>; 3],
}

impl FdSetup {
    fn add(&mut self, to: i32, source: &Source) -> Result<(), Error> {
        let from = match source {
            // They may be closed in the parent, and then are in the child.
            Source::Inherit if (0..3).contains(&to) => return Ok(()),
            Source::Inherit => to,
            Source::Borrowed(fd) => *fd,
            Source::Owned(fd) => fd.as_raw(),
            Source::Null => {
                let null = file::open(c"/dev/null", stdio::null_access(to))
                    .map_err(|errno| Error::from_operation(&NULL, errno))?;
                self.add_child_end(null)
            }
            Source::Piped => {
                let Some(ours) = usize::try_from(to)
                    .ok()
                    .and_then(|to| self.parent_ends.get_mut(to))
                else {
                    return Err(Error::invalid_input(
                        "a pipe for a descriptor other than 0, 1 or 2",
                        "Make the pipe yourself and give one end.",
                    ));
                };
                let (read, write) =
                    file::pipe(0).map_err(|errno| Error::from_operation(&PIPE, errno))?;
                let (kept, given) = if to == 0 {
                    (write, read)
                } else {
                    (read, write)
                };
                *ours = Some(Pipe::new(kept));
                self.add_child_end(given)
            }
        };
        self.fd_mappings.push(FdMapping {
            from: Cell::new(from),
            to,
        });
        Ok(())
    }

    fn add_child_end(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw();
        self.child_ends.push(fd);
        number
    }
}
