//! The report of a stack overflow: the thread's name and the word, then the end.
#![allow(unsafe_code, reason = "handles a signal")]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::tcb::CACHE;
use crate::runtime::occupant::occupant;
use crate::sys::file;

/// What handled SIGSEGV and SIGBUS before us.
static PREVIOUS: [PreviousAction; 2] = [const { PreviousAction::new() }; 2];
const SIGNALS: [i32; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Puts our handler before whatever is there (std's own, usually), once.
///
/// A handler that the program sets later replaces ours, and with it the report. The caller holds the lock of the
/// probe. In the child of a fork that came in the middle this goes on where the parent was.
pub(super) fn install() {
    // Relaxed: the lock orders it.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.load(Ordering::Relaxed) {
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
        if [libc::SIG_IGN, handler as *const () as usize].contains(&previous.sa_sigaction) {
            continue;
        }
        // SAFETY: the lock of the probe lets one thread come here, and no handler of this signal reads it yet.
        unsafe { PREVIOUS[index].set(previous) };
        let mut action = previous;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_flags &= !libc::SA_RESETHAND;
        // SAFETY: the handler only makes async-signal-safe calls before it passes on.
        unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    }
    INSTALLED.store(true, Ordering::Relaxed);
}

/// An action that is written before the handler is set that reads it.
struct PreviousAction {
    /// Whether `action` is written; it does not change any more then. Release and Acquire: who sees
    /// it sees the action.
    is_set: AtomicBool,
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is written by one thread (`set`), and read only after that (`get`), by handlers.
unsafe impl Sync for PreviousAction {}

impl PreviousAction {
    const fn new() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            action: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// # Safety
    /// One thread calls it, while no other code calls `get`.
    unsafe fn set(&self, action: libc::sigaction) {
        // SAFETY: no reader and no other writer, as the caller vouches.
        unsafe { (*self.action.get()).write(action) };
        self.is_set.store(true, Ordering::Release);
    }

    fn get(&self) -> Option<&libc::sigaction> {
        let is_set = self.is_set.load(Ordering::Acquire);
        // SAFETY: written, and not again once a handler reads it (`set`).
        is_set.then(|| unsafe { (*self.action.get()).assume_init_ref() })
    }
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
    let name = record.name().unwrap_or("<unnamed>");
    // std's text. On the signal stack, and without memory of the heap's.
    file::write_fmt(
        libc::STDERR_FILENO,
        format_args!(
            "\nthread '{name}' ({}) has overflowed its stack\nfatal runtime error: stack overflow, aborting\n",
            record.tid()
        ),
    );
    // SAFETY: ends the process by SIGABRT, as std does.
    unsafe { libc::abort() };
}

/// Hands the signal to what handled it before us.
///
/// # Safety
/// The arguments are the handler's own.
unsafe fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let index = usize::from(signal == libc::SIGBUS);
    match PREVIOUS[index].get() {
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
