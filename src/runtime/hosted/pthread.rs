//! Functions of libc that the crate `libc` does not declare, and what they are called with.
#![allow(unsafe_code, reason = "calls libc")]

use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

use crate::sys::memory;

pub(super) const CANCEL_ENABLE: i32 = 0;
pub(super) const CANCEL_DISABLE: i32 = 1;
pub(super) const CANCEL_DEFERRED: i32 = 0;

unsafe extern "C" {
    pub(super) fn pthread_setcancelstate(state: i32, old: *mut i32) -> i32;
    pub(super) fn pthread_setcanceltype(kind: i32, old: *mut i32) -> i32;
}

/// Where libc's description of the calling thread starts.
pub(super) fn pthread_address() -> *const u8 {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() as *const u8 }
}

/// The end of what can be read from [`pthread_address`] on, in a thread whose stack these addresses are: that
/// of the stack or, if libc keeps the description elsewhere, of its first page. musl has a mapping of its own
/// for a control block with more than 2 KiB of thread-locals.
pub(super) fn description_end(stack: Range<usize>) -> usize {
    let description = pthread_address() as usize;
    if stack.contains(&description) {
        stack.end
    } else {
        (description + 1).next_multiple_of(memory::page_size())
    }
}

/// The tid of a thread that was neither joined nor detached; 0 if it has ended, `None` if this libc
/// does not say.
///
/// libc tells it in the number of the thread's clock (pthread_getcpuclockid(3)): no private word is
/// read, and libc's own code reads it, which ThreadSanitizer does not take for a race with the tool's
/// note that the thread's control block is being made.
///
/// Acquire: if the answer is 0, what the thread did is visible. The kernel orders its clearing of
/// libc's word as it does that of a slot's (SLOT-3).
///
/// # Safety
/// `thread` is a handle of such a thread.
pub(super) unsafe fn tid_of(thread: libc::pthread_t) -> Option<i32> {
    let mut clock = 0;
    // SAFETY: passed on.
    let returned = unsafe { libc::pthread_getcpuclockid(thread, &mut clock) };
    let tid = match returned {
        0 => tid_of_clock(clock)?,
        libc::ESRCH => 0,
        _ => return None,
    };
    if tid == 0 {
        fence(Ordering::Acquire);
    }
    Some(tid)
}

/// The tid in the number of a thread's clock.
///
/// The kernel's numbers are negative: the complement of the tid, then three bits, 6 for a thread's time
/// (include/linux/posix-timers_types.h, `CPUCLOCK_PERTHREAD_MASK` and `CPUCLOCK_SCHED`). Some versions of
/// glibc have their own, which they translate: the tid, then three bits, `CLOCK_THREAD_CPUTIME_ID`.
fn tid_of_clock(clock: libc::clockid_t) -> Option<i32> {
    match (clock < 0, clock & 7) {
        (true, 6) => Some(!(clock >> 3)),
        (false, libc::CLOCK_THREAD_CPUTIME_ID) => Some(clock >> 3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::tid_of_clock;

    #[test]
    fn a_clock_of_either_kind_has_the_tid() {
        for tid in [0, 1, 4_194_303] {
            assert_eq!(tid_of_clock((-tid - 1) * 8 + 6), Some(tid));
            assert_eq!(tid_of_clock(tid << 3 | 3), Some(tid));
        }
        // CLOCK_MONOTONIC, a process's clock, a descriptor's.
        for clock in [1, -8 * 5 + 2, -8 * 5 + 3] {
            assert_eq!(tid_of_clock(clock), None);
        }
    }
}
