//! Memory for slots, many to a mapping.
#![allow(unsafe_code, reason = "cuts mappings of its own into regions")]

use super::guard;
use super::layout::Layout;
use crate::sys::{Errno, memory};

/// The memory of one slot.
///
/// Invariants of a region that [`map`] made:
/// * REGION-1: `[base, base + layout.total())` is mapped, private, anonymous, and no other region's.
/// * REGION-2: It stays mapped until its holder gives it back with `unmap`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    base: *mut u8,
    layout: Layout,
}

impl Region {
    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Address and length of the stack with the TCB at its top.
    pub(crate) fn stack(&self) -> (*mut u8, usize) {
        self.part(self.layout.stack())
    }

    /// Address and length of the guard below the stack.
    pub(crate) fn guard(&self) -> (*mut u8, usize) {
        self.part(self.layout.guard())
    }

    /// Address and length of the alternate signal stack.
    #[cfg(feature = "hosted")]
    pub(crate) fn signal_stack(&self) -> (*mut u8, usize) {
        self.part(self.layout.signal_stack())
    }

    fn part(&self, (offset, len): (usize, usize)) -> (*mut u8, usize) {
        (self.base.wrapping_add(offset), len)
    }

    /// Installs the lower guard and the guard.
    ///
    /// # Errors
    /// ENOMEM at `vm.max_map_count`, where guards cost map entries.
    ///
    /// # Safety
    /// The region must be the caller's alone and hold nothing.
    pub(crate) unsafe fn install_guards(&self) -> Result<(), Errno> {
        let (lower_guard, lower_guard_len) = self.part(self.layout.lower_guard());
        let (guard, guard_len) = self.guard();
        let before = guard::may_have_huge_pages();
        // SAFETY: both ranges are inside the region by REGION-1, and whole pages by LAYOUT-1.
        unsafe {
            guard::install(lower_guard, lower_guard_len)?;
            guard::install(guard, guard_len)?;
        }
        if before.is_none() && guard::may_have_huge_pages() != Some(false) {
            // SAFETY: by REGION-1 the range is ours.
            unsafe { refuse_huge_pages(self.base, self.layout.total()) };
        }
        Ok(())
    }

    /// Gives the region's pages back to the system; its next touch finds zeroes. Guards stay.
    ///
    /// # Safety
    /// The region must hold nothing of value.
    pub(crate) unsafe fn discard(&self) {
        // EINVAL: locked memory stays as it is.
        // SAFETY: by REGION-1 the range is ours, and the caller gives its contents up.
        let _ = unsafe { memory::madvise(self.base, self.layout.total(), libc::MADV_DONTNEED) };
    }

    /// Gives the stack's whole pages below `end` back to the system.
    ///
    /// # Safety
    /// That part must hold nothing of value.
    pub(crate) unsafe fn discard_stack_below(&self, end: usize) {
        let (base, len) = self.stack();
        let below = end.saturating_sub(base as usize).min(len);
        let len = below & !(memory::page_size() - 1);
        if len > 0 {
            // EINVAL: locked memory stays as it is.
            // SAFETY: by REGION-1 the range is ours, and the caller gives its contents up.
            let _ = unsafe { memory::madvise(base, len, libc::MADV_DONTNEED) };
        }
    }

    /// Gives the memory back; false, and nothing changed, where that would divide a mapping and no
    /// map entry is left.
    ///
    /// # Safety
    /// The region is not in use any more, by the kernel for an ending thread's stack either; unless
    /// this returns false.
    pub(crate) unsafe fn unmap(self) -> bool {
        // SAFETY: by REGION-1 the range is a mapping of ours, of whole pages by LAYOUT-1, and the
        // caller ends REGION-2.
        unsafe { memory::unmap(self.base, self.layout.total()) }.is_ok()
    }
}

/// Huge pages would make 2 MiB resident at the first touch of a stack. EINVAL: a kernel without
/// transparent huge pages, where nothing needs to be done.
///
/// # Safety
/// The range is the caller's. The advice changes no contents.
unsafe fn refuse_huge_pages(base: *mut u8, len: usize) {
    // SAFETY: as the caller vouches.
    let _ = unsafe { memory::madvise(base, len, libc::MADV_NOHUGEPAGE) };
}

/// Maps `count` regions side by side and hands each to `on_region`; at least one, or the error.
///
/// Side by side in one mapping they cost one map entry together. Where the address space or a
/// limit does not hold them all, one alone is tried.
///
/// # Errors
/// ENOMEM.
pub(crate) fn map(
    layout: Layout,
    count: usize,
    mut on_region: impl FnMut(Region) -> Result<(), Errno>,
) -> Result<(), Errno> {
    // LAYOUT-2: one region is never too large for `map`.
    let total = layout.total();
    let several = total
        .checked_mul(count)
        .filter(|len| isize::try_from(*len).is_ok());
    let (base, count) = match several.map(memory::map) {
        Some(Ok(base)) => (base, count),
        _ => (memory::map(total)?, 1),
    };
    let base = base.as_ptr();
    // What is not known yet is known when the guards of the one region are there.
    if guard::may_have_huge_pages().unwrap_or(count > 1) {
        // SAFETY: the range was just mapped.
        unsafe { refuse_huge_pages(base, total * count) };
    }
    for index in 0..count {
        let region = Region {
            base: base.wrapping_add(index * total),
            layout,
        };
        if let Err(errno) = on_region(region) {
            // No caller has this region or those after it.
            // SAFETY: as just said.
            let _ = unsafe { memory::unmap(region.base, total * (count - index)) };
            return if index == 0 { Err(errno) } else { Ok(()) };
        }
    }
    Ok(())
}
