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
