//! What this process's descriptors were before they became a program's, for an `exec` that fails.

use alloc::vec::Vec;

use super::exec_child::ExecPlan;
use crate::sys::file::OwnedFd;
use crate::sys::{Errno, process};

/// A number that steps give another meaning.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) number: i32,
    /// Whether the step makes a descriptor; else it ends one.
    pub(super) makes: bool,
}

impl ExecPlan<'_> {
    /// The numbers that mean something else once the steps are taken, in their order.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target> + Clone {
        let mapped = self.fd_mappings.iter().map(|one| (one.to, true));
        let steps = self.before_exec.iter().filter_map(|step| {
            let makes = step.closes().is_none();
            step.target().map(|number| (number, makes))
        });
        let numbers = mapped.chain(steps);
        numbers.map(|(number, makes)| Target { number, makes })
    }
}

/// Descriptors that an `exec` gives another meaning.
#[derive(Default)]
pub(super) struct SavedFds(Vec<SavedFd>);

struct SavedFd {
    number: i32,
    /// Which target of the plan is the first that changes it.
    step: usize,
    /// `None`: the number was free.
    before: Option<Saved>,
}

struct Saved {
    copy: OwnedFd,
    closes_at_exec: bool,
}

impl SavedFds {
    /// Copies what these numbers mean. They are given in the order in which steps change them.
    ///
    /// # Errors
    /// No number is left for a copy.
    pub(super) fn of(targets: impl Iterator<Item = Target> + Clone) -> Result<Self, Errno> {
        let highest = targets.clone().map(|target| target.number).max();
        let lowest = highest.unwrap_or(0).saturating_add(1).max(3);
        let mut saved = Self(Vec::new());
        for (step, Target { number, makes }) in targets.enumerate() {
            if saved.0.iter().any(|one| one.number == number) {
                continue;
            }
            let before = match process::is_cloexec(number) {
                Ok(closes_at_exec) => Some(Saved {
                    copy: process::dup_owned(number, lowest)?,
                    closes_at_exec,
                }),
                // Free, or no number at all; what ends it changes nothing.
                Err(_) if makes => None,
                Err(_) => continue,
            };
            saved.0.push(SavedFd {
                number,
                step,
                before,
            });
        }
        Ok(saved)
    }

    /// After `taken` targets have got their meaning. The step of the next may have begun.
    pub(super) fn put_back(&mut self, taken: usize) {
        for one in self.0.drain(..) {
            match one.before {
                Some(saved) if one.step <= taken => {
                    let _ = process::dup3(saved.copy.as_raw(), one.number);
                    if saved.closes_at_exec {
                        let _ = process::set_cloexec(one.number);
                    }
                }
                // Only what a step made: another thread may have the number that is free for it.
                None if one.step < taken => process::close(one.number),
                _ => {}
            }
        }
    }
}
