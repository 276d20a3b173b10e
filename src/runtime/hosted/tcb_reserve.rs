//! How much of a slot's stack a thread control block takes.
#![allow(unsafe_code, reason = "asks libc")]

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::tcb::INLINE_PACKET_MAX;
use super::{modules, symbols, tls_snapshot};

/// Bytes of TCB and static TLS that the space for the donor's frames holds: more than a
/// program with few thread-locals has in any libc known.
const USUAL_STATIC_TLS: usize = 8 * 1024;

/// Bytes of the slot's stack that the TCB takes, libc's minimum, and 8 KiB for the first
/// frames and the donor's. The minimum that sysconf(3) returns does not count static TLS.
pub(super) fn tcb_reserve() -> usize {
    // Relaxed: every thread finds the same value.
    static TCB_RESERVE: AtomicUsize = AtomicUsize::new(0);
    match TCB_RESERVE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: a pure look-up.
            let minimum = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
            let minimum = usize::try_from(minimum).unwrap_or(0).max(16 * 1024);
            let more_tls = static_tls_size().saturating_sub(USUAL_STATIC_TLS);
            let tcb_reserve =
                minimum + 8 * 1024 + more_tls + INLINE_PACKET_MAX + tls_snapshot::storage_size();
            TCB_RESERVE.store(tcb_reserve, Ordering::Relaxed);
            tcb_reserve
        }
        tcb_reserve => tcb_reserve,
    }
}

/// Bytes that libc takes from each thread's memory for TCB and static TLS, or more: glibc says
/// as std asks it (`__pthread_get_minstack`), which includes the surplus that it keeps for libraries
/// loaded later. Elsewhere, what the modules that are loaded now ask for.
fn static_tls_size() -> usize {
    // SAFETY: the type of `__pthread_get_minstack`.
    let minimum = unsafe {
        symbols::function::<unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize>(
            c"__pthread_get_minstack",
        )
    };
    let Some(minimum) = minimum else {
        return modules::size_of_all();
    };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the functions fill or read what they are given.
    let minimum_stack = unsafe {
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return modules::size_of_all();
        }
        let minimum_stack = minimum(attributes.as_ptr());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        minimum_stack
    };
    // It adds the smallest stack and a page.
    minimum_stack.saturating_sub(libc::PTHREAD_STACK_MIN)
}
