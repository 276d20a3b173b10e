//! All slots of the process, and the lists of idle ones.
#![allow(unsafe_code, reason = "uses slots by SLOT-1 to SLOT-4 of `slot`")]

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::idle_age::IdleAge;
use super::layout::{self, GUARD_CLASSES, Layout, SIZE_CLASSES};
use super::region;
use super::slot::{Slot, SlotRef, spin_until_exited};
use super::touched::Measures;
use crate::arena::{Arena, FIRST_CHUNK, FreeList, Zeroable};
use crate::sys::{Errno, memory};

/// Whether slots for these sizes have this layout.
pub(crate) fn is_layout_for(layout: &Layout, stack: usize, guard: usize) -> bool {
    layout_for(stack, guard).is_some_and(|wanted| wanted == *layout)
}

/// What [`Cache::acquire`] found.
pub(crate) enum Acquired<T: Zeroable> {
    /// A slot that already has a TCB.
    WithTcb(SlotRef<T>),
    /// A slot with guards and nothing else.
    Uninit(SlotRef<T>),
}

/// All slots of the process and the lists of idle ones.
pub(crate) struct Cache<T> {
    pub(super) arena: Arena<Slot<T>, FIRST_CHUNK>,
    /// Idle slots with a TCB, by the classes of stack and guard: all on a list are alike.
    pub(super) idle: [[FreeList; GUARD_CLASSES]; SIZE_CLASSES],
    /// The same, of those whose stacks were discarded since their last thread.
    pub(super) discarded: [[FreeList; GUARD_CLASSES]; SIZE_CLASSES],
    /// Size classes of which a slot was idle ever, a bit each, where idle memory is bounded: a look at all
    /// of those lists takes as long as half a thread. Relaxed: the push of the first slot of a class comes after its bit, and a caller
    /// that does not see the bit came before the push.
    used_classes: [AtomicU64; SIZE_CLASSES.div_ceil(64)],
    /// Bytes that threads may have left in the stacks on `idle`, as the puts and takes that are under way
    /// have it. Relaxed: a policy hangs on it, no memory.
    pub(super) undiscarded: AtomicUsize,
    #[cfg_attr(
        not(feature = "hosted"),
        allow(dead_code, reason = "only with a libc is idle memory bounded here")
    )]
    pub(super) measures: Measures,
    #[cfg_attr(
        not(feature = "hosted"),
        allow(dead_code, reason = "only with a libc is idle memory bounded here")
    )]
    pub(super) age: IdleAge,
    /// Whether there may be slots on `discarded`: a look there would cost the first spawn of a process a
    /// page fault. Relaxed: a taker that misses one takes another.
    pub(super) has_discarded: AtomicBool,
    /// Whether a caller of `put_used` (`idle_memory`) discards: others leave it that.
    pub(super) discarding: AtomicBool,
    /// Mapped slots of the default guard's size, without guards and TCB.
    uninit: [FreeList; SIZE_CLASSES],
    /// Control words without memory.
    unmapped: FreeList,
    /// How many forks were noticed on the way from the first process to this one. Relaxed: changed
    /// by a child that has one thread.
    fork_generation: AtomicU32,
}

/// What a small thread's frames take: the next one finds it there.
pub(crate) const SHALLOW: usize = 8 * 1024;

/// How many slots that their threads are still leaving a taker pops before it spins for the first.
const MAX_SKIPPED: usize = 4;

impl<T: Zeroable> Cache<T> {
    pub(crate) const fn new() -> Self {
        Self {
            arena: Arena::new(),
            idle: [const { [const { FreeList::new() }; GUARD_CLASSES] }; SIZE_CLASSES],
            discarded: [const { [const { FreeList::new() }; GUARD_CLASSES] }; SIZE_CLASSES],
            used_classes: [const { AtomicU64::new(0) }; SIZE_CLASSES.div_ceil(64)],
            undiscarded: AtomicUsize::new(0),
            measures: Measures::new(),
            age: IdleAge::new(),
            has_discarded: AtomicBool::new(false),
            discarding: AtomicBool::new(false),
            uninit: [const { FreeList::new() }; SIZE_CLASSES],
            unmapped: FreeList::new(),
            fork_generation: AtomicU32::new(0),
        }
    }

    /// Which process of a line of forks this is.
    pub(crate) fn fork_generation(&self) -> u32 {
        self.fork_generation.load(Ordering::Relaxed)
    }

    /// Whether the slot belongs to this process (SLOT-4). If not, no thread that this process made ever
    /// ran on it; the one that came with the fork may run there still.
    pub(crate) fn owns(&self, slot: SlotRef<T>) -> bool {
        slot.fork_generation.load(Ordering::Relaxed) == self.fork_generation()
    }

    /// A slot with at least `stack` bytes for TCB and stack and at least `guard` bytes of guard.
    ///
    /// # Errors
    /// EINVAL: no address space could hold it. ENOMEM: no memory, map entry or address space.
    pub(crate) fn acquire(&'static self, stack: usize, guard: usize) -> Result<Acquired<T>, Errno> {
        let wanted = layout_for(stack, guard).ok_or(Errno::EINVAL)?;
        if let Some(slot) = self.acquire_idle(&wanted) {
            return Ok(Acquired::WithTcb(slot));
        }
        self.acquire_uninit(wanted).map(Acquired::Uninit)
    }

    /// As [`Cache::acquire`], but never an idle one.
    ///
    /// # Errors
    /// As [`Cache::acquire`].
    pub(crate) fn acquire_fresh(
        &'static self,
        stack: usize,
        guard: usize,
    ) -> Result<Acquired<T>, Errno> {
        let wanted = layout_for(stack, guard).ok_or(Errno::EINVAL)?;
        self.acquire_uninit(wanted).map(Acquired::Uninit)
    }

    /// Writes to the pages that the first spawn of this size reads and then writes: a page that is read
    /// first costs it two faults. Changes nothing.
    #[cfg(feature = "hosted")]
    pub(crate) fn touch(&self, stack: usize, guard: usize) {
        // A change from 0 to 0 writes, or fails where the page was written already.
        let _ = self
            .undiscarded
            .compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
        if let Some(wanted) = layout_for(stack, guard) {
            self.list_for(&self.idle, &wanted).touch();
            self.uninit[layout::class_index(wanted.stack().1)].touch();
        }
    }

    fn acquire_idle(&self, wanted: &Layout) -> Option<SlotRef<T>> {
        let found = self.take_from(self.list_for(&self.idle, wanted), wanted);
        if !T::BOUNDS_IDLE_MEMORY {
            return found;
        }
        if let Some(slot) = found {
            self.undiscarded
                .fetch_sub(slot.touched.bytes(), Ordering::Relaxed);
            return found;
        }
        if !self.has_discarded.load(Ordering::Relaxed) {
            return None;
        }
        self.take_from(self.list_for(&self.discarded, wanted), wanted)
    }

    fn take_from(&self, list: &FreeList, wanted: &Layout) -> Option<SlotRef<T>> {
        let mut skipped = [const { None::<SlotRef<T>> }; MAX_SKIPPED];
        let mut count = 0;
        let mut found = None;
        while count < MAX_SKIPPED {
            let Some(slot) = list.pop(&self.arena) else {
                break;
            };
            debug_assert!(slot.region().layout() == wanted);
            if slot.has_exited() {
                found = Some(slot);
                break;
            }
            skipped[count] = Some(slot);
            count += 1;
        }
        // A thread whose slot is on the list is done, but for its observer and its exit: it is mostly
        // sooner gone than another slot is mapped and given a TCB. Where it is not, the spin ends.
        if let (None, Some(slot)) = (found, skipped[0]) {
            found = spin_until_exited(&slot.clear_tid).then_some(slot);
        }
        for slot in skipped.into_iter().flatten().rev() {
            if !found.is_some_and(|found| ptr::eq(found, slot)) {
                list.push(slot);
            }
        }
        found
    }

    fn acquire_uninit(&'static self, wanted: Layout) -> Result<SlotRef<T>, Errno> {
        let uninit = &self.uninit[layout::class_index(wanted.stack().1)];
        let plain = wanted.guard().1 == default_guard();
        let reused = if plain { uninit.pop(&self.arena) } else { None };
        let slot = match reused {
            Some(slot) => slot,
            None => {
                // A quarter of what there is already, so that a process of few threads maps
                // little and one of many maps seldom.
                let count = if plain {
                    (self.arena.len() / 4).clamp(1, 64)
                } else {
                    1
                };
                let mut first = None;
                region::map(wanted, count, |region| {
                    let slot = match self.unmapped.pop(&self.arena) {
                        Some(slot) => slot,
                        None => self.arena.alloc()?,
                    };
                    // SAFETY: SLOT-1: the entry is on no list and was not offered yet.
                    unsafe { *slot.region.get() = region };
                    slot.fork_generation
                        .store(self.fork_generation(), Ordering::Relaxed);
                    if first.is_none() {
                        first = Some(slot);
                    } else {
                        uninit.push(slot);
                    }
                    Ok(())
                })?;
                first.ok_or(Errno::ENOMEM)?
            }
        };
        // SAFETY: an uninitialised slot is this caller's alone by SLOT-1 and its memory holds
        // nothing.
        if let Err(errno) = unsafe { slot.region().install_guards() } {
            self.put_uninit(slot);
            return Err(errno);
        }
        Ok(slot)
    }

    /// Puts a slot with a TCB on the list of idle ones. Its last thread may still be leaving (SLOT-3).
    ///
    /// Another process's slot stays as it is (SLOT-4): the address space that it takes here is a copy
    /// that no thread touches.
    pub(crate) fn put_idle(&self, slot: SlotRef<T>) {
        if !self.owns(slot) {
            return;
        }
        slot.current_record
            .store(ptr::null_mut(), Ordering::Relaxed);
        let region = slot.region();
        let layout = region.layout();
        if T::BOUNDS_IDLE_MEMORY {
            let touched = slot.touched.after_use(layout.stack().1);
            slot.touched.set(touched);
            self.undiscarded.fetch_add(touched, Ordering::Relaxed);
            let class = layout::class_index(layout.stack().1);
            let (word, bit) = (&self.used_classes[class / 64], 1 << (class % 64));
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        self.list_for(&self.idle, layout).push(slot);
    }

    /// Gives idle slots with a TCB back that were collected on a list of the caller's.
    pub(crate) fn put_all_idle(&self, held: &FreeList) {
        while let Some(slot) = held.pop(&self.arena) {
            self.put_idle(slot);
        }
    }

    /// Takes the TCB off every idle slot by `destroy_tcb` and unmaps its memory, and that of slots
    /// without TCB; whether any was unmapped. A slot whose TCB stays keeps its memory, as
    /// does one that a thread is still leaving.
    pub(crate) fn trim(&self, destroy_tcb: unsafe fn(SlotRef<T>) -> bool) -> bool {
        let kept = FreeList::new();
        let mut any = self.retire_all(&self.idle, destroy_tcb, &kept);
        if T::BOUNDS_IDLE_MEMORY && self.has_discarded.load(Ordering::Relaxed) {
            any |= self.retire_all(&self.discarded, destroy_tcb, &kept);
        }
        self.put_all_idle(&kept);
        for list in &self.uninit {
            let kept = FreeList::new();
            while let Some(slot) = list.pop(&self.arena) {
                if self.unmap(slot) {
                    any = true;
                } else {
                    kept.push(slot);
                }
            }
            while let Some(slot) = kept.pop(&self.arena) {
                list.push(slot);
            }
        }
        any
    }

    /// The part of [`Cache::trim`] for slots with TCBs; those that keep theirs come to
    /// `kept`.
    fn retire_all(
        &self,
        lists: &[[FreeList; GUARD_CLASSES]; SIZE_CLASSES],
        destroy_tcb: unsafe fn(SlotRef<T>) -> bool,
        kept: &FreeList,
    ) -> bool {
        let mut any = false;
        for list in self.used(lists) {
            while let Some(slot) = list.pop(&self.arena) {
                if T::BOUNDS_IDLE_MEMORY && ptr::eq(lists, &self.idle) {
                    self.undiscarded
                        .fetch_sub(slot.touched.bytes(), Ordering::Relaxed);
                }
                // SAFETY: the slot is ours alone by SLOT-1, vacant by SLOT-3, and was on a list of
                // slots with TCBs.
                if !slot.has_exited() || !unsafe { destroy_tcb(slot) } {
                    kept.push(slot);
                } else if self.unmap(slot) {
                    any = true;
                } else {
                    // SAFETY: nothing is on the slot any more.
                    unsafe { slot.region().discard() };
                    self.put_uninit(slot);
                }
            }
        }
        any
    }

    /// Unmaps a slot's memory and keeps its control words; false if the kernel cannot, for want of
    /// map entries.
    ///
    /// The slot is the caller's alone, vacant, and has no TCB.
    fn unmap(&self, slot: SlotRef<T>) -> bool {
        slot.current_record
            .store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: no thread runs on the slot, and by SLOT-1 no other caller has it.
        let unmapped = unsafe { slot.region().unmap() };
        if unmapped {
            self.unmapped.push(slot);
        }
        unmapped
    }

    /// Gives a slot back that got no TCB; another process's as [`Cache::put_idle`] does.
    pub(crate) fn put_uninit(&self, slot: SlotRef<T>) {
        if !self.owns(slot) {
            return;
        }
        slot.current_record
            .store(ptr::null_mut(), Ordering::Relaxed);
        let region = slot.region();
        if region.layout().guard().1 == default_guard() {
            self.uninit[layout::class_index(region.layout().stack().1)].push(slot);
        } else {
            // A mapping of its own needs no map entry more. Where a filter refuses munmap(2) all the
            // same, the slot stays on no list, and its memory mapped.
            self.unmap(slot);
        }
    }

    /// Those of `lists` on which a slot may be.
    pub(super) fn used<'a>(
        &'a self,
        lists: &'a [[FreeList; GUARD_CLASSES]; SIZE_CLASSES],
    ) -> impl Iterator<Item = &'a FreeList> {
        let is_used = |class: usize| {
            !T::BOUNDS_IDLE_MEMORY
                || self.used_classes[class / 64].load(Ordering::Relaxed) >> (class % 64) & 1 == 1
        };
        let used = lists.iter().enumerate();
        used.filter(move |(class, _)| is_used(*class))
            .flat_map(|(_, lists)| lists)
    }

    pub(super) fn list_for<'a>(
        &self,
        lists: &'a [[FreeList; GUARD_CLASSES]; SIZE_CLASSES],
        layout: &Layout,
    ) -> &'a FreeList {
        let pages = layout.guard().1 / memory::page_size();
        &lists[layout::class_index(layout.stack().1)][layout::guard_index(pages)]
    }

    /// Every slot there ever was.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SlotRef<T>> + '_ {
        self.arena.iter()
    }

    /// Makes this the next process of a line of forks, in a forked child, and forgets all slots that
    /// are on lists, without TCB or memory too: they are the parent's (SLOT-4), and no list of the
    /// child's libc has their TCBs. The address space they take there is a copy that no thread
    /// touches.
    pub(crate) fn clear_after_fork(&self) {
        self.fork_generation.fetch_add(1, Ordering::Relaxed);
        self.undiscarded.store(0, Ordering::Relaxed);
        self.discarding.store(false, Ordering::Relaxed);
        self.idle
            .iter()
            .chain(&self.discarded)
            .flatten()
            .chain(&self.uninit)
            .chain([&self.unmapped])
            // An untouched page of lists stays so.
            .filter(|list| !list.is_empty())
            .for_each(FreeList::clear);
    }

    /// In a forked child: the slot on which its only thread runs is this process's (SLOT-4).
    pub(crate) fn adopt(&self, slot: SlotRef<T>) {
        slot.fork_generation
            .store(self.fork_generation(), Ordering::Relaxed);
    }
}

/// The layout of a slot for these sizes; `None` if no address space could hold it.
fn layout_for(stack: usize, guard: usize) -> Option<Layout> {
    let class = layout::size_class(stack)?;
    let page = memory::page_size();
    let guard = layout::guard_class(guard, page)?;
    Layout::new(class, guard, signal_stack_size(), page)
}

/// Bytes that [`Cache::acquire`] maps for a slot of these sizes.
pub(crate) fn mapping_size(stack: usize, guard: usize) -> Option<usize> {
    Some(layout_for(stack, guard)?.total())
}

/// The default guard: one page, as pthread attributes have it.
pub(crate) fn default_guard() -> usize {
    memory::page_size()
}

/// Bytes of alternate signal stack: what the kernel needs for a frame on this processor
/// (`AT_MINSIGSTKSZ`: AVX-512 and AMX state count) and 12 KiB for the handler.
#[cfg(feature = "hosted")]
fn signal_stack_size() -> usize {
    use core::sync::atomic::AtomicUsize;
    // Relaxed: every thread finds the same value.
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let minimum = crate::sys::limits::getauxval(libc::AT_MINSIGSTKSZ).unwrap_or(4096);
            let size = (minimum + 12 * 1024).next_multiple_of(memory::page_size());
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// None in a program without libc: no handler reports overflows there.
#[cfg(not(feature = "hosted"))]
const fn signal_stack_size() -> usize {
    0
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
