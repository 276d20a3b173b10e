//! What this process's descriptors were before they became a program's, for an `exec` that fails.

use alloc::vec::Vec;

use crate::sys::file::OwnedFd;
use crate::sys::{Errno, process};

/// Descriptors that an `exec` gives another meaning.
pub(super) struct SavedFds(Vec<(i32, Option<Saved>)>);

struct Saved {
    copy: OwnedFd,
    closes_at_exec: bool,
}

impl SavedFds {
    /// Copies what these numbers mean.
    ///
    /// # Errors
    /// No number is left for a copy.
    pub(super) fn of(numbers: impl Iterator<Item = i32> + Clone) -> Result<Self, Errno> {
        let highest = numbers.clone().max().unwrap_or(0);
        let mut saved = Self(Vec::new());
        for number in numbers {
            let before = match process::is_cloexec(number) {
                Ok(closes_at_exec) => Some(Saved {
                    copy: process::dup_owned(number, highest.saturating_add(1).max(3))?,
                    closes_at_exec,
                }),
                // Closed, or no number at all.
                Err(_) => None,
            };
            saved.0.push((number, before));
        }
        Ok(saved)
    }

    pub(super) fn put_back(&mut self) {
        // Backwards, for a number may come twice.
        for (number, before) in self.0.drain(..).rev() {
            match before {
                Some(saved) => {
                    let _ = process::dup3(saved.copy.as_raw(), number);
                    if saved.closes_at_exec {
                        let _ = process::set_cloexec(number);
                    }
                }
                None => process::close(number),
            }
        }
    }
}
