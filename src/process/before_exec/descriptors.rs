//! Steps that open and close descriptors of the child.
//!
//! A command takes them once its own descriptors are in place: they mean the child's numbers.

use super::action::{Action, BeforeExec};
use crate::process::kernel_str::{KernelStr, cstring};

impl BeforeExec {
    /// Opens a file as descriptor `number` of the child, whatever that was: `openat(2)` with `libc::O_*`
    /// as flags, and a mode for a new file. What `posix_spawn_file_actions_addopen(3)` does.
    ///
    /// The child opens it: with its ids, and a relative path from its working directory, in its root.
    /// A command's child does so after [`descriptor`](crate::process::Command::descriptor)s are in place,
    /// before it changes its ids.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("cat")
    ///     .current_dir("/proc/self")
    ///     .before_exec(BeforeExec::open(0, "comm", libc::O_RDONLY, 0))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"cat\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn open(number: i32, path: impl KernelStr, flags: i32, mode: u32) -> Self {
        if number < 0 {
            return Self(Action::BadDescriptor);
        }
        Self(cstring(&path).map_or(Action::HasNul, |path| Action::Open {
            number,
            path,
            flags,
            mode,
        }))
    }

    /// Closes descriptor `number` of the child, if it is open: `close(2)`.
    ///
    /// ```
    /// # use rawthread::process::{BeforeExec, Command};
    /// let output = Command::new("sh")
    ///     .args(["-c", "test -e /proc/self/fd/2 || echo closed"])
    ///     .before_exec(BeforeExec::close(2))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"closed\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn close(number: i32) -> Self {
        if number < 0 {
            return Self(Action::BadDescriptor);
        }
        Self(Action::Close(number))
    }

    /// Enters the directory that descriptor `fd` of the child is open on: `fchdir(2)`. In a command it
    /// comes after [`current_dir`](crate::process::Command::current_dir).
    ///
    /// ```
    /// # #[cfg(feature = "std")] {
    /// # use rawthread::process::{BeforeExec, Command};
    /// let directory = std::fs::File::open("/proc").unwrap();
    /// let output = Command::new("pwd")
    ///     .descriptor(9, directory)
    ///     .before_exec(BeforeExec::change_dir(9))
    ///     .before_exec(BeforeExec::close(9))
    ///     .output()?;
    /// assert_eq!(output.stdout, b"/proc\n");
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn change_dir(fd: i32) -> Self {
        Self(Action::ChangeDir(fd))
    }
}
