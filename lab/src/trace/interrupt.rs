//! Signals to the lab while it traces.
#![allow(unsafe_code, reason = "signal handlers")]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::tracee;

/// | value | meaning |
/// |---|---|
/// | false | go on |
/// | true | a signal asked the lab to detach |
///
/// Relaxed: set by a handler on the thread that reads it.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// | value | meaning |
/// |---|---|
/// | 0 | no process is attached |
/// | n | the pid of the attached process |
///
/// Relaxed: written before the handler is installed, by the thread that it will run on.
static ATTACHED: AtomicI32 = AtomicI32::new(0);

/// Whether a signal asked the lab to detach.
pub(super) fn was_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Leaves SIGINT and SIGQUIT of the terminal to the traced program.
pub(super) fn leave_to_program() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: "ignore" is no function.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// From now on the signals that end programs make the lab detach from `pid`.
pub(super) fn detach_from(pid: i32) {
    extern "C" fn handler(_: i32) {
        REQUESTED.store(true, Ordering::Relaxed);
        // The lab may be about to sleep in waitid: this makes an event that wakes it.
        tracee::interrupt(ATTACHED.load(Ordering::Relaxed));
    }
    ATTACHED.store(pid, Ordering::Relaxed);
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler stores to an atomic word and makes one system call. A changed errno is
        // harmless: `waitid` was interrupted and sets its own, and nothing else here reads it later.
        // No SA_RESTART: waitid returns.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(i32) as usize;
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}
