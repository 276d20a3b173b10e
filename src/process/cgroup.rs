//! A control group to begin in.

use core::ffi::CStr;

use crate::error::{Error, Operation};
use crate::sys::Errno;
use crate::sys::file::{self, OwnedFd};

static OPEN: Operation = Operation {
    name: "openat",
    purpose: "open the cgroup's directory",
    hint: |errno| match errno {
        Errno::EMFILE | Errno::ENFILE => "Close descriptors, or raise RLIMIT_NOFILE.",
        _ => "It is a directory in the tree of version 2: /sys/fs/cgroup, or unified in it.",
    },
};
static COPY: Operation = Operation {
    name: "fcntl(F_DUPFD_CLOEXEC)",
    purpose: "copy the cgroup's descriptor for a clone of the builder",
    hint: |_| "Close descriptors, or raise RLIMIT_NOFILE.",
};

/// The directory of a version-2 control group, open for processes to begin in (`cgroups(7)`):
/// [`Builder::cgroup`](crate::process::Builder::cgroup), `Command::cgroup`.
///
/// With std a `File` or an `OwnedFd` converts into it. Whether the directory is one of a control group is found
/// out by the spawn.
///
/// ```
/// use rawthread::process::Cgroup;
///
/// let error = Cgroup::open(c"/no/such/group").unwrap_err();
/// assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
/// ```
#[derive(Debug)]
pub struct Cgroup(Result<OwnedFd, Errno>);

impl Cgroup {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Those of `openat(2)`: `ENOENT`, `ENOTDIR`, `EMFILE`.
    ///
    /// ```
    /// use rawthread::Error;
    /// use rawthread::process::{Builder, Cgroup};
    ///
    /// fn builder() -> Result<Builder, Error> {
    ///     Ok(Builder::new().cgroup(Cgroup::open(c"/sys/fs/cgroup/jobs")?))
    /// }
    /// ```
    pub fn open(path: &CStr) -> Result<Self, Error> {
        let opened = file::open(path, libc::O_PATH | libc::O_DIRECTORY);
        let directory = opened.map_err(|errno| Error::from_operation(&OPEN, errno))?;
        Ok(Self(Ok(directory)))
    }

    /// The descriptor's number, which this value keeps open.
    ///
    /// # Errors
    /// It is a clone, and there was no descriptor left for it.
    pub(super) fn number(&self) -> Result<i32, Error> {
        match &self.0 {
            Ok(directory) => Ok(directory.as_raw()),
            Err(errno) => Err(Error::from_operation(&COPY, *errno)),
        }
    }
}

/// The clone has a descriptor of its own. Where there is none left for it, the spawn fails that uses the clone.
impl Clone for Cgroup {
    fn clone(&self) -> Self {
        let directory = self.0.as_ref().map_err(|errno| *errno);
        Self(directory.and_then(OwnedFd::try_clone))
    }
}

#[cfg(feature = "std")]
impl From<std::os::fd::OwnedFd> for Cgroup {
    fn from(directory: std::os::fd::OwnedFd) -> Self {
        Self(Ok(directory.into()))
    }
}

#[cfg(feature = "std")]
impl From<std::fs::File> for Cgroup {
    fn from(directory: std::fs::File) -> Self {
        std::os::fd::OwnedFd::from(directory).into()
    }
}
