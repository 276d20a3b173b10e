//! Without an allocator there are no spawn hooks.

use crate::runtime::record::ThreadRef;

/// Nothing.
pub(in crate::thread) struct ChildHooks;

impl ChildHooks {
    pub(in crate::thread) const NONE: Self = Self;

    pub(in crate::thread) fn run(_new: &ThreadRef) -> Self {
        Self
    }

    /// The closure itself.
    pub(in crate::thread) fn before<T>(self, closure: impl FnOnce() -> T) -> impl FnOnce() -> T {
        closure
    }
}
