//! Making the child of a command and learning how it went.
//!
//! Without id maps the calling thread sleeps in `clone3(VM | VFORK)` until the child has left its
//! memory. With them it must write the maps while the child waits, so it cannot sleep there:
//! then `CLONE_CHILD_CLEARTID` tells when the child has left, by the same kernel function
//! (`mm_release`) that ends a vfork.
#![allow(unsafe_code, reason = "makes a process by hand")]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::dumpable::Changing;
use super::foothold::Foothold;
use super::inside::{self, Plan};
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::process::child::Child;
use crate::process::explain;
use crate::process::namespaces::IdMaps;
use crate::sys::file::OwnedFd;
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, clone};

/// Set once the kernel has refused `CLONE_CLEAR_SIGHAND` (before Linux 5.5, or a sandbox without
/// clone3). Relaxed: it only saves a call.
static HANDLERS_BY_HAND: AtomicBool = AtomicBool::new(false);

/// How to make the child, beside what it does.
pub(super) struct Birth<'a> {
    pub(super) namespaces: CloneFlags,
    pub(super) maps: &'a IdMaps,
    pub(super) pidfd: Option<bool>,
    pub(super) cgroup: Option<i32>,
}

/// Makes the child and returns once it has become the program.
pub(super) fn launch(plan: &mut Plan<'_>, birth: &Birth<'_>) -> Result<Child, Error> {
    let foothold = Foothold::take()?;
    let ground = foothold.ground();
    let gated = !birth.maps.is_empty();
    let mut flags = CloneFlags::VM | birth.namespaces;
    flags |= if gated {
        CloneFlags::CHILD_CLEARTID
    } else {
        CloneFlags::VFORK
    };
    flags.set(CloneFlags::PIDFD, birth.pidfd != Some(false));
    flags.set(CloneFlags::INTO_CGROUP, birth.cgroup.is_some());
    let by_hand = HANDLERS_BY_HAND.load(Ordering::Relaxed);
    flags.set(CloneFlags::CLEAR_SIGHAND, !by_hand);

    // 1 until the child has left this memory.
    let here = AtomicU32::new(1);
    let changing = (plan.uid.is_some() || plan.gid.is_some()).then(Changing::begin);
    let mut pidfd = -1i32;
    // No handler of this process may run in the child before its handlers are reset, nor on this
    // thread while the child uses its thread pointer.
    let mask = signal::set_mask(SigSet::ALL);
    let made = loop {
        plan.reset_handlers = !flags.contains(CloneFlags::CLEAR_SIGHAND);
        let request = clone::CloneArgs {
            flags: flags.bits(),
            exit_signal: libc::SIGCHLD as u64,
            stack: ground.bottom(),
            stack_size: ground.top() as usize - ground.bottom(),
            child_tid: here.as_ptr() as usize,
            pidfd: if flags.contains(CloneFlags::PIDFD) {
                &raw mut pidfd as usize
            } else {
                0
            },
            cgroup: birth.cgroup.unwrap_or(0) as u64,
            ..clone::CloneArgs::default()
        };
        let plan = core::ptr::from_mut(plan).cast::<u8>();
        // SAFETY: the stack is nobody else's and its end page-aligned. `enter` uses no thread-local. The
        // plan, the stack and `here` outlive the child's stay: with VFORK this call returns after
        // it, else the wait below does.
        match unsafe { clone::clone_onto_stack(&request, inside::enter, plan) } {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM)
                if flags.contains(CloneFlags::CLEAR_SIGHAND) =>
            {
                flags.remove(CloneFlags::CLEAR_SIGHAND);
            }
            // A kernel without pidfds, or no number left for one: nobody asked for it.
            Err(Errno::EINVAL | Errno::EMFILE | Errno::ENFILE)
                if flags.contains(CloneFlags::PIDFD) && birth.pidfd.is_none() =>
            {
                flags.remove(CloneFlags::PIDFD);
            }
            other => break other,
        }
    };
    signal::set_mask(mask);
    let pid = made.map_err(|errno| {
        let asked = explain::Asked {
            flags,
            exit_signal: libc::SIGCHLD as u32,
            set_tid: false,
        };
        explain::clone_failed(asked, errno)
    })?;
    if !by_hand && !flags.contains(CloneFlags::CLEAR_SIGHAND) {
        HANDLERS_BY_HAND.store(true, Ordering::Relaxed);
    }
    let mut child = Child::new(pid, (pidfd >= 0).then(|| OwnedFd::from_raw(pidfd)));
    let mapped = if gated {
        let written = birth.maps.write(pid);
        plan.gate.decide(written.is_ok());
        // Acquire: the child's report happened before the kernel cleared the word.
        while here.load(Ordering::Acquire) != 0 {
            let _ = futex::wait(&here, 1, None, Sharing::Shared);
        }
        written
    } else {
        Ok(())
    };
    drop(foothold);
    drop(changing);
    match mapped.err().or_else(|| plan.report.error()) {
        None => Ok(child),
        Some(error) => {
            let _ = child.wait();
            Err(error)
        }
    }
}
