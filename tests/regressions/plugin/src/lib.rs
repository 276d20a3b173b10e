//! What a plugin does with threads before it is unloaded: all of it is over when it returns.
#![allow(unsafe_code, reason = "is called by name")]

use std::time::Duration;

/// Asks who runs: the caller's thread has a record of this crate from then on.
#[unsafe(no_mangle)]
pub extern "C" fn ask() {
    std::hint::black_box(rawthread::current());
}

/// Makes a thread and joins it.
#[unsafe(no_mangle)]
pub extern "C" fn spawn() {
    rawthread::spawn(|| ()).join().unwrap();
}

/// Runs a task to its end, and returns the id of its thread, which is idle for a moment.
#[unsafe(no_mangle)]
pub extern "C" fn warm() -> i32 {
    rawthread::warm::set_idle_time(Duration::from_millis(200));
    let task = rawthread::warm::spawn(|| ());
    let tid = task.tid();
    task.join().unwrap();
    tid
}

/// Has libc make this copy's threads; whether it will.
#[unsafe(no_mangle)]
pub extern "C" fn serve_by_libc() -> bool {
    rawthread::serve_by_libc().is_ok()
}

/// The effective group of a new thread, as the kernel has it; it may be called in any copy's thread, which
/// this copy knows from then on.
#[unsafe(no_mangle)]
pub extern "C" fn group_of_a_thread() -> u32 {
    unsafe extern "C" {
        fn syscall(number: i64, ...) -> i64;
    }
    #[cfg(target_arch = "x86_64")]
    const GETEGID: i64 = 108;
    #[cfg(target_arch = "aarch64")]
    const GETEGID: i64 = 177;
    let spawner = rawthread::current();
    let thread = rawthread::spawn(move || {
        spawner.unpark();
        // SAFETY: asks.
        unsafe { syscall(GETEGID) as u32 }
    });
    rawthread::park();
    thread.join().unwrap()
}
