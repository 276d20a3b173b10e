//! libc's own thread-locals, as far as a program can see them.
//!
//! libc's block is not written anew for the next thread: its allocator's cache stays warm. What a
//! program can ask for is put back by public functions, to what a new pthread finds:
//!
//! | state | put back by |
//! |---|---|
//! | `errno`, `h_errno` | 0 |
//! | cancellation | enabled, deferred |
//! | `dlerror` | called until it returns null |
//! | `_res`, the resolver's | closed, if it was opened, and zero (glibc; musl has none) |
//! | locale | the global one, at the next start ([`super::tls_reset::use_global_locale`]) |
//!
//! Left are buffers of which only their last caller knows the address (`strerror`, `strsignal`), and
//! in glibc the variables of Sun RPC, with which no program has been linked since 2.32.
#![allow(unsafe_code, reason = "calls libc")]

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::ptr;

use super::{pthread, symbols};

/// The beginning of glibc's `struct __res_state` (bits/types/res_state.h), whose layout programs
/// are compiled with.
#[repr(C)]
struct ResolverState {
    retrans: c_int,
    retry: c_int,
    options: c_ulong,
    nscount: c_int,
}

/// Bytes of all of it, on x86-64 and AArch64.
const RESOLVER_STATE_LEN: usize = 568;

/// Functions that a libc may lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    dlerror: Option<unsafe extern "C" fn() -> *const c_char>,
    h_errno_location: Option<unsafe extern "C" fn() -> *mut c_int>,
    /// `__res_state` and `__res_nclose`; only where the state is the thread's own.
    resolver: Option<(
        unsafe extern "C" fn() -> *mut c_void,
        unsafe extern "C" fn(*mut c_void),
    )>,
}

impl Functions {
    pub(super) fn find(is_glibc: bool) -> Self {
        // SAFETY: the types of dlerror(3), and of what <netdb.h> and <resolv.h> call by macros.
        unsafe {
            let state = symbols::function(c"__res_state");
            let close = symbols::function(c"__res_nclose");
            Self {
                dlerror: symbols::function(c"dlerror"),
                h_errno_location: symbols::function(c"__h_errno_location"),
                resolver: state.zip(close).filter(|_| is_glibc),
            }
        }
    }
}

/// Puts back what the calling thread's code may have changed.
///
/// # Safety
/// No other code of the program runs on this thread any more.
pub(super) unsafe fn reset(functions: Option<&Functions>) {
    // SAFETY: public functions on the calling thread.
    unsafe {
        pthread::pthread_setcancelstate(pthread::CANCEL_ENABLE, ptr::null_mut());
        pthread::pthread_setcanceltype(pthread::CANCEL_DEFERRED, ptr::null_mut());
    }
    if let Some(functions) = functions {
        if let Some(dlerror) = functions.dlerror {
            // The first call may return an error, the second frees its text.
            for _ in 0..2 {
                // SAFETY: a public function; the text is not looked at.
                if unsafe { dlerror() }.is_null() {
                    break;
                }
            }
        }
        if let Some((state, close)) = functions.resolver {
            // SAFETY: the state is the calling thread's.
            unsafe { reset_resolver(state(), close) };
        }
        if let Some(location) = functions.h_errno_location {
            // SAFETY: the calling thread's word.
            unsafe { *location() = 0 };
        }
    }
    // Last, for the others may set it.
    // SAFETY: the calling thread's word.
    unsafe { *libc::__errno_location() = 0 };
}

/// Makes the resolver's state that of a new thread without closing what it opened.
///
/// # Safety
/// As [`reset`].
pub(super) unsafe fn forget_resolver(functions: Option<&Functions>) {
    if let Some((state, _)) = functions.and_then(|functions| functions.resolver) {
        // SAFETY: the calling thread's state, which no other code uses.
        unsafe { ptr::write_bytes(state().cast::<u8>(), 0, RESOLVER_STATE_LEN) };
    }
}

/// # Safety
/// `state` is the calling thread's, and `close` is `__res_nclose`.
unsafe fn reset_resolver(state: *mut c_void, close: unsafe extern "C" fn(*mut c_void)) {
    let head = state.cast::<ResolverState>();
    // SAFETY: as the contract says.
    unsafe {
        let (retrans, retry) = ((*head).retrans, (*head).retry);
        let (options, servers) = ((*head).options, (*head).nscount);
        if (retrans, retry, options, servers) == (0, 0, 0, 0) {
            return;
        }
        // Without servers it was never opened, and the zero in it is no descriptor of its own.
        if servers != 0 {
            close(state);
        }
        ptr::write_bytes(state.cast::<u8>(), 0, RESOLVER_STATE_LEN);
    }
}
