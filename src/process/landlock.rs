//! Rules of Landlock, made ready by the parent of the process that they bind.

use super::kernel_str::{KernelStr, NUL_IN_STRING, cstring};
use crate::error::{Error, Operation};
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, confine};

static RULESET: Operation = Operation {
    name: "landlock_create_ruleset",
    purpose: "make a set of Landlock rules",
    hint: |errno| match errno.number() {
        libc::ENOSYS | libc::EOPNOTSUPP => {
            "It needs Linux 5.13 with Landlock enabled at boot (lsm=landlock)."
        }
        _ => "See landlock(7).",
    },
};
static RULE: Operation = Operation {
    name: "landlock_add_rule",
    purpose: "allow access to a path",
    hint: |_| "The path must exist.",
};

/// Which files a program may use: nothing but what its rules allow, see `landlock(7)`.
///
/// The paths are looked up when a rule is added, in the process that adds it: they may lie outside the
/// root of the program that the rules will bind. Needs no right; Linux 5.13.
///
/// ```
/// use rawthread::process::{BeforeExec, Command, Landlock};
///
/// # fn main() -> Result<(), rawthread::Error> {
/// let mut rules = match Landlock::new() {
///     Ok(rules) => rules,
///     Err(unsupported) => return Ok(println!("{unsupported}")),
/// };
/// for path in ["/usr", "/lib", "/lib64", "/bin", "/etc", "/dev"] {
///     let _ = rules.allow_read(path); // not every machine has each
/// }
/// let status = Command::new("sh")
///     .args(["-c", "! ls /proc/self"])
///     .before_exec(BeforeExec::no_new_privileges())
///     .before_exec(BeforeExec::landlock(rules))
///     .status()?;
/// assert!(status.success());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Landlock {
    ruleset: OwnedFd,
    /// Accesses that are forbidden unless allowed: all that this kernel knows.
    handled: u64,
}

/// `LANDLOCK_ACCESS_FS_*`: execute, read a file, list a directory.
const READ: u64 = 1 << 0 | 1 << 2 | 1 << 3;
/// Of all accesses those that concern a file itself: execute, write, read, truncate, ioctl.
const FILE: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;

impl Landlock {
    /// Makes rules that allow nothing.
    ///
    /// # Errors
    /// `ENOSYS` or `EOPNOTSUPP` where the kernel has no Landlock.
    ///
    /// ```
    /// let rules = rawthread::process::Landlock::new();
    /// # let _ = rules;
    /// ```
    pub fn new() -> Result<Self, Error> {
        let handled = confine::landlock_version()
            .map(|version| match version {
                0 | 1 => (1 << 13) - 1,
                2 => (1 << 14) - 1,
                3 | 4 => (1 << 15) - 1,
                _ => (1 << 16) - 1,
            })
            .map_err(|errno| Error::from_operation(&RULESET, errno))?;
        let ruleset = confine::landlock_ruleset(handled)
            .map_err(|errno| Error::from_operation(&RULESET, errno))?;
        Ok(Self { ruleset, handled })
    }

    /// Allows to read and execute a file, or all below a directory.
    ///
    /// # Errors
    /// The path cannot be opened.
    ///
    /// ```
    /// # use rawthread::process::Landlock;
    /// if let Ok(mut rules) = Landlock::new() {
    ///     assert!(rules.allow_read("/no/such").is_err());
    /// }
    /// ```
    pub fn allow_read(&mut self, path: impl KernelStr) -> Result<&mut Self, Error> {
        self.allow(READ, &path)
    }

    /// Allows every access to a file, or to all below a directory.
    ///
    /// # Errors
    /// The path cannot be opened.
    ///
    /// ```
    /// # use rawthread::process::Landlock;
    /// if let Ok(mut rules) = Landlock::new() {
    ///     rules.allow_read("/")?.allow_all("/tmp")?;
    /// }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn allow_all(&mut self, path: impl KernelStr) -> Result<&mut Self, Error> {
        self.allow(u64::MAX, &path)
    }

    fn allow(&mut self, access: u64, path: &dyn KernelStr) -> Result<&mut Self, Error> {
        let path = cstring(path).ok_or(NUL_IN_STRING)?;
        let ruleset = self.ruleset.as_raw();
        let access = access & self.handled;
        let mut added = confine::landlock_allow(ruleset, access, &path);
        if added == Err(Errno::EINVAL) {
            // A file, for which there are fewer accesses.
            added = confine::landlock_allow(ruleset, access & FILE, &path);
        }
        added.map_err(|errno| Error::from_operation(&RULE, errno))?;
        Ok(self)
    }

    pub(super) fn as_raw(&self) -> i32 {
        self.ruleset.as_raw()
    }
}
