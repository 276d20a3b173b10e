//! How much of what ended threads left in their stacks stays resident, where a libc is: a bound on the
//! stacks that are idle and on the time since they were discarded, kept by the callers that put them there.
#![allow(unsafe_code, reason = "discards memory of idle slots by SLOT-1")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::cache::{Cache, SHALLOW};
use super::slot::SlotRef;
use crate::arena::{FreeList, Zeroable};
use crate::sys::{arch, memory, task};

impl<T: Zeroable> Cache<T> {
    /// As [`Cache::put_idle`], of a slot that a thread has used, after [`Cache::discard_beyond`] `most`
    /// bytes with it. Discards all that are idle where the last time is too long ago by `seconds`
    /// ([`IdleAge`](super::idle_age::IdleAge)), unless `most` is `usize::MAX`.
    pub(crate) fn put_used(
        &self,
        slot: SlotRef<T>,
        most: usize,
        seconds: fn() -> u32,
        stack_top: unsafe fn(SlotRef<T>) -> usize,
    ) {
        let touched = slot.touched.after_use(slot.region().layout().stack().1);
        self.discard_beyond(most.saturating_sub(touched), stack_top);
        self.put_idle(slot);
        if most != usize::MAX && self.age.has_passed(seconds) {
            self.discard_beyond(0, stack_top);
        }
    }

    /// The end of a thread: notes what it left in its slot's stack, if that is to be known. `stack_top` is
    /// where its frames began.
    pub(crate) fn measure(&self, slot: SlotRef<T>, stack_top: usize) {
        if !self.measures.take() {
            return;
        }
        if let Some(faults) = task::page_faults() {
            // What the spawner wrote lies above the frames that are left, and is not among the faults.
            let depth = stack_top.saturating_sub(arch::stack_pointer() as usize);
            let grown = faults.saturating_mul(memory::page_size());
            let grown = grown.saturating_add(depth.saturating_sub(SHALLOW));
            slot.touched
                .add_measured(grown, slot.region().layout().stack().1);
        }
    }

    /// Where idle stacks that were not discarded come to more than `most` bytes, discards what threads
    /// left in them, but for [`SHALLOW`] bytes below the address that `stack_top` returns, and what lies
    /// above it; unless another caller does so already.
    pub(crate) fn discard_beyond(&self, most: usize, stack_top: unsafe fn(SlotRef<T>) -> usize) {
        if self.undiscarded.load(Ordering::Relaxed) > most
            && !self.discarding.swap(true, Ordering::Acquire)
        {
            let guard = DiscardGuard(&self.discarding);
            self.discard_idle(stack_top);
            drop(guard);
        }
    }

    fn discard_idle(&self, stack_top: unsafe fn(SlotRef<T>) -> usize) {
        let leaving = FreeList::new();
        for list in self.used(&self.idle) {
            while let Some(slot) = list.pop(&self.arena) {
                if !slot.has_exited() {
                    leaving.push(slot);
                    continue;
                }
                let (region, touched) = (slot.region(), slot.touched.bytes());
                if touched > SHALLOW {
                    // SAFETY: no thread runs on the slot, which is ours alone by SLOT-1 and was on a list
                    // of slots with TCBs; below the top of its frames it holds nothing.
                    unsafe { region.discard_stack_below(stack_top(slot).saturating_sub(SHALLOW)) };
                    slot.touched.set(0);
                    self.measures.begin();
                }
                self.undiscarded.fetch_sub(touched, Ordering::Relaxed);
                self.list_for(&self.discarded, region.layout()).push(slot);
                self.has_discarded.store(true, Ordering::Relaxed);
            }
        }
        while let Some(slot) = leaving.pop(&self.arena) {
            self.list_for(&self.idle, slot.region().layout()).push(slot);
        }
    }
}

/// Lets the next caller discard, where this one panicked, too.
struct DiscardGuard<'a>(&'a AtomicBool);

impl Drop for DiscardGuard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
