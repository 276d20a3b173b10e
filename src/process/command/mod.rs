//! Running another program: clone with shared memory, then execve.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | [`Command`]: program, arguments, environment, descriptors, running it |
//! | `settings.rs` | the rest of what it can set: ids, limits, signals, namespaces |
//! | `launch.rs` | in the parent: clone, and how it went |
//! | `inside.rs` | in the child: the steps, on the parent's memory |
//! | `foothold.rs` | what it stands on there |
//! | `dumpable.rs` | in the parent: children that change ids leave it as it was |

mod dumpable;
mod environment;
mod foothold;
mod inside;
mod launch;
mod menu;
mod output;
mod settings;
mod stdio;
mod text;

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_char;

use self::environment::Environment;
use self::inside::{Gate, Move, Plan, Report};
use self::launch::Birth;
use self::menu::NUL;
use self::settings::Settings;
use self::stdio::{Descriptors, Source};
use super::child::Child;
use super::pipe::Pipe;
use super::status::ExitStatus;
use crate::error::{Error, Operation};
use crate::sys::file::{self, OwnedFd};

pub use menu::{BeforeExec, Resource};
pub use output::Output;
pub use stdio::Stdio;
pub use text::Text;

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
/// | signal mask, default handlers | emptied; SIGPIPE | reset to what Go started with | [`signal_mask`](Self::signal_mask), [`default_signal`](Self::default_signal) |
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
/// nothing better follows, "permission denied" is remembered over "not found". A file that is
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
#[derive(Debug)]
pub struct Command {
    program: CString,
    /// The zeroth too.
    arguments: Vec<CString>,
    environment: Environment,
    descriptors: Descriptors,
    settings: Settings,
    /// A text with a NUL in it was given.
    unusable: bool,
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
    pub fn new(program: impl Text) -> Self {
        let mut command = Self {
            program: CString::default(),
            arguments: Vec::new(),
            environment: Environment::default(),
            descriptors: Descriptors::default(),
            settings: Settings::default(),
            unusable: false,
        };
        command.program = command.keep(&program);
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
    pub fn arg(&mut self, argument: impl Text) -> &mut Self {
        let argument = self.keep(&argument);
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
    pub fn args<A: Text>(&mut self, arguments: impl IntoIterator<Item = A>) -> &mut Self {
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
    pub fn arg0(&mut self, argument: impl Text) -> &mut Self {
        self.arguments[0] = self.keep(&argument);
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
    pub fn env(&mut self, name: impl Text, value: impl Text) -> &mut Self {
        self.environment
            .set(name.bytes_for_kernel(), value.bytes_for_kernel());
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
    pub fn envs<N: Text, V: Text>(
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
    pub fn env_remove(&mut self, name: impl Text) -> &mut Self {
        self.environment.remove(name.bytes_for_kernel());
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
    fn keep(&mut self, text: &dyn Text) -> CString {
        CString::new(text.bytes_for_kernel()).unwrap_or_else(|_| {
            self.unusable = true;
            CString::default()
        })
    }

    /// `defaults`: what 0, 1 and 2 are if nothing was said of them; `pidfd` likewise.
    fn run(&self, defaults: Option<[Source; 3]>, pidfd: Option<bool>) -> Result<Child, Error> {
        if self.unusable || !self.settings.is_usable() {
            return Err(NUL);
        }
        self.settings.check()?;
        let connections = self.connect(defaults)?;
        let environment = self.environment.build()?;
        let candidates = environment::candidates(&self.program, &environment)?;
        let paths = pointers(&candidates);
        let arguments = pointers(&self.arguments);
        let shell: Vec<_> = [c"sh".as_ptr(), core::ptr::null()]
            .into_iter()
            .chain(arguments[1..].iter().copied())
            .map(Cell::new)
            .collect();
        let settings = &self.settings;
        let mut plan = Plan {
            reset_handlers: false,
            default_signals: settings.default_signals,
            new_session: settings.new_session,
            process_group: settings.process_group,
            controlling_terminal: settings.controlling_terminal,
            menu: &settings.menu,
            root: settings.root.as_deref(),
            directory: settings.directory.as_deref(),
            moves: &connections.moves,
            close_from: settings.close_others.then_some(3),
            limits: &settings.limits,
            groups: settings.groups_to_set(),
            gid: settings.gid,
            uid: settings.uid,
            death: settings
                .death_signal
                .map(|signal| (signal, crate::sys::task::pid())),
            mask: settings.mask,
            candidates: &paths[..candidates.len()],
            arguments: &arguments,
            environment: &pointers(&environment),
            shell: &shell,
            gate: Gate::new(!settings.maps.is_empty()),
            report: Report::default(),
        };
        let birth = Birth {
            namespaces: settings.namespaces.flags(),
            maps: &settings.maps,
            pidfd: settings.pidfd.or(pidfd),
            cgroup: settings.cgroup,
        };
        let mut child = launch::launch(&mut plan, &birth)?;
        [child.stdin, child.stdout, child.stderr] = connections.ours;
        Ok(child)
    }

    /// Opens what the child's descriptors are to be connected to.
    fn connect(&self, defaults: Option<[Source; 3]>) -> Result<Connections, Error> {
        let mut connections = Connections::default();
        for (number, Stdio(source)) in &self.descriptors.0 {
            connections.add(*number, source)?;
        }
        for (number, source) in (0..).zip(defaults.iter().flatten()) {
            if !self.descriptors.has(number) {
                connections.add(number, source)?;
            }
        }
        Ok(connections)
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
struct Connections {
    moves: Vec<Move>,
    /// Closed in the parent once the child has its copies.
    theirs: Vec<OwnedFd>,
    ours: [Option<Pipe>; 3],
}

impl Connections {
    fn add(&mut self, to: i32, source: &Source) -> Result<(), Error> {
        let from = match source {
            // They may be closed in the parent, and then are in the child.
            Source::Inherit if (0..3).contains(&to) => return Ok(()),
            Source::Inherit => to,
            Source::Borrowed(fd) => *fd,
            Source::Owned(fd) => fd.as_raw(),
            Source::Null => {
                let null = file::open(c"/dev/null", libc::O_RDWR)
                    .map_err(|errno| Error::from_operation(&NULL, errno))?;
                self.give(null)
            }
            Source::Piped => {
                let Some(ours) = usize::try_from(to)
                    .ok()
                    .and_then(|to| self.ours.get_mut(to))
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
                self.give(given)
            }
        };
        self.moves.push(Move {
            from: Cell::new(from),
            to,
        });
        Ok(())
    }

    fn give(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw();
        self.theirs.push(fd);
        number
    }
}
