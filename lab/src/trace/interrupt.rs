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

/// | value | meaning |
/// |---|---|
/// | -1 | no command is traced |
/// | n | the pidfd of the command |
///
/// Relaxed: written before the handler is installed, by the thread that it will run on.
static COMMAND: AtomicI32 = AtomicI32::new(-1);

/// The signals that end programs.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// Leaves the signals that end programs to the traced command, a child that has not been waited for:
/// those of the terminal reach it anyway, those that a process sends to the lab are passed on.
///
/// Once the command itself has ended, such a signal makes the lab detach from what it left.
pub(super) fn leave_to_program(pid: i32) {
    extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel gives a valid structure with SA_SIGINFO.
        if unsafe { (*info).si_code } > 0 {
            return;
        }
        let (pidfd, none) = (COMMAND.load(Ordering::Relaxed), ptr::null::<u8>());
        // SAFETY: the address of this thread's errno is always valid; the call takes numbers and null.
        // What runs here may be about to read errno, so it is put back.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            if libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, none, 0) != 0 {
                REQUESTED.store(true, Ordering::Relaxed);
            }
            *errno = before;
        }
    }
    // SAFETY: numbers. The descriptor is close-on-exec, and open for as long as the lab runs.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    COMMAND.store(pidfd as i32, Ordering::Relaxed);
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = handler;
    install(handler as usize, libc::SA_SIGINFO);
}

/// Makes `handler`, which fits `flags`, what the signals that end programs do.
fn install(handler: usize, flags: i32) {
    for signal in ENDING {
        // SAFETY: both handlers of this file store to atomic words, make one system call, and leave
        // errno as it was or as no reader finds it. No SA_RESTART: waitid returns.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            libc::sigaction(signal, &action, ptr::null_mut());
        }
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
    // A changed errno is harmless: `waitid` was interrupted and sets its own, and nothing else here
    // reads it later.
    let handler: extern "C" fn(i32) = handler;
    install(handler as usize, 0);
}
