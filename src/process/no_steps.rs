//! What `steps` is where there is no allocator to hold steps: none.

use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::Errno;

/// No step changes this memory's mark.
#[derive(Default)]
pub(super) struct MemoryGuard(());

/// No child changed this memory's mark.
pub(super) fn after_fork() {}

/// As above.
pub(super) fn left_stack(_: usize, _: usize) {}

/// No steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(());

#[expect(clippy::unused_self, reason = "as with an allocator")]
impl Steps {
    pub(super) fn is_empty(&self) -> bool {
        true
    }

    pub(super) fn has_child_traced(&self) -> bool {
        false
    }

    pub(super) fn guard_memory(&self) -> MemoryGuard {
        MemoryGuard(())
    }

    pub(super) fn check(&self, _: CloneFlags) -> Result<(), Error> {
        Ok(())
    }

    pub(super) fn take(&self) -> Result<(), (usize, &'static Operation, Errno)> {
        Ok(())
    }

    pub(super) fn error(&self, _: usize, step: &'static Operation, errno: Errno) -> Error {
        Error::from_operation(step, errno)
    }
}
