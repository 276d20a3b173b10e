//! Guards: ranges that fault when touched.
//!
//! Since Linux 6.13 `madvise(MADV_GUARD_INSTALL)` marks pages without splitting the mapping, so a
//! thread costs no map entry of its own (mm/madvise.c). Elsewhere `mprotect(PROT_NONE)` does it,
//! at two map entries a guard. Whether the kernel has the first is found out by effect: an
//! emulator may answer 0 and install nothing (qemu-user 7.2 does).
#![allow(unsafe_code, reason = "changes the protection of memory it is given")]

use core::sync::atomic::{AtomicU8, Ordering};

use crate::sys::{Errno, file, memory};

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

/// The longest range that is guarded by marking its pages: marks take 1/512 of it in page tables,
/// and time. Longer ones are worth their map entries.
const MADVISE_MAX_LEN: usize = 1 << 20;

/// Makes `[address, address + len)` fault on any touch. Whole pages; `len` may be 0.
///
/// # Errors
/// ENOMEM: splitting the mapping would exceed `vm.max_map_count` (only without lightweight guards).
///
/// # Safety
/// The range must be mapped, private, anonymous and the caller's, and hold nothing of value.
pub(crate) unsafe fn install(address: *mut u8, len: usize) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    if method() == MADVISE && len <= MADVISE_MAX_LEN {
        // SAFETY: the caller gives the range up.
        match unsafe { memory::madvise(address, len, memory::MADV_GUARD_INSTALL) } {
            Ok(()) => return Ok(()),
            // EINVAL: locked memory (mlockall(MCL_FUTURE)) takes no lightweight guard.
            Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: as above.
    unsafe { memory::mprotect(address, len, libc::PROT_NONE) }
}

fn method() -> u8 {
    match METHOD.load(Ordering::Relaxed) {
        UNKNOWN => {
            let found = if probe_guard_install() {
                MADVISE
            } else {
                MPROTECT
            };
            METHOD.store(found, Ordering::Relaxed);
            found
        }
        known => known,
    }
}

/// Installs a guard on a page of its own and asks the kernel to read it.
fn probe_guard_install() -> bool {
    let page = memory::page_size();
    let Ok(probe) = memory::map(page) else {
        return false;
    };
    let probe = probe.as_ptr();
    // SAFETY: the page was just mapped and no other code has its address.
    let guarded = unsafe { memory::madvise(probe, page, memory::MADV_GUARD_INSTALL) }.is_ok()
        && matches!(file::kernel_can_read(probe), Ok(false));
    // SAFETY: as above.
    // Where the kernel refuses, the page stays.
    let _ = unsafe { memory::unmap(probe, page) };
    guarded
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
            assert!(file::kernel_can_read(range).unwrap());
            assert!(!file::kernel_can_read(range.add(page)).unwrap());
            assert!(file::kernel_can_read(range.add(2 * page)).unwrap());
            memory::unmap(range, 3 * page).unwrap();
        }
    }
}
