//! The error that a function of the program's own returned, and what a failed step was about. With the
//! feature `alloc`; `no_step_error` is the twin without.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;

use super::kind::ErrorKind;
use super::limit::Limit;

/// The path or program that an operation was about. Clones share it.
#[derive(Clone)]
pub(super) struct Subject(Arc<str>);

impl Subject {
    /// `None` if there is no memory for it.
    pub(super) fn new(text: &core::ffi::CStr) -> Option<Self> {
        // A byte that is no UTF-8 becomes three, and the text is copied once.
        let most = text.count_bytes().saturating_mul(6).saturating_add(64);
        Vec::<u8>::new().try_reserve_exact(most).ok()?;
        Some(Self(String::from_utf8_lossy(text.to_bytes()).into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A program's error, and what of it programs ask this crate's for. Clones share it.
#[derive(Clone)]
pub(super) struct StepError {
    kind: ErrorKind,
    limit: Option<Limit>,
    source: Arc<dyn Error + Send + Sync>,
}

impl StepError {
    pub(super) fn new(
        kind: ErrorKind,
        limit: Option<Limit>,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        Self {
            kind,
            limit,
            source: source.into(),
        }
    }

    pub(super) const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(super) const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    pub(super) fn source(&self) -> &(dyn Error + 'static) {
        &*self.source
    }
}
