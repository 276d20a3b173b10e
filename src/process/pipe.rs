//! The parent's end of a pipe to or from a child.

use core::fmt;

use crate::error::{Error, Operation};
use crate::sys::Errno;
use crate::sys::file::{self, OwnedFd};

static READ: Operation = Operation {
    name: "read",
    purpose: "read from the child's pipe",
    hint: |_| "Only the parent's end of stdout and stderr can be read.",
};
static WRITE: Operation = Operation {
    name: "write",
    purpose: "write to the child's pipe",
    hint: |errno| match errno.number() {
        libc::EPIPE => "The child closed its end.",
        _ => "Only the parent's end of stdin can be written.",
    },
};

/// The parent's end of a pipe to or from a child; closed when dropped.
///
/// With `std` it is `Read` and `Write`, and converts from and into an `OwnedFd`, and into a `Stdio`.
///
/// ```
/// # #[cfg(feature = "std")] {
/// use rawthread::process::{Command, Stdio};
///
/// let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// let mut text = String::new();
/// std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
/// assert_eq!(text, "hello\n");
/// child.wait()?;
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
pub struct Pipe(OwnedFd);

impl Pipe {
    #[cfg(feature = "alloc")]
    pub(super) fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Reads what is there, waiting until there is something; 0 at the end.
    ///
    /// # Errors
    /// Those of `read(2)`, but for `EINTR`, which is waited through.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use rawthread::process::{Command, Stdio};
    ///
    /// let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    /// let mut text = [0; 5];
    /// assert_eq!(child.stdout.as_mut().unwrap().read_some(&mut text)?, 5);
    /// assert_eq!(&text, b"hello");
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read_once(buffer)
    }

    fn read_once(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match file::read(self.0.as_raw(), buffer) {
                Err(Errno::EINTR) => {}
                other => return other.map_err(|errno| Error::from_operation(&READ, errno)),
            }
        }
    }

    /// As [`read_some`](Self::read_some), to the end of `text`, as much as its capacity holds.
    #[cfg(feature = "alloc")]
    pub(super) fn read_to_spare(&mut self, text: &mut alloc::vec::Vec<u8>) -> Result<usize, Error> {
        loop {
            match file::read_to_spare(self.0.as_raw(), text) {
                Err(Errno::EINTR) => {}
                other => return other.map_err(|errno| Error::from_operation(&READ, errno)),
            }
        }
    }

    /// Writes what fits, waiting until something does.
    ///
    /// # Errors
    /// Those of `write(2)`, but for `EINTR`, which is waited through. With SIGPIPE not ignored, a
    /// pipe without a reader ends this process, as ever.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use rawthread::process::{Command, Stdio};
    ///
    /// let mut child = Command::new("cat")
    ///     .stdin(Stdio::piped())
    ///     .stdout(Stdio::null())
    ///     .spawn()?;
    /// assert_eq!(child.stdin.as_mut().unwrap().write_some(b"hello")?, 5);
    /// assert!(child.wait()?.success()); // closes stdin first
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn write_some(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.write_once(bytes)
    }

    fn write_once(&self, bytes: &[u8]) -> Result<usize, Error> {
        loop {
            match file::write(self.0.as_raw(), bytes) {
                Err(Errno::EINTR) => {}
                other => return other.map_err(|errno| Error::from_operation(&WRITE, errno)),
            }
        }
    }

    /// The descriptor's number, which stays this value's.
    ///
    /// ```
    /// # #[cfg(feature = "alloc")] {
    /// use rawthread::process::{Command, Stdio};
    ///
    /// let child = Command::new("true").stdout(Stdio::piped()).spawn()?;
    /// assert!(child.stdout.as_ref().unwrap().raw_fd() >= 0);
    /// # }
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn raw_fd(&self) -> i32 {
        self.0.as_raw()
    }

    #[cfg(feature = "alloc")]
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

/// std's name for the parent's end of a child's stdin.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use rawthread::process::{ChildStdin, Command, Stdio};
///
/// let mut child = Command::new("true").stdin(Stdio::piped()).spawn()?;
/// let end: Option<ChildStdin> = child.stdin.take();
/// assert!(end.is_some());
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
pub type ChildStdin = Pipe;

/// std's name for the parent's end of a child's stdout.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use rawthread::process::{ChildStdout, Command, Stdio};
///
/// let mut child = Command::new("true").stdout(Stdio::piped()).spawn()?;
/// let end: Option<ChildStdout> = child.stdout.take();
/// assert!(end.is_some());
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
pub type ChildStdout = Pipe;

/// std's name for the parent's end of a child's stderr.
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use rawthread::process::{ChildStderr, Command, Stdio};
///
/// let mut child = Command::new("true").stderr(Stdio::piped()).spawn()?;
/// let end: Option<ChildStderr> = child.stderr.take();
/// assert!(end.is_some());
/// # }
/// # Ok::<(), rawthread::Error>(())
/// ```
pub type ChildStderr = Pipe;

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.raw_fd()).finish()
    }
}

#[cfg(feature = "std")]
impl std::io::Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(self.read_once(buffer)?)
    }
}

#[cfg(feature = "std")]
impl std::io::Read for &Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(self.read_once(buffer)?)
    }
}

#[cfg(feature = "std")]
impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(self.write_once(bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "std")]
impl std::io::Write for &Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(self.write_once(bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "std")]
impl std::os::fd::AsFd for Pipe {
    #[allow(unsafe_code, reason = "lends the descriptor")]
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: the descriptor stays open as long as `self` is borrowed.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.raw_fd()) }
    }
}

#[cfg(feature = "std")]
impl std::os::fd::AsRawFd for Pipe {
    fn as_raw_fd(&self) -> i32 {
        self.raw_fd()
    }
}
