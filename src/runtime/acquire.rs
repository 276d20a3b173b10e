//! Takes a slot and gives it a TCB.
#![allow(unsafe_code, reason = "creates TCBs on slots that it took")]

use super::api::Runtime;
use super::chosen::{Rt, Slot, Tcb};
use crate::arena::FreeList;
use crate::diagnosis;
use crate::error::Error;
use crate::stack::cache::{self, Acquired};
use crate::sys::Errno;

/// A vacant slot with a TCB, with at least `stack` bytes for TCB and stack and at least `guard` bytes
/// of guard.
///
/// # Errors
/// `too_large` where no address space could hold such a slot; the limit that was met; what
/// [`Runtime::create_tcb`] says.
pub(crate) fn acquire_slot(stack: usize, guard: usize, too_large: Error) -> Result<Slot, Error> {
    match acquire(stack, guard, too_large)? {
        Acquired::WithTcb(slot) => Ok(slot),
        Acquired::Uninit(slot) => create_tcb(slot),
    }
}

/// As [`acquire_slot`], but a slot without TCB stays so if `run_on_donor` says that its first thread
/// comes with the TCB ([`Runtime::create_and_run`]); that is the flag beside it.
///
/// # Errors
/// As [`acquire_slot`].
pub(crate) fn acquire_slot_to_run(
    stack: usize,
    guard: usize,
    too_large: Error,
    run_on_donor: impl FnOnce() -> bool,
) -> Result<(Slot, bool), Error> {
    match acquire(stack, guard, too_large)? {
        Acquired::WithTcb(slot) => Ok((slot, false)),
        Acquired::Uninit(slot) if run_on_donor() => Ok((slot, true)),
        Acquired::Uninit(slot) => Ok((create_tcb(slot)?, false)),
    }
}

/// A slot with a thread that waits to run what the caller has ([`Runtime::ensure_init_to_run`]), or none.
/// One that was not taken is dismissed, and goes to the cache.
pub(crate) struct WaitingSlot(Option<Slot>);

impl WaitingSlot {
    /// Known when it is compiled: a program without a libc contains none of this.
    const EXISTS: bool = Rt::INLINE_PACKET_MAX.is_some();

    /// No slot; the host is as after [`Runtime::ensure_init`].
    ///
    /// # Errors
    /// As `ensure_init`.
    pub(crate) fn none() -> Result<Self, Error> {
        Rt::ensure_init().map(|()| Self(None))
    }

    /// The slot that `ensure_init_to_run` returned.
    ///
    /// # Errors
    /// As `ensure_init`.
    pub(crate) fn find() -> Result<Self, Error> {
        Rt::ensure_init_to_run().map(Self)
    }

    /// The slot, if it is one that the cache would give out for these sizes.
    pub(crate) fn take(&mut self, stack: usize, guard: usize) -> Option<Slot> {
        if !Self::EXISTS {
            return None;
        }
        self.0
            .take_if(|slot| cache::is_layout_for(slot.region().layout(), stack, guard))
    }
}

impl Drop for WaitingSlot {
    fn drop(&mut self) {
        let Some(slot) = self.0.take().filter(|_| Self::EXISTS) else {
            return;
        };
        // SAFETY: by the type.
        match unsafe { Rt::dismiss_waiting(slot) } {
            Ok(()) => Rt::cache().put_idle(slot),
            Err(_) if Rt::is_lost(slot) => {}
            Err(_) => Rt::cache().put_uninit(slot),
        }
    }
}

fn acquire(stack: usize, guard: usize, too_large: Error) -> Result<Acquired<Tcb>, Error> {
    find_slot(stack, guard).map_err(|errno| match errno {
        Errno::EINVAL => too_large,
        errno => diagnosis::map_error(errno, cache::mapping_size(stack, guard).unwrap_or(stack)),
    })
}

/// Gives an uninitialised slot, which the caller took, its TCB; on failure the slot goes back,
/// unless it is lost.
fn create_tcb(slot: Slot) -> Result<Slot, Error> {
    // SAFETY: by SLOT-1 an uninitialised slot that was just taken is the caller's alone; `find_slot`
    // gives it out with guards.
    match unsafe { Rt::create_tcb(slot) } {
        Ok(()) => Ok(slot),
        Err(error) => {
            if !Rt::is_lost(slot) {
                Rt::cache().put_uninit(slot);
            }
            Err(error)
        }
    }
}

/// A vacant slot with at least these sizes; see [`cache::Cache::acquire`]. Where memory, address
/// space or map entries are short, idle slots of all sizes are unmapped, and it is tried once more.
///
/// # Errors
/// As [`cache::Cache::acquire`].
fn find_slot(stack: usize, guard: usize) -> Result<Acquired<Tcb>, Errno> {
    /// How many slots that libc's threads are still leaving are put aside before a fresh one is taken.
    const MAX_LEAVING: u32 = 4;

    let mut trimmed = false;
    let leaving = PutAside(FreeList::new());
    let mut count = 0;
    loop {
        let found = if count < MAX_LEAVING {
            Rt::cache().acquire(stack, guard)
        } else {
            Rt::cache().acquire_fresh(stack, guard)
        };
        let slot = match found {
            Ok(Acquired::WithTcb(slot)) => slot,
            Ok(blank) => return Ok(blank),
            // EAGAIN: the limit on locked memory.
            Err(errno @ (Errno::ENOMEM | Errno::EAGAIN)) if !trimmed => {
                trimmed = true;
                if !Rt::cache().trim(Rt::destroy_tcb) {
                    return Err(errno);
                }
                continue;
            }
            Err(errno) => return Err(errno),
        };
        // SAFETY: the slot was just taken.
        unsafe {
            if !Rt::must_retire(slot) {
                return Ok(Acquired::WithTcb(slot));
            }
            // Its guards stay where they are. One that cannot be retired (no
            // CONFIG_CHECKPOINT_RESTORE) is not used again, nor is its memory.
            if Rt::destroy_tcb(slot) {
                return Ok(Acquired::Uninit(slot));
            }
        }
        if Rt::is_served_by_libc() {
            leaving.0.push(slot);
            count += 1;
        }
    }
}

/// Slots whose threads libc has not ended yet; back on the cache's list afterwards.
struct PutAside(FreeList);

impl Drop for PutAside {
    fn drop(&mut self) {
        Rt::cache().put_all_idle(&self.0);
    }
}
