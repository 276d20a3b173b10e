//! What a command was given.

use core::ffi::CStr;

use super::builder::Command;

impl Command {
    /// The program's name or path.
    ///
    /// ```
    /// assert_eq!(rawthread::process::Command::new("ls").get_program(), c"ls");
    /// ```
    #[must_use]
    pub fn get_program(&self) -> &CStr {
        &self.program
    }

    /// The arguments without the zeroth.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let mut command = Command::new("ls");
    /// command.args(["-l", "/"]);
    /// assert!(command.get_args().eq([c"-l", c"/"]));
    /// ```
    pub fn get_args(&self) -> impl ExactSizeIterator<Item = &CStr> {
        self.arguments.iter().skip(1).map(|argument| &**argument)
    }

    /// The changes to the caller's environment: names with their values, or with `None` where the
    /// variable is removed.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let mut command = Command::new("ls");
    /// command.env("LANG", "C").env_remove("HOME");
    /// let changes: Vec<_> = command.get_envs().collect();
    /// assert_eq!(changes, [(&b"HOME"[..], None), (b"LANG", Some(&b"C"[..]))]);
    /// ```
    pub fn get_envs(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.environment.changes()
    }

    /// Whether the caller's variables are left out: [`env_clear`](Self::env_clear).
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// assert!(!Command::new("ls").get_env_clear());
    /// assert!(Command::new("ls").env_clear().get_env_clear());
    /// ```
    #[must_use]
    pub fn get_env_clear(&self) -> bool {
        self.environment.is_cleared()
    }

    /// The working directory, if one was set.
    ///
    /// ```
    /// # use rawthread::process::Command;
    /// let mut command = Command::new("ls");
    /// assert_eq!(command.get_current_dir(), None);
    /// assert_eq!(command.current_dir("/").get_current_dir(), Some(c"/"));
    /// ```
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&CStr> {
        self.settings.directory.as_deref()
    }
}
