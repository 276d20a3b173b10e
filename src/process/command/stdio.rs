//! What a descriptor of the child is connected to.

use crate::error::{Error, Operation};
use crate::process::pipe::Pipe;
use crate::process::rlimit::Rlimit;
use crate::sys::file::{self, OwnedFd};
use crate::sys::{Errno, limits};

pub(super) static MEMFD: Operation = Operation {
    name: "memfd_create",
    purpose: "make a file in memory for the child to read",
    hint: |errno| match errno.number() {
        libc::EFBIG => {
            "They are longer than RLIMIT_FSIZE allows a file to be: raise it, or take a pipe."
        }
        _ => "Close descriptors, or raise RLIMIT_NOFILE; free some memory.",
    },
};

/// What a descriptor of the child is connected to.
///
/// ```
/// use rawthread::process::{Command, Stdio};
///
/// let status = Command::new("cat").stdin(Stdio::null()).status()?;
/// assert!(status.success());
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Debug)]
pub struct Stdio(pub(super) Source);

#[derive(Debug)]
pub(super) enum Source {
    Inherit,
    Null,
    Piped,
    #[cfg_attr(
        not(feature = "std"),
        allow(dead_code, reason = "std's descriptors come with std")
    )]
    Owned(OwnedFd),
    /// A file in memory, which each child opens anew.
    Bytes(OwnedFd),
    /// For one child.
    Once(OwnedFd),
    /// That child has it.
    Spent,
    Borrowed(i32),
}

impl Stdio {
    /// The parent's descriptor of the same number.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// Command::new("true").stdout(Stdio::inherit()).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn inherit() -> Self {
        Self(Source::Inherit)
    }

    /// `/dev/null`.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// Command::new("true").stdout(Stdio::null()).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn null() -> Self {
        Self(Source::Null)
    }

    /// A pipe, whose other end becomes a field of the [`Child`](crate::process::Child). For
    /// stdin, stdout and stderr.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// let child = Command::new("true").stdout(Stdio::piped()).spawn()?;
    /// assert!(child.stdout.is_some());
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    pub fn piped() -> Self {
        Self(Source::Piped)
    }

    /// `bytes` to read: a file in memory (`memfd_create(2)`), which no thread has to feed as a pipe must
    /// be. Each child reads it from the start, and cannot write to it. Where `/proc` is not mounted children share
    /// one position in it, so the second finds it at its end.
    ///
    /// # Errors
    /// A limit of descriptors or memory.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// let output = Command::new("sort").stdin(Stdio::bytes("b\na\n")?).output()?;
    /// assert_eq!(output.stdout, b"a\nb\n");
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        // Beyond it the kernel would not only refuse the write, but send SIGXFSZ.
        let fits = most_of_a_file().is_none_or(|most| bytes.len() as u64 <= most);
        let made = match fits {
            true => file::with_contents(bytes),
            false => Err(Errno::new(libc::EFBIG)),
        };
        made.map(|file| Self(Source::Bytes(file)))
            .map_err(|errno| Error::from_operation(&MEMFD, errno))
    }

    /// A descriptor of the parent, by number. It stays the parent's.
    ///
    /// # Safety
    /// The number must be open whenever the command is spawned, and no value that other code relies on
    /// as the only user of its file may own it.
    ///
    /// ```
    /// # use rawthread::process::{Command, Stdio};
    /// // SAFETY: stderr is open as long as the program runs.
    /// let errors = unsafe { Stdio::borrowed(2) };
    /// Command::new("true").stdout(errors).status()?;
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[must_use]
    #[allow(
        unsafe_code,
        reason = "the contract is about descriptors, as std's BorrowedFd has it"
    )]
    pub unsafe fn borrowed(fd: i32) -> Self {
        Self(Source::Borrowed(fd))
    }
}

/// The limit on the length of a file that this process writes.
fn most_of_a_file() -> Option<u64> {
    limits::rlimit(Rlimit::FileSize.number())
}

/// How `/dev/null` is opened for the child's descriptor `to`: a standard stream for what it does, as
/// std opens it, since a sandbox may allow no more.
pub(super) const fn null_access(to: i32) -> i32 {
    match to {
        0 => libc::O_RDONLY,
        1 | 2 => libc::O_WRONLY,
        _ => libc::O_RDWR,
    }
}

/// The end of another child's pipe is given to one child: once that is made, this process does not hold it, so
/// the pipe ends with the children that use it. To spawn the command again, connect it again.
///
/// ```
/// use rawthread::process::{Command, Stdio};
///
/// let mut first = Command::new("yes").stdout(Stdio::piped()).spawn()?;
/// let mut last = Command::new("head");
/// last.args(["-n", "2"]).stdin(first.stdout.take().unwrap());
/// assert_eq!(last.output()?.stdout, b"y\ny\n");
/// // The command is still here, and yes has no reader all the same.
/// assert_eq!(first.wait()?.signal(), Some(libc::SIGPIPE));
/// assert!(last.spawn().is_err());
/// # Ok::<(), rawthread::Error>(())
/// ```
impl From<Pipe> for Stdio {
    fn from(pipe: Pipe) -> Self {
        Self(Source::Once(pipe.into_descriptor()))
    }
}

/// The child's descriptors, by number; the last word on a number counts.
#[derive(Debug, Default)]
pub(super) struct Descriptors(pub(super) alloc::vec::Vec<(i32, Stdio)>);

impl Descriptors {
    pub(super) fn set(&mut self, number: i32, stdio: Stdio) {
        self.0.retain(|(other, _)| *other != number);
        self.0.push((number, stdio));
    }

    /// A child has been made, which has what is given once.
    pub(super) fn spend(&mut self) {
        for (_, Stdio(source)) in &mut self.0 {
            if matches!(source, Source::Once(_)) {
                *source = Source::Spent;
            }
        }
    }

    /// Whether one is to be a pipe to this process.
    pub(super) fn has_pipe(&self) -> bool {
        let mut sources = self.0.iter();
        sources.any(|(_, Stdio(source))| matches!(source, Source::Piped))
    }

    pub(super) fn has(&self, number: i32) -> bool {
        self.0.iter().any(|(other, _)| *other == number)
    }
}
