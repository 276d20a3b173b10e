//! Guards: ranges that fault when touched.
//!
//! Since Linux 6.13 `madvise(MADV_GUARD_INSTALL)` marks pages without splitting the mapping, so a
//! thread costs no map entry of its own (mm/madvise.c). Elsewhere `mprotect(PROT_NONE)` does it,
//! at two map entries a guard. Whether the kernel has the first is found out by effect: an
//! emulator may answer 0 and install nothing (qemu-user 7.2 does).
#![allow(unsafe_code, reason = "changes the protection of memory it is given")]

use core::sync::atomic::{AtomicU8, Ordering};

use crate::sys::{Errno, memory};

/// What is known of lightweight guards here.
///
/// | value | meaning |
/// |---|---|
/// | `UNKNOWN` | not probed yet |
/// | `MADVISE` | installed once, and the kernel itself could not read the guarded byte |
/// | `MPROTECT` | refused or pretended: use `mprotect` |
///
/// Relaxed: every thread that asks finds the same answer.
static METHOD: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const MADVISE: u8 = 1;
const MPROTECT: u8 = 2;

/// Whether stacks must be advised against huge pages; `None` before the first guard. A kernel with
/// lightweight guards makes none in what was mapped by `MAP_STACK`, as Linux since 6.7
/// (`calc_vm_flag_bits` of include/linux/mman.h).
#[cfg(feature = "hosted")]
pub(super) fn may_have_huge_pages() -> Option<bool> {
    match METHOD.load(Ordering::Relaxed) {
        UNKNOWN => None,
        method => Some(method != MADVISE),
    }
}

/// A program without a libc, which is to be small, does not ask.
#[cfg(not(feature = "hosted"))]
pub(super) fn may_have_huge_pages() -> Option<bool> {
    Some(true)
}

/// The longest range that is guarded by marking its pages: marks take 1/512 of it in page tables,
/// and time. Longer ones are worth their map entries.
const MADVISE_MAX_LEN: usize = 1 << 20;

/// Makes `[address, address + len)` fault on any touch. Whole pages; `len` may be 0.
///
/// # Errors
/// ENOMEM: no page table could be had, or splitting the mapping would exceed `vm.max_map_count` (only
/// without lightweight guards).
///
/// # Safety
/// The range must be mapped, private, anonymous and the caller's, and hold nothing of value.
pub(crate) unsafe fn install(address: *mut u8, len: usize) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    let method = METHOD.load(Ordering::Relaxed);
    if method != MPROTECT && len <= MADVISE_MAX_LEN {
        // SAFETY: the caller gives the range up.
        let installed = unsafe { memory::madvise(address, len, memory::MADV_GUARD_INSTALL) };
        match installed {
            // Want of memory says nothing about the kernel, and passes.
            Err(errno @ (Errno::ENOMEM | Errno::EAGAIN)) => return Err(errno),
            Ok(()) if method == MADVISE => return Ok(()),
            // The first guard of the process, whatever slot it is of.
            Ok(()) if matches!(memory::kernel_can_read(address), Ok(false)) => {
                METHOD.store(MADVISE, Ordering::Relaxed);
                return Ok(());
            }
            // EINVAL: locked memory (mlockall(MCL_FUTURE)) takes no lightweight guard.
            Err(_) if method == MADVISE => {}
            Ok(()) | Err(_) => METHOD.store(MPROTECT, Ordering::Relaxed),
        }
    }
    // SAFETY: as above.
    unsafe { memory::mprotect(address, len, libc::PROT_NONE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_cannot_read_a_guard_and_can_read_its_neighbours() {
        let page = memory::page_size();
        let range = memory::map(3 * page).unwrap().as_ptr();
        // SAFETY: the range is this test's; offsets stay inside it.
        unsafe {
            install(range.add(page), page).unwrap();
            assert!(memory::kernel_can_read(range).unwrap());
            assert!(!memory::kernel_can_read(range.add(page)).unwrap());
            assert!(memory::kernel_can_read(range.add(2 * page)).unwrap());
            memory::unmap(range, 3 * page).unwrap();
        }
    }

    /// What is read are the bytes of a signal set.
    #[test]
    fn asking_what_can_be_read_changes_no_mask() {
        let mask = crate::sys::signal::current_mask();
        assert!(memory::kernel_can_read([0xff; 8].as_ptr()).unwrap());
        assert_eq!(crate::sys::signal::current_mask(), mask);
        assert!(!memory::kernel_can_read(core::ptr::without_provenance(8)).unwrap());
    }
}
