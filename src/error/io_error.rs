//! Conversions between the crate's error and std's (feature `std`).

use core::alloc::Layout;
use core::error;
use std::boxed::Box;
use std::io;

use super::error::Error;
use super::kind::ErrorKind;
use crate::primitive::fallible::{has_memory, try_box};

/// Keeps the error inside, with its message. The errno is the inner error's ([`Error::from_io`]):
/// `std::io::Error` holds a number or an error.
///
/// The kind is that of the errno; but at every limit for which the errno is ENOMEM it is
/// `WouldBlock`, as for EAGAIN: a thread of std's is made by `pthread_create(3)`, which returns EAGAIN
/// for want of memory, too. Of an error that a function of the program's own returned, and that has no
/// errno, it is `Other`, or that of the function's `io::Error`. Where no memory is left for an error that
/// holds another, the result is the kind alone.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = error.io_kind();
        // `new` boxes what it is given, and has no other answer to want of memory than to end the process.
        // For the words that it keeps beside the error there is no other way than to look first.
        match try_box(error) {
            Ok(error) if has_memory(&[Layout::new::<[usize; 3]>()]) => {
                Self::new(kind, error as Box<dyn error::Error + Send + Sync>)
            }
            Ok(_) | Err(_) => Self::from(kind),
        }
    }
}

/// What [`Error::from_foreign`] asks for: the error's own box, and that in the count's company.
const FOR_BOX: Layout = Layout::new::<io::Error>();
const FOR_ARC: Layout = Layout::new::<[usize; 4]>();

fn kind_of_source(error: &Error) -> io::ErrorKind {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map_or(io::ErrorKind::Other, io::Error::kind)
}

/// Returns the [`Error`] inside, if there is one; else keeps the errno. An error that has neither is kept
/// with its text, as the source; where no memory is left for it, it becomes `EIO`.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inside) => inside,
            Err(error) => match error.raw_os_error() {
                Some(errno) => Self::from_raw_os_error(errno),
                None if has_memory(&[FOR_BOX, FOR_ARC]) => Self::from_foreign(error),
                None => Self::from_raw_os_error(libc::EIO),
            },
        }
    }
}

impl Error {
    /// Returns the kind that an [`std::io::Error`] made from this error has. Feature `std`.
    ///
    /// ```
    /// use std::io::ErrorKind;
    ///
    /// let error = rawthread::process::Command::new("no-such-program").spawn().unwrap_err();
    /// assert_eq!(error.io_kind(), ErrorKind::NotFound);
    /// ```
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match (self.kind(), self.raw_os_error()) {
            (ErrorKind::Limit, Some(libc::ENOMEM)) => io::ErrorKind::WouldBlock,
            (_, Some(errno)) => io::Error::from_raw_os_error(errno).kind(),
            (ErrorKind::Other, None) => kind_of_source(self),
            (_, None) => io::ErrorKind::Unsupported,
        }
    }

    /// Returns the error of this crate that an [`std::io::Error`] was made from.
    ///
    /// Such an `io::Error` has the kind that std's would have and this error's text. Its own
    /// `raw_os_error()` is `None`, where std's has a number; this error has the errno.
    ///
    /// ```
    /// use rawthread::{Builder, Error};
    ///
    /// fn errno(error: &std::io::Error) -> Option<i32> {
    ///     error.raw_os_error().or_else(|| Error::from_io(error)?.raw_os_error())
    /// }
    /// let error = Builder::new().stack_size(usize::MAX).spawn(|| ()).unwrap_err();
    /// assert_eq!(error.raw_os_error(), None);
    /// assert_eq!(errno(&error), Some(libc::EINVAL));
    /// ```
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Operation;
    use super::super::limit::Limit;
    use super::*;
    use crate::sys::Errno;
    use std::string::ToString;

    #[test]
    fn the_errno_survives_the_way_to_io_error_and_back() {
        static CHDIR: Operation = Operation {
            name: "chdir",
            purpose: "enter the child's working directory",
            hint: |_| "Check who may enter it.",
        };
        let error = Error::from_operation(&CHDIR, Errno::new(libc::EACCES));
        let text = error.to_string();
        let io = io::Error::from(error);
        // An io::Error with a text of its own has no number of its own.
        assert_eq!(io.raw_os_error(), None);
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(io.to_string(), text);
        assert_eq!(Error::from_io(&io).unwrap().operation(), Some("chdir"));
        assert_eq!(Error::from(io).raw_os_error(), Some(libc::EACCES));
    }

    #[test]
    fn a_text_of_its_own_survives_there_and_back() {
        let error = Error::from(io::Error::new(io::ErrorKind::NotFound, "no such user"));
        assert_eq!(error.to_string(), "no such user");
        assert_eq!(error.raw_os_error(), None);
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(error.operation(), None);
        let back = io::Error::from(error);
        assert_eq!(back.kind(), io::ErrorKind::NotFound);
        assert_eq!(back.to_string(), "no such user");
    }

    #[test]
    fn every_limit_on_tasks_and_memory_would_block() {
        let kind = |limit, errno| io::Error::from(Error::at_limit(limit, None, errno)).kind();
        let would_block = io::ErrorKind::WouldBlock;
        assert_eq!(kind(Limit::Processes, Errno::EAGAIN), would_block);
        assert_eq!(kind(Limit::LockedMemory, Errno::EAGAIN), would_block);
        for limit in [
            Limit::Memory,
            Limit::AddressSpace,
            Limit::Data,
            Limit::MapCount,
        ] {
            assert_eq!(kind(limit, Errno::ENOMEM), would_block);
        }
        // What std does not report so.
        let open_files = io::Error::from_raw_os_error(libc::EMFILE).kind();
        assert_eq!(kind(Limit::OpenFiles, Errno::new(libc::EMFILE)), open_files);
        let other = io::Error::from(Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!(other.kind(), io::ErrorKind::OutOfMemory);
    }
}
