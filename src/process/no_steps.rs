//! What `step_report` is where there is no allocator to hold steps: none.
#![allow(
    unsafe_code,
    reason = "the contract that the function has with an allocator"
)]

use core::convert::Infallible;

use super::child::Child;
use crate::error::Error;
use crate::flags::CloneFlags;

/// No steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(());

impl Steps {
    #[expect(clippy::unused_self, reason = "as with an allocator")]
    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "as with an allocator")]
    pub(super) fn report(&self, _: CloneFlags) -> Result<Option<Report>, Error> {
        Ok(None)
    }
}

/// There is none.
pub(super) struct Report(Infallible);

/// There is none.
#[derive(Clone, Copy)]
pub(super) struct ReportChild(Infallible);

impl Report {
    pub(super) fn child_side(&self, _: &Steps) -> ReportChild {
        ReportChild(self.0)
    }

    pub(super) fn wait(self, _: &Child) -> Result<(), Error> {
        match self.0 {}
    }
}

impl ReportChild {
    /// # Safety
    /// As with an allocator.
    pub(super) unsafe fn run(self) -> bool {
        match self.0 {}
    }
}
