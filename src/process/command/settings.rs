//! What a command can set beside its program, environment and descriptors.

use alloc::ffi::CString;
use alloc::vec::Vec;

use super::caller_groups::has_no_others_than;
use super::exec_child::Groups;
use crate::error::Error;
use crate::process::before_exec::{BeforeExec, NO_ID};
use crate::process::cgroup::Cgroup;
use crate::process::namespaces::{IdMaps, Namespaces};
use crate::sys::signal::SigSet;

/// The attributes of a child.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) default_signals: SigSet,
    pub(super) mask: Option<SigSet>,
    pub(super) new_session: bool,
    pub(super) process_group: Option<i32>,
    pub(super) controlling_terminal: Option<i32>,
    pub(super) before_exec: Vec<BeforeExec>,
    pub(super) root: Option<CString>,
    pub(super) directory: Option<CString>,
    pub(super) close_others: bool,
    pub(super) limits: Vec<(u32, u64, u64)>,
    pub(super) groups: Option<Vec<u32>>,
    /// They are those of a user by name: a caller that has no others may be that user already.
    pub(super) groups_may_stay: bool,
    pub(super) gid: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) death_signal: Option<i32>,
    pub(super) namespaces: Namespaces,
    pub(super) maps: IdMaps,
    pub(super) pidfd: Option<bool>,
    pub(super) cgroup: Option<Cgroup>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Rust programs ignore SIGPIPE; others do not expect to start so.
            default_signals: SigSet::EMPTY.with(libc::SIGPIPE).unwrap_or(SigSet::EMPTY),
            mask: None,
            new_session: false,
            process_group: None,
            controlling_terminal: None,
            before_exec: Vec::new(),
            root: None,
            directory: None,
            close_others: false,
            limits: Vec::new(),
            groups: None,
            groups_may_stay: false,
            gid: None,
            uid: None,
            death_signal: None,
            namespaces: Namespaces::empty(),
            maps: IdMaps::default(),
            pidfd: None,
            cgroup: None,
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        if [self.uid, self.gid].contains(&Some(u32::MAX)) {
            return Err(NO_ID);
        }
        self.before_exec.iter().try_for_each(BeforeExec::check)?;
        self.maps.check(self.namespaces.flags())
    }

    /// The groups asked for. A child that becomes another user gives up its own groups, unless
    /// some were set: they would be the caller's rights under another name.
    pub(super) fn groups_to_set(&self) -> Groups<'_> {
        match (&self.groups, self.uid) {
            (Some(groups), _) if self.groups_may_stay && has_no_others_than(groups) => {
                Groups::SetIfPermitted(groups)
            }
            (Some(groups), _) => Groups::Set(groups),
            (None, Some(_)) => Groups::SetIfPermitted(&[]),
            (None, None) => Groups::Keep,
        }
    }

    /// Whether groups are to be dropped that the child cannot drop: in a user namespace without a
    /// group map nothing may, and in one that it joins it is the namespace that decides.
    pub(super) fn must_drop_groups_before(&self) -> bool {
        self.groups.is_none()
            && self.uid.is_some()
            && (self.namespaces.contains(Namespaces::USER) && self.maps.groups.is_empty()
                || self
                    .before_exec
                    .iter()
                    .any(BeforeExec::joins_user_namespace))
    }
}
