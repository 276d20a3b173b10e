//! What a function of `Builder::before_start` returned, as the error of the spawn. With the feature
//! `alloc`.

use alloc::boxed::Box;

use super::error::Error;
use super::kind::ErrorKind;
use super::step_error::StepError;
use crate::sys::Errno;

type Source = dyn core::error::Error + Send + Sync;

impl Error {
    /// Keeps `source`, and takes over the errno that it has, and of an error of this crate kind and limit.
    pub(crate) fn from_before_start(source: Box<Source>) -> Self {
        let (kind, limit, errno) = match (source.downcast_ref::<Self>(), raw_os_error(&*source)) {
            (Some(own), errno) => (own.kind(), own.limit(), errno),
            (None, Some(errno)) => (ErrorKind::Os, None, Some(errno)),
            (None, None) => (ErrorKind::Other, None, None),
        };
        Self::from_step(StepError::new(kind, limit, source), errno)
    }
}

fn raw_os_error(source: &Source) -> Option<Errno> {
    let number = match source.downcast_ref::<Error>() {
        Some(own) => own.raw_os_error()?,
        None => raw_os_error_of_io(source)?,
    };
    (0 < number && number < 4096).then(|| Errno::new(number))
}

#[cfg(feature = "std")]
fn raw_os_error_of_io(source: &Source) -> Option<i32> {
    let io = source.downcast_ref::<std::io::Error>()?;
    io.raw_os_error()
        .or_else(|| Error::from_io(io)?.raw_os_error())
}

#[cfg(not(feature = "std"))]
fn raw_os_error_of_io(_source: &Source) -> Option<i32> {
    None
}
