//! Running a command: from what was set to the plan of its child.

use alloc::vec::Vec;
use core::cell::Cell;

use super::builder::Command;
use super::environment;
use super::exec_child::{ErrorReport, ExecPlan};
use super::fds::FdSetup;
use super::output::Output;
use super::spawn::{self, SpawnOptions};
use super::stdio::{Source, Stdio};
use crate::error::Error;
use crate::process::before_exec::BeforeExec;
use crate::process::child::Child;
use crate::process::kernel_str::{NUL_IN_STRING, pointers};
use crate::process::status::ExitStatus;
use crate::sys::task;

impl Command {
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

    /// `defaults`: what 0, 1 and 2 are if nothing was said of them; `pidfd` likewise.
    fn run(&mut self, defaults: Option<[Source; 3]>, pidfd: Option<bool>) -> Result<Child, Error> {
        if self.has_nul || !self.settings.is_nul_free() {
            return Err(NUL_IN_STRING);
        }
        self.settings.check()?;
        let fds = self.connect(defaults)?;
        let mut used = self
            .settings
            .before_exec
            .iter()
            .filter_map(BeforeExec::descriptor);
        if used.any(|fd| fds.has_target(fd)) {
            return Err(Error::invalid_input(
                "a descriptor of the child takes the number that its Landlock rules have",
                "Connect another number, or make the rules first.",
            ));
        }
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
            death: settings.death_signal.map(|signal| (signal, task::pid())),
            mask: settings.mask,
            search_paths: &paths[..search_paths.len()],
            arguments: &arguments,
            environment: environment.as_ptr(),
            shell: &shell,
            start_pipe: None,
            report: ErrorReport::default(),
        };
        let options = SpawnOptions {
            namespaces: settings.namespaces.flags(),
            maps: &settings.maps,
            pidfd: settings.pidfd.or(pidfd),
            cgroup: settings.cgroup,
            drop_groups: settings.must_drop_groups_before(),
        };
        let hook = self.hook.as_deref_mut();
        let mut child = spawn::spawn(&mut plan, &options, hook)?;
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
