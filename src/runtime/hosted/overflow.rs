//! The report of a stack overflow: the thread's name and the word, then the end.
#![allow(unsafe_code, reason = "handles a signal")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::tcb::CACHE;
use crate::runtime::occupant::occupant;
use crate::sys::file;

/// What handled SIGSEGV and SIGBUS before us; null until installed. Never freed.
static PREVIOUS: [AtomicPtr<libc::sigaction>; 2] = [
    AtomicPtr::new(ptr::null_mut()),
    AtomicPtr::new(ptr::null_mut()),
];
const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Puts our handler before whatever is there (std's own, usually), once.
///
/// A handler that the program sets later replaces ours, and with it the report.
pub(super) fn install() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return;
    }
    for (index, signal) in SIGNALS.into_iter().enumerate() {
        let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks for the current action; the place is large enough.
        if unsafe { libc::sigaction(signal, ptr::null(), previous.as_mut_ptr()) } != 0 {
            continue;
        }
        // SAFETY: the call above filled it.
        let previous = unsafe { previous.assume_init() };
        if previous.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        let Some(kept) = leak_action(previous) else {
            continue;
        };
        PREVIOUS[index].store(kept, Ordering::Release);
        let mut action = previous;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_flags &= !libc::SA_RESETHAND;
        // SAFETY: the handler only makes async-signal-safe calls before it passes on.
        unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    }
}

/// Puts the action in memory that is never freed, for a handler.
fn leak_action(action: libc::sigaction) -> Option<*mut libc::sigaction> {
    let page = crate::sys::memory::map(crate::sys::memory::page_size()).ok()?;
    let place = page.cast::<libc::sigaction>().as_ptr();
    // SAFETY: a fresh page.
    unsafe { place.write(action) };
    Some(place)
}

unsafe extern "C" fn handler(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo for these signals.
    let address = unsafe { (*info).si_addr() } as usize;
    // A fault has a positive code; a signal that was sent has no address.
    // SAFETY: as above.
    if unsafe { (*info).si_code } > 0 {
        report_if_overflow(address);
    }
    // SAFETY: passed on.
    unsafe { chain(signal, info, context) };
}

/// Ends the process with a message if `address` is in the guard of a thread of ours.
fn report_if_overflow(address: usize) {
    let hit = CACHE.iter().find_map(|slot| {
        // The occupant first: a slot that is only being mapped has no region to read yet.
        let record = occupant(slot)?;
        let (guard, len) = slot.region().guard();
        (guard as usize..guard as usize + len)
            .contains(&address)
            .then_some(record)
    });
    let Some(record) = hit else { return };
    for part in [
        "\nthread '",
        record.name().unwrap_or("<unnamed>"),
        "' has overflowed its stack\nfatal: stack overflow, aborting\n",
    ] {
        let _ = file::write(libc::STDERR_FILENO, part.as_bytes());
    }
    // SAFETY: ends the process by SIGABRT, as std does.
    unsafe { libc::abort() };
}

/// Hands the signal to what handled it before us.
///
/// # Safety
/// The arguments are the handler's own.
unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let index = usize::from(signal == libc::SIGBUS);
    // SAFETY: written once, never freed.
    let previous = unsafe { PREVIOUS[index].load(Ordering::Acquire).as_ref() };
    match previous {
        Some(previous) if previous.sa_sigaction != libc::SIG_DFL => {
            type HandlerFn = extern "C" fn(i32);
            type SigactionFn = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: the action was in force, so its handler has the type its flags say.
            unsafe {
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    core::mem::transmute::<usize, SigactionFn>(previous.sa_sigaction)(
                        signal, info, context,
                    );
                } else {
                    core::mem::transmute::<usize, HandlerFn>(previous.sa_sigaction)(signal);
                }
            }
        }
        // The default: put it back; returning runs into the same fault, which now ends us.
        _ => {
            // SAFETY: resets one signal's action.
            unsafe {
                let mut default: libc::sigaction = core::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &default, ptr::null_mut());
            }
            // A signal that was sent does not come back by itself.
            // SAFETY: sends to this thread.
            if unsafe { (*info).si_code } <= 0 {
                let _ = crate::sys::signal::send_to_thread(
                    crate::sys::task::pid(),
                    crate::sys::task::tid(),
                    signal,
                );
            }
        }
    }
}
