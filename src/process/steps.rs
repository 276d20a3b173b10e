//! The steps of a [`Builder`](super::Builder) before its closure begins.

use alloc::vec::Vec;

use super::before_exec::{BeforeExec, Phase};
use super::dumpable::DumpableGuard;
pub(super) use super::dumpable::{after_fork, left_stack};
use super::ids::Ids;
use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::Errno;

/// What the parent of a child in its memory keeps until the child has left.
pub(super) type MemoryGuard = Option<DumpableGuard>;

/// The steps of a builder.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps(Vec<BeforeExec>);

impl Steps {
    pub(super) fn push(&mut self, step: BeforeExec) {
        self.0.push(step);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Before a child is made that takes these steps in this memory. To be kept until it has left it.
    pub(super) fn guard_memory(&self) -> MemoryGuard {
        let changes = self.0.iter().any(BeforeExec::changes_credentials);
        changes.then(DumpableGuard::begin)
    }

    /// See [`BeforeExec::has_child_traced`].
    pub(super) fn has_child_traced(&self) -> bool {
        self.0.iter().any(BeforeExec::has_child_traced)
    }

    /// Whether the child can take these steps, made with `flags`.
    pub(super) fn check(&self, flags: CloneFlags) -> Result<(), Error> {
        if flags.contains(CloneFlags::VM) && self.0.iter().any(BeforeExec::acts_on_memory) {
            return Err(BeforeExec::PARENTS_MEMORY);
        }
        // It runs beside its parent in one memory.
        let shares = flags & (CloneFlags::VM | CloneFlags::VFORK) == CloneFlags::VM;
        if shares && self.0.iter().any(BeforeExec::is_for_all_of_memory) {
            return Err(BeforeExec::ALL_OF_MEMORY);
        }
        self.0.iter().try_for_each(BeforeExec::check)?;
        let is_target = |fd: i32| self.0.iter().any(|step| step.target() == Some(fd));
        match self
            .0
            .iter()
            .filter_map(BeforeExec::descriptor)
            .any(is_target)
        {
            true => Err(BeforeExec::TAKEN_NUMBER),
            false => Ok(()),
        }
    }

    /// Takes the steps, in the child: raw system calls alone. Of the one that failed, its number, too.
    pub(super) fn take(&self) -> Result<(), (usize, &'static Operation, Errno)> {
        let last = |(_, step): &(usize, &BeforeExec)| step.phase() == Phase::Last;
        let first = |step: &(usize, &BeforeExec)| !last(step);
        let run = |(number, step): (usize, &BeforeExec)| {
            step.run(Ids::Thread)
                .map_err(|(step, errno)| (number, step, errno))
        };
        let steps = || self.0.iter().enumerate();
        steps().filter(first).try_for_each(run)?;
        steps().filter(last).try_for_each(run)
    }

    /// The error of the step of this number.
    pub(super) fn error(&self, number: usize, step: &'static Operation, errno: Errno) -> Error {
        let subject = self.0.get(number).and_then(BeforeExec::subject);
        Error::from_operation(step, errno).about(subject)
    }
}
