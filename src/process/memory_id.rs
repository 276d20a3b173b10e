//! A number of the memory in which the caller runs: processes that share it have one number, a fork's copy
//! has another.
//!
//! | the number in the page | meaning | becomes |
//! |---|---|---|
//! | 0 | fresh: the page is new, or fork has emptied it | the number after the one that was copied, by the first to ask |
//! | other | the memory's | 0 in the copy that a fork makes |
#![allow(unsafe_code, reason = "maps a page that fork empties")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::sys::{memory, task};

/// Null until it is first asked for; `no_page` where there can be none. It does not change afterwards.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

const BITS: u64 = 0x3fff_ffff;

/// The number, of 30 bits, never 0. `copied` is one that a fork may have copied, from where only a process with
/// this memory's number overwrites it.
///
/// Without a page that fork empties (before Linux 4.14, or no memory) it is the process's id: a child that
/// shares memory counts as another memory there.
pub(super) fn get(copied: impl Fn() -> u64) -> u64 {
    let Some(number) = page() else {
        return u64::from(task::pid().unsigned_abs());
    };
    match number.load(Ordering::Acquire) {
        0 => {
            let next = match (copied() + 1) & BITS {
                0 => 1,
                next => next,
            };
            // It succeeds for one. As the page was 0 until then, what that one took for `copied` was what fork
            // had copied.
            match number.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => next,
                Err(other) => other,
            }
        }
        own => own,
    }
}

fn no_page() -> *mut AtomicU64 {
    ptr::without_provenance_mut(align_of::<AtomicU64>())
}

fn page() -> Option<&'static AtomicU64> {
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        page = first();
    }
    // SAFETY: a page that `first` published, which is never unmapped; zeroes are a valid atomic.
    (page != no_page()).then(|| unsafe { &*page })
}

/// Maps the page, or finds that there can be none; what is in force.
fn first() -> *mut AtomicU64 {
    let len = memory::page_size();
    let mapped = memory::map(len).ok().map(|page| page.as_ptr());
    let unmap = |page: *mut u8| {
        // SAFETY: mapped here, and no other thread saw it.
        let _ = unsafe { memory::unmap(page, len) };
    };
    let mapped = mapped.filter(|page| {
        // SAFETY: a fresh page of ours.
        let empties = unsafe { memory::madvise(*page, len, libc::MADV_WIPEONFORK) }.is_ok();
        if !empties {
            unmap(*page);
        }
        empties
    });
    let new = mapped.map_or(no_page(), <*mut u8>::cast);
    // Release publishes the page, Acquire sees another's.
    match PAGE.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => new,
        Err(other) => {
            if let Some(page) = mapped {
                unmap(page);
            }
            other
        }
    }
}
