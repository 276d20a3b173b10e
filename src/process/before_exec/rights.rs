//! Steps that give up rights.
//!
//! What confines the program itself is taken last, after all other steps and the change of ids.

use alloc::sync::Arc;

use super::action::{Action, BeforeExec};
use crate::process::capabilities::Capabilities;
use crate::process::landlock::Landlock;

impl BeforeExec {
    /// Gives up, for good and for all descendants, gaining privileges by executing a file:
    /// `PR_SET_NO_NEW_PRIVS(2const)`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// Command::new("true").before_exec(BeforeExec::no_new_privileges()).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn no_new_privileges() -> Self {
        Self(Action::NoNewPrivileges)
    }

    /// Sets the real, effective and saved user and group id at this place among the steps, and gives up the
    /// supplementary groups where that is permitted: `setresuid(2)`, `setresgid(2)`, `setgroups(2)`.
    ///
    /// A child in a user namespace of its own whose maps do not have its maker's ids can make no files, for it
    /// has no id there, until it takes one. It keeps its capabilities in the namespace then. Elsewhere one that
    /// gives up root's user id loses its capabilities for the steps that follow:
    /// [`Command::uid`](crate::process::Command::uid) changes ids after them. Of the mark that a child in this memory
    /// leaves on it, see there.
    ///
    /// ```no_run
    /// # use rawthread::process::{BeforeExec, Command, Namespaces};
    /// // As root: a container whose root has an id that no user of the host has.
    /// Command::new("sh")
    ///     .namespaces(Namespaces::USER | Namespaces::MOUNT)
    ///     .uid_map(0, 524_288, 65_536)
    ///     .gid_map(0, 524_288, 65_536)
    ///     .before_exec(BeforeExec::set_ids(0, 0))
    ///     .before_exec(BeforeExec::mount("none", "/tmp", "tmpfs", 0, ""))
    ///     .status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn set_ids(uid: u32, gid: u32) -> Self {
        Self(Action::SetIds(uid, gid))
    }

    /// Sets the securebits, `libc::SECBIT_*`: `PR_SET_SECUREBITS(2const)`.
    ///
    /// ```
    /// // A program that root executes gets no capabilities by that.
    /// let step = rawthread::process::BeforeExec::securebits(libc::SECBIT_NOROOT as u32);
    /// # let _ = step;
    /// ```
    #[must_use]
    pub fn securebits(bits: u32) -> Self {
        Self(Action::SecureBits(bits))
    }

    /// Gives up all capabilities but `kept`, for good and for all descendants: `capset(2)`,
    /// `PR_CAPBSET_DROP(2const)`, `PR_CAP_AMBIENT(2const)`.
    ///
    /// The program has those of `kept` that the child had, whatever its user id: they are put into the
    /// permitted, effective, inheritable and *ambient* sets, so that a program without file capabilities has them, and
    /// so have the programs that it runs. No program of the child's gets others, for they are taken from the bounding
    /// set. Needs `CAP_SETPCAP`, which a child has in a user namespace of its own. Taken last: after
    /// [`Command::uid`](crate::process::Command::uid).
    ///
    /// ```no_run
    /// # use rawthread::process::{BeforeExec, Capabilities, Command};
    /// // A web server that opens port 80 and may do nothing else of root's.
    /// Command::new("server")
    ///     .uid(33)
    ///     .before_exec(BeforeExec::keep_capabilities(Capabilities::NET_BIND_SERVICE))
    ///     .spawn()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[doc(alias("ambient", "PR_CAP_AMBIENT", "capset", "bounding"))]
    #[must_use]
    pub fn keep_capabilities(kept: Capabilities) -> Self {
        Self(Action::KeepCapabilities(kept))
    }

    /// Binds the program and its descendants to Landlock rules. Needs
    /// [`no_new_privileges`](Self::no_new_privileges) or `CAP_SYS_ADMIN`. Taken last.
    ///
    /// ```no_run
    /// # use rawthread::process::{BeforeExec, Command, Landlock};
    /// let mut rules = Landlock::new()?;
    /// rules.allow_read("/usr")?.allow_all("/tmp")?;
    /// Command::new("/usr/bin/editor")
    ///     .before_exec(BeforeExec::no_new_privileges())
    ///     .before_exec(BeforeExec::landlock(rules))
    ///     .status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn landlock(rules: Landlock) -> Self {
        Self(Action::Landlock(Arc::new(rules)))
    }
}
