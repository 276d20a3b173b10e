//! Running a command: from what was set to the plan of its child.

use alloc::vec::Vec;
use core::cell::Cell;

use super::builder::Command;
use super::environment;
use super::exec_child::{DeathSignal, ErrorReport, ExecPlan, FdMapping};
use super::fds::FdSetup;
use super::output::Output;
use super::settings::Settings;
use super::spawn::{self, SpawnOptions};
use super::stdio::{Source, Stdio};
use crate::error::Error;
use crate::process::before_exec::BeforeExec;
use crate::process::cgroup::Cgroup;
use crate::process::child::Child;
use crate::process::ids::Ids;
use crate::process::kernel_str::{NUL_IN_STRING, pointers};
use crate::process::pipe::Pipe;
use crate::process::status::ExitStatus;
use crate::sys::file::OwnedFd;
use crate::sys::{process, task, wait};

/// What of a command is no part of the plan.
pub(super) struct Rest<'a> {
    pub(super) settings: &'a Settings,
    hook: spawn::Hook<'a>,
}

/// What 0, 1 and 2 are if nothing was said of them.
type Defaults = fn() -> Option<[Source; 3]>;

/// The caller's own.
fn no_defaults() -> Option<[Source; 3]> {
    None
}

/// What gathers a program's output.
fn captured() -> Option<[Source; 3]> {
    Some([Source::Null, Source::Piped, Source::Piped])
}

impl Command {
    /// Runs the program, and returns once it runs.
    ///
    /// May be called again: descriptors given by `From<OwnedFd>` stay open for that as long as the
    /// command lives; a [`Pipe`](crate::process::Pipe) of another child does not.
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
        self.run(no_defaults)
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
        self.run(no_defaults)?.wait()
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
        self.run(captured)?.wait_with_output()
    }

    /// As [`output`](Self::output) spawns.
    pub(super) fn spawn_piped(&mut self) -> Result<Child, Error> {
        self.run(captured)
    }

    /// `defaults`: what 0, 1 and 2 are if nothing was said of them.
    fn run(&mut self, defaults: Defaults) -> Result<Child, Error> {
        match self.run_once(defaults()) {
            // Another thread changed the array that the kernel was reading. What a step or a hook has done
            // is not done twice.
            Err(error)
                if error.raw_os_error() == Some(libc::EFAULT)
                    && self.hook.is_none()
                    && self.settings.before_exec.is_empty()
                    && self.environment.begin_copying() =>
            {
                let again = self.run_once(defaults());
                self.environment.end_copying();
                again
            }
            answer => answer,
        }
    }

    fn run_once(&mut self, defaults: Option<[Source; 3]>) -> Result<Child, Error> {
        let child = self.with_plan(defaults, |plan, parent_ends, command| {
            let settings = &command.settings;
            let options = SpawnOptions {
                namespaces: settings.namespaces.flags(),
                maps: &settings.maps,
                pidfd: settings.pidfd,
                cgroup: settings.cgroup.as_ref().map(Cgroup::number).transpose()?,
                drop_groups: settings.must_drop_groups_before(),
            };
            let mut child = spawn::spawn(plan, &options, command.hook)?;
            [child.stdin, child.stdout, child.stderr] = parent_ends;
            Ok(child)
        })?;
        self.descriptors.spend();
        Ok(child)
    }

    /// Makes the plan of a child and hands it to `act`.
    pub(super) fn with_plan<R>(
        &mut self,
        defaults: Option<[Source; 3]>,
        act: impl FnOnce(&mut ExecPlan<'_>, [Option<Pipe>; 3], Rest<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.has_nul {
            return Err(NUL_IN_STRING);
        }
        self.settings.check()?;
        let fds = self.connect(defaults)?;
        let steps = &self.settings.before_exec;
        let is_target =
            |fd: i32| fds.has_target(fd) || steps.iter().any(|step| step.target() == Some(fd));
        if steps
            .iter()
            .filter_map(BeforeExec::descriptor)
            .any(is_target)
        {
            return Err(BeforeExec::TAKEN_NUMBER);
        }
        let FdSetup {
            fd_mappings,
            child_ends,
            parent_ends,
        } = fds;
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
        let own_pidfd = match settings.death_signal.is_some() {
            true => own_pidfd(&fd_mappings, &settings.before_exec),
            false => None,
        };
        let mut plan = ExecPlan {
            reset_handlers: false,
            default_signals: settings.default_signals,
            new_session: settings.new_session,
            process_group: settings.process_group,
            controlling_terminal: settings.controlling_terminal,
            before_exec: &settings.before_exec,
            program: &self.program,
            root: settings.root.as_deref(),
            directory: settings.directory.as_deref(),
            fd_mappings: &fd_mappings,
            close_from: settings.close_others.then_some(3),
            limits: &settings.limits,
            in_place: false,
            placed: Cell::new(0),
            ids: Ids::Thread,
            groups: settings.groups_to_set(),
            gid: settings.gid,
            uid: settings.uid,
            death: settings.death_signal.map(|signal| DeathSignal {
                signal,
                parent: task::pid(),
                pidfd: own_pidfd.as_ref().map(OwnedFd::as_raw),
            }),
            mask: settings.mask,
            search_paths: &paths[..search_paths.len()],
            arguments: &arguments,
            environment: environment.as_ptr(),
            pid_variable: environment.pid_variable(),
            shell: &shell,
            start_pipe: None,
            report: ErrorReport::default(),
        };
        let rest = Rest {
            settings,
            hook: self.hook.as_deref_mut(),
        };
        let acted = act(&mut plan, parent_ends, rest);
        // The child has its copies.
        drop(child_ends);
        acted
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

/// A pidfd of the calling thread, or of the process (before Linux 6.9), under a number that is no descriptor's of the
/// child. `None` before Linux 5.3 or where no number is free: then the child cannot see that its parent has died.
fn own_pidfd(fd_mappings: &[FdMapping], steps: &[BeforeExec]) -> Option<OwnedFd> {
    /// linux/pidfd.h
    const PIDFD_THREAD: u32 = libc::O_EXCL as u32;
    let opened = wait::open_pidfd(task::tid(), PIDFD_THREAD);
    let pidfd = opened.or_else(|_| wait::open_pidfd(task::pid(), 0)).ok()?;
    let targets = fd_mappings.iter().map(|mapping| mapping.to);
    let highest = targets
        .chain(steps.iter().filter_map(BeforeExec::target))
        .max();
    match highest {
        Some(highest) if highest >= pidfd.as_raw() => {
            process::dup_owned(pidfd.as_raw(), highest.saturating_add(1)).ok()
        }
        _ => Some(pidfd),
    }
}
