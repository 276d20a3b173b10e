//! Functions of libc that the crate `libc` does not declare, and what they are called with.
#![allow(unsafe_code, reason = "calls libc")]

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
