//! Without an allocator a program gives this crate no functions that fail.

use core::convert::Infallible;
use core::error::Error;

use super::kind::ErrorKind;
use super::limit::Limit;

#[derive(Clone)]
pub(super) struct StepError(Infallible);

#[derive(Clone)]
pub(super) struct Subject(Infallible);

impl Subject {
    pub(super) fn as_str(&self) -> &str {
        match self.0 {}
    }
}

impl StepError {
    pub(super) const fn kind(&self) -> ErrorKind {
        match self.0 {}
    }

    pub(super) const fn limit(&self) -> Option<Limit> {
        match self.0 {}
    }

    pub(super) fn source(&self) -> &(dyn Error + 'static) {
        match self.0 {}
    }
}
