//! Where an unwinding panic ends: in the result of the closure, or in an abort.

use crate::thread::join::result::Result;

/// Runs `closure` and returns its value, or the payload of its panic.
#[cfg(feature = "std")]
pub(in crate::thread) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    // Unwind safety: the closure is consumed, and its author decided what it shares, as in std's
    // spawn.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        __rust_begin_short_backtrace(closure)
    }))
}

/// Runs `closure` and returns its value. Without std there is no unwinding to catch.
#[cfg(not(feature = "std"))]
pub(in crate::thread) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T> {
    Ok(closure())
}

/// Runs `closure` and drops the payload of its panic, or forgets it if the drop panics, too: there is no
/// caller that could have it.
pub(in crate::thread) fn catch_and_ignore(closure: impl FnOnce()) {
    if let Err(panic) = catch(closure) {
        let _ = catch(move || {
            let _dropped = panic;
        })
        .map_err(core::mem::forget);
    }
}

/// Runs `closure`. std ends the backtrace of a panic message at a function of this name, so that
/// frames of the runtime are not shown.
#[cfg(feature = "std")]
#[inline(never)]
pub(crate) fn __rust_begin_short_backtrace<T>(closure: impl FnOnce() -> T) -> T {
    let result = closure();
    // A tail call would leave no frame.
    core::hint::black_box(());
    result
}

/// Runs the program's closure out of one of the runtime's: a backtrace ends at the inner one.
#[cfg(feature = "std")]
pub(in crate::thread) fn call<T>(closure: impl FnOnce() -> T) -> T {
    __rust_begin_short_backtrace(closure)
}

/// Runs the program's closure.
#[cfg(all(feature = "alloc", not(feature = "std")))]
pub(in crate::thread) fn call<T>(closure: impl FnOnce() -> T) -> T {
    closure()
}

/// Ends the process when it is dropped: no frame below the thread's first can catch an unwinding.
pub(in crate::thread) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        abort();
    }
}

#[cfg(feature = "std")]
fn abort() -> ! {
    std::eprintln!("fatal: a panic left a thread by a destructor of its result or locals");
    std::process::abort()
}

/// Exits with the status that a shell reports for SIGABRT.
#[cfg(not(feature = "std"))]
fn abort() -> ! {
    crate::sys::task::exit_group(128 + libc::SIGABRT)
}
