//! Without an allocator there are no spawn hooks.

use crate::error::Error;
use crate::runtime::record::ThreadRef;

/// There is no choice.
#[derive(Clone, Copy)]
pub(in crate::thread) struct HookChoice;

#[allow(non_upper_case_globals, reason = "the names of its twin")]
impl HookChoice {
    pub(in crate::thread) const Inherit: Self = Self;
    pub(in crate::thread) const Leave: Self = Self;
}

/// Nothing.
pub(in crate::thread) struct ChildHooks;

impl ChildHooks {
    pub(in crate::thread) const NONE: Self = Self;

    /// There is no code to run.
    pub(in crate::thread) fn may_run() -> bool {
        false
    }

    /// Without an error.
    #[allow(clippy::unnecessary_wraps, reason = "as its twin")]
    pub(in crate::thread) fn run(_choice: HookChoice, _new: &ThreadRef) -> Result<Self, Error> {
        Ok(Self)
    }

    /// The closure itself.
    pub(in crate::thread) fn before<T>(self, closure: impl FnOnce() -> T) -> impl FnOnce() -> T {
        closure
    }
}
