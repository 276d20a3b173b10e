//! Conversions between std's descriptors and a child's (feature `std`).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::stdio::{Source, Stdio};
use crate::process::pipe::Pipe;

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Source::Owned(fd.into()))
    }
}

/// What converts into an `OwnedFd` and is std's to convert into its own `Stdio`.
macro_rules! owned {
    ($($type:ty)*) => {$(
        impl From<$type> for Stdio {
            fn from(owner: $type) -> Self {
                OwnedFd::from(owner).into()
            }
        }
    )*};
}

owned! {
    std::fs::File
    std::io::PipeReader
    std::io::PipeWriter
    std::process::ChildStdin
    std::process::ChildStdout
    std::process::ChildStderr
}

/// The parent's descriptor 1, which stays the parent's.
impl From<std::io::Stdout> for Stdio {
    fn from(stdout: std::io::Stdout) -> Self {
        Self(Source::Borrowed(stdout.as_raw_fd()))
    }
}

/// The parent's descriptor 2, which stays the parent's.
impl From<std::io::Stderr> for Stdio {
    fn from(stderr: std::io::Stderr) -> Self {
        Self(Source::Borrowed(stderr.as_raw_fd()))
    }
}

impl From<Pipe> for OwnedFd {
    #[allow(unsafe_code, reason = "hands a descriptor over")]
    fn from(pipe: Pipe) -> Self {
        let number = pipe.into_descriptor().into_raw();
        // SAFETY: the number was owned by the pipe, which gave it up.
        unsafe { FromRawFd::from_raw_fd(number) }
    }
}

impl From<OwnedFd> for Pipe {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd.into())
    }
}
