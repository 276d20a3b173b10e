//! Making a child without supplementary groups where it cannot give them up itself.
//!
//! In a user namespace `setgroups(2)` needs a group map, and without one a child keeps the groups of its
//! parent: what their files permit, it may do. A parent that may set its own groups makes such a child
//! from a thread that has none for that moment. Credentials belong to a thread, so no other thread
//! of the process notices, and the calling thread runs no other code meanwhile: its signals are blocked.
//! That includes the one by which libc has a thread take over new ids: they are set after these are
//! back.

use alloc::vec;
use alloc::vec::Vec;

use crate::sys::{process, sched};

/// The calling thread has no supplementary groups while this lives, if it may set them.
pub(super) struct WithoutGroups {
    /// What to put back.
    groups: Option<Vec<u32>>,
}

impl WithoutGroups {
    /// All signals must be blocked from before this until after the drop.
    pub(super) fn begin() -> Self {
        Self {
            groups: own_groups().filter(|groups| !groups.is_empty() && is_set(&[])),
        }
    }
}

impl Drop for WithoutGroups {
    fn drop(&mut self) {
        if let Some(groups) = &self.groups {
            // What was permitted for none is for these, which the thread had. Memory may be short.
            while !is_set(groups) {
                sched::sleep_nanos(1_000_000);
            }
        }
    }
}

fn is_set(groups: &[u32]) -> bool {
    process::set_groups(groups).is_ok()
}

/// Whether the calling thread has no supplementary group but these.
pub(super) fn has_no_others_than(groups: &[u32]) -> bool {
    own_groups().is_some_and(|own| own.iter().all(|group| groups.contains(group)))
}

fn own_groups() -> Option<Vec<u32>> {
    let count = process::groups(&mut []).ok()?;
    let mut groups = vec![0; count];
    let count = process::groups(&mut groups).ok()?;
    groups.truncate(count);
    Some(groups)
}
